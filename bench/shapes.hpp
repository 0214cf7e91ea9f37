// What one frame asks of every kernel: one list of this network's layers, for any input size. bench_kernels expands it; a layer of
// the network that changes is changed here.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <retinaface.hpp>

namespace bench {

using retinaface::layers::strided;

/// One layer of MobileNet-0.25 as its kernel sees it. Sizes are in pixels of the layer's input map; `stride` leads to its output.
struct Shape {
    std::string kernel;  ///< as kernel_list.inc spells it
    std::string layer;
    int width, height;
    int channels_in, channels_out;
    int stride = 1;
    int split = 0;         ///< conv3x3: channels of the first sink; 0: one sink
    bool upsample = false; ///< gemm: adds the coarser map
    bool streamed = false; ///< of the first stage, which runs depth first: input and output are rings of a few rows
    bool banded = false;   ///< gemm: its input is a band that the depthwise kernel left in the cache
    int times = 1;         ///< layers of this shape in a frame; 0: not part of detect()

    int width_out() const { return strided(width, stride); }
    int height_out() const { return strided(height, stride); }
    double pixels_out() const { return static_cast<double>(width_out()) * height_out(); }

    /// Multiply-adds of the direct computation.
    double direct_macs() const {
        if (kernel == "load_pixels") return 0;
        if (kernel == "stem" || kernel == "conv3x3") return pixels_out() * 9 * channels_in * channels_out;
        if (kernel == "dwconv3x3") return pixels_out() * 9 * channels_in;
        return pixels_out() * channels_in * channels_out;
    }
    /// Multiply-adds of the cheapest algorithm, from which the floor is: Winograd F(4x4, 3x3) for conv3x3 (36 products a tile and
    /// pair of channels; transforms and padding of the last tiles not counted), else the direct computation's.
    double macs() const { return kernel == "conv3x3" ? direct_macs() / 4 : direct_macs(); }

    /// Bytes that are read and written once.
    double bytes() const {
        const double in = static_cast<double>(width) * height * channels_in, out = pixels_out() * channels_out;
        if (kernel == "load_pixels") return in + 4 * out;
        const double weights = kernel == "dwconv3x3" ? 9.0 * channels_in
                                                     : (kernel == "stem" || kernel == "conv3x3" ? 9.0 : 1.0) * channels_in * channels_out;
        return 4 * (in + out + weights + (upsample ? out / 4 : 0));
    }
};

/// The network at an input size.
inline std::vector<Shape> shapes(int width, int height) {
    std::vector<Shape> list;
    const auto at = [](int size, int stride) { return strided(size, stride); };
    const auto separable = [&](const std::string& blocks, int step, int in, int out, int stride, bool streamed, int times = 1) {
        Shape s{"dwconv3x3", blocks + ".depthwise", at(width, step), at(height, step), in, in};
        s.stride = stride;
        s.streamed = streamed;
        s.times = times;
        list.push_back(s);
        Shape p{"gemm", blocks + ".pointwise", at(width, step * stride), at(height, step * stride), in, out};
        p.streamed = streamed;
        p.banded = true;
        p.times = times;
        list.push_back(p);
    };

    list.push_back({"load_pixels", "image", width, height, 3, 3});
    list.back().streamed = true;
    list.push_back({"stem", "conv0", width, height, 3, 8, 2});
    list.back().streamed = true;
    separable("block1", 2, 8, 16, 1, true);
    separable("block2", 2, 16, 32, 2, true);
    separable("block3", 4, 32, 32, 1, true);
    separable("block4", 4, 32, 64, 2, true);
    separable("block5", 8, 64, 64, 1, true);
    separable("block6", 8, 64, 128, 2, false);
    separable("block7-11", 16, 128, 128, 1, false, 5);
    separable("block12", 16, 128, 256, 2, false);
    separable("block13", 32, 256, 256, 1, false);

    const int channels[3] = {64, 128, 256};
    for (int level = 2; level >= 0; --level) {
        const int w = at(width, 8 << level), h = at(height, 8 << level);
        const std::string p = "p" + std::to_string(3 + level);
        Shape lateral{"gemm", p + ".lateral", w, h, channels[level], 64};
        lateral.upsample = level < 2;
        list.push_back(lateral);
        if (level < 2) list.push_back({"conv3x3", p + ".merge", w, h, 64, 64});
    }
    for (int level = 0; level < 3; ++level) {
        const int w = at(width, 8 << level), h = at(height, 8 << level);
        const std::string p = "p" + std::to_string(3 + level);
        list.push_back({"conv3x3", p + ".context.conv3+5_1", w, h, 64, 48, 1, 32});
        list.push_back({"conv3x3", p + ".context.conv5_2+7_2", w, h, 16, 32, 1, 16});
        list.push_back({"conv3x3", p + ".context.conv7_3", w, h, 16, 16});
        list.push_back({"class_logits", p + ".class", w, h, 64, 4});
        Shape regression{"gemm", p + ".box+landmark", w, h, 64, 32};
        regression.times = 0;  // only where the score passes; forward() computes all
        list.push_back(regression);
    }
    return list;
}

struct Size {
    const char* name;
    int width, height;
};

constexpr Size kSizes[] = {{"qvga", 320, 240}, {"vga", 640, 480}, {"hd", 1920, 1080}, {"4k", 3840, 2160}};

}  // namespace bench
