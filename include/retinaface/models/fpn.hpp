// Feature pyramid (Lin et al., 2017): lateral 1 x 1 convolutions, top-down sums, 3 x 3 merges.
#pragma once

#include "context.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace models {

/// p5 = lateral(c5); p4 = merge(lateral(c4) + up(p5)); p3 = merge(lateral(c3) + up(p4)). Upsampling is nearest: source index =
/// destination index / 2. Lateral, activation and sum are one pass.
template <int C, int C3, int C4, int C5>
class FeaturePyramid {
public:
    void load(layers::Parameters& parameters, const std::string& name, const kernels::KernelTable& table) {
        lateral3_.load(parameters, name + ".p3.lateral", table);
        lateral4_.load(parameters, name + ".p4.lateral", table);
        lateral5_.load(parameters, name + ".p5.lateral", table);
        merge3_.load(parameters, name + ".p3.merge", table);
        merge4_.load(parameters, name + ".p4.merge", table);
    }

    static std::size_t scratch(const kernels::KernelTable& table) { return layers::Conv2d<C, C, 3>::scratch(table); }

    void top(const Context& context, const Map& c5, const Map& p5) const { lateral(context, lateral5_, c5, nullptr, p5); }
    /// `sum` is the map before the merge.
    void level4(const Context& context, const Map& c4, const Map& p5, const Map& sum, const Map& p4) const {
        lateral(context, lateral4_, c4, &p5, sum);
        merge(context, merge4_, sum, p4);
    }
    void level3(const Context& context, const Map& c3, const Map& p4, const Map& sum, const Map& p3) const {
        lateral(context, lateral3_, c3, &p4, sum);
        merge(context, merge3_, sum, p3);
    }

    const auto& lateral3() const { return lateral3_; }
    const auto& lateral4() const { return lateral4_; }
    const auto& lateral5() const { return lateral5_; }
    const auto& merge3() const { return merge3_; }
    const auto& merge4() const { return merge4_; }

private:
    template <class Conv>
    static void lateral(const Context& context, const Conv& conv, const Map& in, const Map* up, const Map& out) {
        context.parallel.bands(in.height, 1, [&](int begin, int end, int) {
            if (up == nullptr) {
                conv.pixels(context.table, in.row(begin), (end - begin) * in.width, context.slope, out.row(begin));
                return;
            }
            for (int y = begin; y < end; ++y)
                conv.pixels(context.table, in.row(y), in.width, context.slope, out.row(y), up->row(y / 2));
        });
    }

    template <class Conv>
    static void merge(const Context& context, const Conv& conv, const Map& in, const Map& out) {
        ContextModule<C>::convolve(context, conv, in, {out.data, C, C, context.slope}, {});
    }

    layers::PointwiseConv2d<C3, C> lateral3_;
    layers::PointwiseConv2d<C4, C> lateral4_;
    layers::PointwiseConv2d<C5, C> lateral5_;
    layers::Conv2d<C, C, 3> merge3_;
    layers::Conv2d<C, C, 3> merge4_;
};

}  // namespace models
RETINAFACE_END_NAMESPACE
