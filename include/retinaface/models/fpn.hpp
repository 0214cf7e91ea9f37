// Feature pyramid (Lin et al., 2017): lateral 1 x 1 convolutions, top-down sums, 3 x 3 merges.
#pragma once

#include "../layers/conv2d.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace models {

/// p5 = lateral(c5); p4 = merge(lateral(c4) + up(p5)); p3 = merge(lateral(c3) + up(p4)). Upsampling is nearest. Lateral, activation and
/// sum are one operation.
template <int C, int C3, int C4, int C5>
class FeaturePyramid {
public:
    static constexpr layers::Kind kKind = layers::Kind::module;
    static constexpr int kChannels = C;

    void load(const layers::Scope& parameters, layers::Activation activation) {
        lateral3_.load(parameters["p3"]["lateral"], activation);
        lateral4_.load(parameters["p4"]["lateral"], activation);
        lateral5_.load(parameters["p5"]["lateral"], activation);
        merge3_.load(parameters["p3"]["merge"], activation);
        merge4_.load(parameters["p4"]["merge"], activation);
    }

    /// {c3, c4, c5} to {p3, p4, p5}.
    template <class Pass, class Value>
    std::array<Value, 3> forward(Pass& pass, const std::array<Value, 3>& c) const {
        const Value p5 = pass(lateral5_, c[2]);
        const Value p4 = pass(merge4_, pass(lateral4_, c[1], layers::Addition::upsampled, p5));
        const Value p3 = pass(merge3_, pass(lateral3_, c[0], layers::Addition::upsampled, p4));
        return {p3, p4, p5};
    }

private:
    layers::PointwiseConv2d<C3, C> lateral3_;
    layers::PointwiseConv2d<C4, C> lateral4_;
    layers::PointwiseConv2d<C5, C> lateral5_;
    layers::Conv2d<C, C, 3> merge3_;
    layers::Conv2d<C, C, 3> merge4_;
};

}  // namespace models
RETINAFACE_END_NAMESPACE
