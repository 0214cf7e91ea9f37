// What one frame asks of every kernel: the operations that the network itself lists (passes/describe.hpp), as bench_kernels runs them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <retinaface.hpp>
#include <retinaface/passes/describe.hpp>

namespace bench {

/// One operation, or several of the same shape.
struct Shape : retinaface::passes::Description {
    int times = 1;  ///< in a frame; 0: not part of detect()

    double pixels_out() const { return static_cast<double>(out.pixels()); }

    /// Multiply-adds of the direct computation.
    double direct_macs() const { return static_cast<double>(multiply_adds); }
    /// Multiply-adds of the cheapest algorithm, from which the floor is: Winograd F(4x4, 3x3) for conv3x3 (36 products a tile and
    /// pair of channels; transforms and padding of the last tiles not counted), else the direct computation's.
    double macs() const { return kernel == "conv3x3" ? direct_macs() / 4 : direct_macs(); }

    /// Bytes that are read and written once.
    double bytes() const {
        const double values_in = static_cast<double>(in.size()), values_out = static_cast<double>(out.size());
        if (kernel == "load_pixels") return values_in + 4 * values_out;
        return 4 * (values_in + values_out + static_cast<double>(parameters) + (upsampled ? values_out / 4 : 0));
    }

    bool same_work(const Shape& other) const {
        return kernel == other.kernel && in.size() == other.in.size() && in.width == other.in.width &&
               out.size() == other.out.size() && out.channels == other.out.channels && stride == other.stride &&
               first_channels == other.first_channels && upsampled == other.upsampled && streamed == other.streamed &&
               banded == other.banded && on_demand == other.on_demand;
    }
};

/// MobileNet-0.25 at an input size.
inline std::vector<Shape> shapes(const retinaface::Weights& weights, int width, int height) {
    using namespace retinaface;
    const models::RetinaFace<models::MobileNet025> network(weights, find_profile(weights.metadata("profile")), Isa::reference);
    std::vector<Shape> list(1);
    // Staging is a part of the first convolution, but a kernel of its own.
    list[0].kernel = "load_pixels";
    list[0].name = "image";
    list[0].in = list[0].out = {height, width, 3};
    list[0].streamed = true;
    for (const passes::Description& description : passes::describe(network, width, height)) {
        Shape shape;
        static_cast<passes::Description&>(shape) = description;
        shape.times = description.on_demand ? 0 : 1;  // forward() computes all
        bool known = false;
        for (Shape& before : list) {
            if (shape.times == 0 || known || !before.same_work(shape)) continue;
            ++before.times;
            known = true;
        }
        if (!known) list.push_back(shape);
    }
    return list;
}

struct Size {
    const char* name;
    int width, height;
};

constexpr Size kSizes[] = {{"qvga", 320, 240}, {"vga", 640, 480}, {"hd", 1920, 1080}, {"4k", 3840, 2160}};

}  // namespace bench
