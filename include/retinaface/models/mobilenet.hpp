// MobileNet-0.25 (Howard et al., 2017, width 0.25) as RetinaFace's backbone: three stages whose outputs have strides 8, 16 and 32.
#pragma once

#include "../anchors.hpp"
#include "../layers/fused.hpp"
#include "../layers/sequence.hpp"
#include "../profile.hpp"
#include "activation.hpp"
#include "context_module.hpp"
#include "fpn.hpp"
#include "heads.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace models {

using layers::Fused;
using layers::Separable;
using layers::Sequence;
using layers::Stem;

template <int Cin, int Cout, int Stride = 1>
using Block = Fused<Separable<Cin, Cout, Stride>>;

/// Taps after stages 1, 2 and 3. The file's blocks are counted from FirstBlock on.
template <class Stage1, class Stage2, class Stage3, int FirstBlock>
class MobileNet {
public:
    static constexpr layers::Kind kKind = layers::Kind::module;

    void load(const layers::Scope& parameters, layers::Activation activation) {
        int block = FirstBlock;
        const auto next = [&](std::size_t) { return parameters["block" + std::to_string(block++)]; };
        stage1_.load([&](std::size_t i) { return i == 0 ? parameters["conv0"] : next(i); }, activation);
        stage2_.load(next, activation);
        stage3_.load(next, activation);
    }

    template <class Pass, class Value>
    std::array<Value, 3> forward(Pass& pass, Value image) const {
        const Value c3 = pass(stage1_, image);
        const Value c4 = pass(stage2_, c3);
        const Value c5 = pass(stage3_, c4);
        return {c3, c4, c5};
    }

private:
    Stage1 stage1_;
    Stage2 stage2_;
    Stage3 stage3_;
};

/// An architecture: what BasicDetector is made of. biubug6's mobilenet0.25 and insightface's mnet.25.
struct MobileNet025 {
    static constexpr const char* kName = "mobilenet025";
    static constexpr AnchorLayout kAnchors{3, 2, {8, 16, 32}, {{16, 32}, {64, 128}, {256, 512}}};

    // The first stage has the largest maps: it runs depth first and never leaves the cache.
    using Stage1 = Fused<Stem<3, 2, 8>,         //
                         Separable<8, 16>,      //
                         Separable<16, 32, 2>,  //
                         Separable<32, 32>,     //
                         Separable<32, 64, 2>,  //
                         Separable<64, 64>>;
    using Stage2 = Sequence<Block<64, 128, 2>,  //
                            Block<128, 128>,    //
                            Block<128, 128>,    //
                            Block<128, 128>,    //
                            Block<128, 128>,    //
                            Block<128, 128>>;
    using Stage3 = Sequence<Block<128, 256, 2>,  //
                            Block<256, 256>>;

    using Backbone = MobileNet<Stage1, Stage2, Stage3, 1>;
    using Neck = FeaturePyramid<64, 64, 128, 256>;
    using Context = ContextModule<64>;
    using Head = Heads<64, kAnchors.per_cell>;

    /// What the file says (metadata `slope`), else the profile's custom: leaky in biubug6's code, a ReLU elsewhere.
    static layers::Activation activation(const Weights& weights, const Profile& profile) {
        return stated_activation(weights, {std::string(profile.name) == kBiubug6Profile.name ? 0.1f : 0.0f});
    }
};

/// The paper's light variant: a 7 x 7 stride-4 convolution in place of the first two stride-2 steps.
struct MobileNet025Light {
    static constexpr const char* kName = "mobilenet025_light";
    static constexpr AnchorLayout kAnchors = MobileNet025::kAnchors;

    using Stage1 = Fused<Stem<7, 4, 16>,        //
                         Separable<16, 32>,     //
                         Separable<32, 32>,     //
                         Separable<32, 64, 2>,  //
                         Separable<64, 64>>;

    // conv0 stands for block 1, too.
    using Backbone = MobileNet<Stage1, MobileNet025::Stage2, MobileNet025::Stage3, 2>;
    using Neck = MobileNet025::Neck;
    using Context = MobileNet025::Context;
    using Head = MobileNet025::Head;

    static layers::Activation activation(const Weights& weights, const Profile& profile) {
        return MobileNet025::activation(weights, profile);
    }
};

}  // namespace models
RETINAFACE_END_NAMESPACE
