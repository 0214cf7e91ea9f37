// Context module (SSH; RetinaFace section 4.2): three receptive fields of one map, concatenated.
#pragma once

#include "../layers/conv2d.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace models {

/// a = conv3(x), b = conv5_1(x), c = conv5_2(b), d = conv7_2(b), e = conv7_3(d); output concat(a, c, e). a, c and e have a ReLU, b and d
/// the network's activation. a has kHalf channels, the others kQuarter. Convolutions of the same input run as one.
template <int C, int kHalf = C / 2, int kQuarter = C / 4>
class ContextModule {
public:
    static constexpr layers::Kind kKind = layers::Kind::module;

    void load(const layers::Scope& parameters, layers::Activation activation) {
        name_ = parameters.name();
        conv3_conv5_1_.load(parameters["conv3"], layers::kRelu, parameters["conv5_1"], activation);
        conv5_2_conv7_2_.load(parameters["conv5_2"], layers::kRelu, parameters["conv7_2"], activation);
        conv7_3_.load(parameters["conv7_3"], layers::kRelu);
    }

    template <class Pass, class Value>
    Value forward(Pass& pass, Value x) const {
        const auto [a, b] = pass.pair(conv3_conv5_1_, x);
        const auto [c, d] = pass.pair(conv5_2_conv7_2_, b);
        const Value e = pass(conv7_3_, d);
        return pass.concat(std::array<Value, 3>{a, c, e}, name_);
    }

private:
    layers::Conv2dPair<C, kHalf, kQuarter> conv3_conv5_1_;
    layers::Conv2dPair<kQuarter, kQuarter, kQuarter> conv5_2_conv7_2_;
    layers::Conv2d<kQuarter, kQuarter, 3> conv7_3_;
    std::string name_;
};

}  // namespace models
RETINAFACE_END_NAMESPACE
