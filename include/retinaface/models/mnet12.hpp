// insightface's retinaface_mnet025 v1 and v2: MobileNet-0.25 with a stem of 16 channels and 1 x 1 convolutions before and after the
// blocks. Of the profile "mnet12".
#pragma once

#include "mobilenet.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace models {

using layers::Conv2d;

/// Taps after blocks 5 and 11 and the last convolution.
class Mnet12Backbone {
public:
    static constexpr layers::Kind kKind = layers::Kind::module;

    void load(const layers::Scope& parameters, layers::Activation activation) {
        int block = 2;
        const auto next = [&](std::size_t) { return parameters["block" + std::to_string(block++)]; };
        stem_.load(parameters["conv0"], activation);
        expand_.load(parameters["conv1"], activation);
        stage1_.load(next, activation);
        stage2_.load(next, activation);
        stage3_.load(next, activation);
        last_.load(parameters["last0"], activation);
    }

    template <class Pass, class Value>
    std::array<Value, 3> forward(Pass& pass, Value image) const {
        const Value c3 = pass(stage1_, pass(expand_, pass(stem_, image)));
        const Value c4 = pass(stage2_, c3);
        const Value c5 = pass(last_, pass(stage3_, c4));
        return {c3, c4, c5};
    }

private:
    layers::Stem<3, 2, 16> stem_;
    Conv2d<16, 32, 1> expand_;
    Sequence<Block<32, 32, 2>, Block<32, 32>, Block<32, 64, 2>, Block<64, 64>> stage1_;
    MobileNet025::Stage2 stage2_;
    MobileNet025::Stage3 stage3_;
    Conv2d<256, 256, 1> last_;
};

struct Mnet12 {
    static constexpr const char* kName = "mnet12";
    static constexpr AnchorLayout kAnchors = MobileNet025::kAnchors;

    using Backbone = Mnet12Backbone;
    using Neck = MobileNet025::Neck;
    using Context = MobileNet025::Context;
    using Head = MobileNet025::Head;

    static layers::Activation activation(const Weights& weights, const Profile&) { return stated_activation(weights, {0.0f}); }
};

}  // namespace models
RETINAFACE_END_NAMESPACE
