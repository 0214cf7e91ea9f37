// Context module (SSH; RetinaFace section 4.2): three receptive fields of one map, concatenated.
#pragma once

#include "../layers/sequence.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace models {

using layers::Context;
using layers::Map;

/// a = conv3(x), b = conv5_1(x), c = conv5_2(b), d = conv7_2(b), e = conv7_3(d); output ReLU(concat(a, c, e)).
/// Convolutions of the same input run as one, so that they share its transform.
template <int C>
class ContextModule {
    static constexpr int kHalf = C / 2, kQuarter = C / 4;

public:
    void load(layers::Parameters& parameters, const std::string& name, const kernels::KernelTable& table) {
        conv3_conv5_1_.template load_pair<kHalf>(parameters, name + ".conv3", name + ".conv5_1", table);
        conv5_2_conv7_2_.template load_pair<kQuarter>(parameters, name + ".conv5_2", name + ".conv7_2", table);
        conv7_3_.load(parameters, name + ".conv7_3", table);
    }

    /// Floats of the two intermediate maps.
    static std::size_t intermediate(int pixels) { return static_cast<std::size_t>(pixels) * kQuarter; }

    static std::size_t scratch(const kernels::KernelTable& table) {
        return std::max({decltype(conv3_conv5_1_)::scratch(table), decltype(conv5_2_conv7_2_)::scratch(table),
                         decltype(conv7_3_)::scratch(table)});
    }

    /// `b` and `d` hold intermediate(pixels) floats each.
    void run(const Context& context, const Map& in, const Map& out, float* b, float* d) const {
        const Map map_b{b, in.height, in.width, kQuarter}, map_d{d, in.height, in.width, kQuarter};
        const auto part = [&](int from, int channels) { return kernels::Sink{out.data + from, C, channels, 0.0f}; };
        const auto whole = [&](const Map& map) { return kernels::Sink{map.data, map.channels, map.channels, context.slope}; };
        convolve(context, conv3_conv5_1_, in, part(0, kHalf), whole(map_b));
        convolve(context, conv5_2_conv7_2_, map_b, part(kHalf, kQuarter), whole(map_d));
        convolve(context, conv7_3_, map_d, part(kHalf + kQuarter, kQuarter), {});
    }

    /// A 3 x 3 convolution over a whole map, by bands of rows of tiles.
    template <class Conv>
    static void convolve(const Context& context, const Conv& conv, const Map& in, const kernels::Sink& first, const kernels::Sink& second) {
        context.parallel.bands(kernels::conv3x3_tiles(in.height, in.width), 4, [&](int begin, int end, int band) {
            conv.tiles(context.table, in, first, second, begin, end, context.band_scratch(band));
        });
    }

    const auto& conv3_conv5_1() const { return conv3_conv5_1_; }
    const auto& conv5_2_conv7_2() const { return conv5_2_conv7_2_; }
    const auto& conv7_3() const { return conv7_3_; }

private:
    layers::Conv2d<C, kHalf + kQuarter, 3> conv3_conv5_1_;
    layers::Conv2d<kQuarter, 2 * kQuarter, 3> conv5_2_conv7_2_;
    layers::Conv2d<kQuarter, kQuarter, 3> conv7_3_;
};

}  // namespace models
RETINAFACE_END_NAMESPACE
