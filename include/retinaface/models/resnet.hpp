// Wide networks: ResNet-50 as in Pytorch_Retinaface, insightface's pre-activation R50, and the paper's ResNet-152 with deformable
// convolution and five levels. Blocks: He et al., 2015 (the stride in the 3 x 3, as torchvision has it) and 2016.
//
// A 3 x 3 convolution of stride 1 is Winograd's. Its weights, four times the file's, are made when it is loaded where maps are large
// (Conv2d), and on the way where they are small (SmallConv2d), so that packed weights stay near the file's size.
#pragma once

#include "../anchors.hpp"
#include "../layers/deform_conv2d.hpp"
#include "../layers/pixel_map.hpp"
#include "../layers/pooling.hpp"
#include "../layers/sequence.hpp"
#include "../layers/small_conv2d.hpp"
#include "../profile.hpp"
#include "context_module.hpp"
#include "heads.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace models {

using layers::Addition;
using layers::DeformConv2d;
using layers::kIdentity;
using layers::kRelu;
using layers::Repeat;
using layers::WideConv2d;

/// What a stage's maps are at the sizes that networks are run at.
enum class Maps { large, small };

/// 3 x 3 convolution of such maps.
template <int Cin, int Cout, int Stride, Maps kMaps>
using Conv3x3 =
    std::conditional_t<Stride != 1, WideConv2d<Cin, Cout, 3, Stride>,
                       std::conditional_t<kMaps == Maps::large, layers::Conv2d<Cin, Cout, 3>, layers::SmallConv2d<Cin, Cout>>>;

/// 1 x 1, 3 x 3 with the stride, 1 x 1; plus the input, or a 1 x 1 of it where shapes differ; ReLU.
template <int Cin, int Cout, int Stride = 1, Maps kMaps = Maps::large>
class Bottleneck {
    static constexpr bool kProjects = Cin != Cout;
    static constexpr int kInner = Cout / 4;

public:
    static constexpr layers::Kind kKind = layers::Kind::module;
    static constexpr int kChannelsIn = Cin;
    static constexpr int kChannelsOut = Cout;

    void load(const layers::Scope& parameters, layers::Activation) {
        if constexpr (kProjects) shortcut_.load(parameters["shortcut"], kIdentity);
        conv1_.load(parameters["conv1"], kRelu);
        conv2_.load(parameters["conv2"], kRelu);
        conv3_.load(parameters["conv3"], kRelu);
    }

    template <class Pass, class Value>
    Value forward(Pass& pass, Value x) const {
        Value shortcut = x;
        if constexpr (kProjects) shortcut = pass(shortcut_, x);
        return pass(conv3_, pass(conv2_, pass(conv1_, x)), Addition::residual, shortcut);
    }

private:
    struct Nothing {};

    std::conditional_t<kProjects, WideConv2d<Cin, Cout, 1, Stride>, Nothing> shortcut_;
    WideConv2d<Cin, kInner, 1> conv1_;
    Conv3x3<kInner, kInner, Stride, kMaps> conv2_;
    WideConv2d<kInner, Cout, 1> conv3_;
};

/// BatchNorm and ReLU of the sum before; 1 x 1, 3 x 3 with the stride, 1 x 1; plus the input, or a 1 x 1 of its norm. Gives the sum and the
/// map before the stride, which a pyramid may tap.
template <int Cin, int Cout, int Stride = 1, Maps kMaps = Maps::large>
class PreactivationUnit {
    static constexpr bool kProjects = Cin != Cout;
    static constexpr int kInner = Cout / 4;

public:
    static constexpr layers::Kind kKind = layers::Kind::module;
    static constexpr int kChannelsIn = Cin;
    static constexpr int kChannelsOut = Cout;

    void load(const layers::Scope& parameters, layers::Activation) {
        norm_.load(parameters["norm"], kRelu);
        if constexpr (kProjects) shortcut_.load(parameters["shortcut"], kIdentity);
        conv1_.load(parameters["conv1"], kRelu);
        conv2_.load(parameters["conv2"], kRelu);
        conv3_.load(parameters["conv3"], kIdentity);
    }

    template <class Pass, class Value>
    std::array<Value, 2> forward_with_tap(Pass& pass, Value x) const {
        const Value normed = pass(norm_, x);
        const Value inner = pass(conv1_, normed);
        Value shortcut = x;
        if constexpr (kProjects) shortcut = pass(shortcut_, normed);
        return {pass(conv3_, pass(conv2_, inner), Addition::residual, shortcut), inner};
    }
    template <class Pass, class Value>
    Value forward(Pass& pass, Value x) const {
        return forward_with_tap(pass, x)[0];
    }

private:
    struct Nothing {};

    layers::BatchNorm2d<Cin> norm_;
    std::conditional_t<kProjects, WideConv2d<Cin, Cout, 1, Stride>, Nothing> shortcut_;
    WideConv2d<Cin, kInner, 1> conv1_;
    Conv3x3<kInner, kInner, Stride, kMaps> conv2_;
    WideConv2d<kInner, Cout, 1> conv3_;
};

/// A stage: the block that changes shapes, then groups (Repeat) of blocks that do not.
template <class First, class... Groups>
class Stage {
public:
    static constexpr layers::Kind kKind = layers::Kind::module;

    void load(const layers::Scope& parameters, layers::Activation activation) {
        int block = 0;
        const auto next = [&](std::size_t = 0) { return parameters[std::to_string(block++)]; };
        first_.load(next(), activation);
        std::apply([&](auto&... group) { (group.load(next, activation), ...); }, groups_);
    }

    template <class Pass, class Value>
    Value forward(Pass& pass, Value x) const {
        return rest(pass, pass(first_, x));
    }
    /// The stage's output, and the tap of its first unit.
    template <class Pass, class Value>
    std::array<Value, 2> forward_with_tap(Pass& pass, Value x) const {
        const std::array<Value, 2> first = first_.forward_with_tap(pass, x);
        return {rest(pass, first[0]), first[1]};
    }

private:
    template <class Pass, class Value>
    Value rest(Pass& pass, Value x) const {
        std::apply([&](const auto&... group) { ((x = pass(group, x)), ...); }, groups_);
        return x;
    }

    First first_;
    std::tuple<Groups...> groups_;
};

/// The first layers of every ResNet: the image (or its norm) as a map, 7 x 7 stride 2, maximum.
template <class Image>
class WideStem {
public:
    static constexpr layers::Kind kKind = layers::Kind::module;

    void load(const layers::Scope& parameters, layers::Activation) {
        image_.load(parameters["input"], kIdentity);
        conv_.load(parameters["conv0"], kRelu);
        pool_.load(parameters["pool"], kIdentity);
    }

    template <class Pass, class Value>
    Value forward(Pass& pass, Value image) const {
        return pass(pool_, pass(conv_, pass(image_, image)));
    }

private:
    Image image_;
    WideConv2d<3, 64, 7, 2> conv_;
    layers::MaxPool2d<64> pool_;
};

/// Taps the outputs of the last `Taps` stages.
template <std::size_t Taps, class Stage1, class Stage2, class Stage3, class Stage4>
class ResNet {
public:
    static constexpr layers::Kind kKind = layers::Kind::module;

    void load(const layers::Scope& parameters, layers::Activation activation) {
        stem_.load(parameters, activation);
        stage1_.load(parameters["layer1"], activation);
        stage2_.load(parameters["layer2"], activation);
        stage3_.load(parameters["layer3"], activation);
        stage4_.load(parameters["layer4"], activation);
    }

    template <class Pass, class Value>
    std::array<Value, Taps> forward(Pass& pass, Value image) const {
        const Value c2 = pass(stage1_, pass(stem_, image));
        const Value c3 = pass(stage2_, c2);
        const Value c4 = pass(stage3_, c3);
        const Value c5 = pass(stage4_, c4);
        if constexpr (Taps == 4)
            return {c2, c3, c4, c5};
        else
            return {c3, c4, c5};
    }

private:
    WideStem<layers::PixelMap> stem_;
    Stage1 stage1_;
    Stage2 stage2_;
    Stage3 stage3_;
    Stage4 stage4_;
};

/// Taps the first units of stages 3 and 4 before their stride, and the last norm.
template <class Stage1, class Stage2, class Stage3, class Stage4>
class PreactivationResNet {
public:
    static constexpr layers::Kind kKind = layers::Kind::module;

    void load(const layers::Scope& parameters, layers::Activation activation) {
        stem_.load(parameters, activation);
        stage1_.load(parameters["layer1"], activation);
        stage2_.load(parameters["layer2"], activation);
        stage3_.load(parameters["layer3"], activation);
        stage4_.load(parameters["layer4"], activation);
        norm_.load(parameters["norm"], kRelu);
    }

    template <class Pass, class Value>
    std::array<Value, 3> forward(Pass& pass, Value image) const {
        const std::array<Value, 2> c4 = stage3_.forward_with_tap(pass, pass(stage2_, pass(stage1_, pass(stem_, image))));
        const std::array<Value, 2> c5 = stage4_.forward_with_tap(pass, c4[0]);
        return {c4[1], c5[1], pass(norm_, c5[0])};
    }

private:
    WideStem<layers::PixelNorm> stem_;
    Stage1 stage1_;
    Stage2 stage2_;
    Stage3 stage3_;
    Stage4 stage4_;
    layers::BatchNorm2d<2048> norm_;
};

/// As FeaturePyramid, for wide taps.
template <int C, int C3, int C4, int C5>
class WideFeaturePyramid {
public:
    static constexpr layers::Kind kKind = layers::Kind::module;

    void load(const layers::Scope& parameters, layers::Activation) {
        lateral3_.load(parameters["p3"]["lateral"], kRelu);
        lateral4_.load(parameters["p4"]["lateral"], kRelu);
        lateral5_.load(parameters["p5"]["lateral"], kRelu);
        merge3_.load(parameters["p3"]["merge"], kRelu);
        merge4_.load(parameters["p4"]["merge"], kRelu);
    }

    /// {c3, c4, c5} to {p3, p4, p5}.
    template <class Pass, class Value>
    std::array<Value, 3> forward(Pass& pass, const std::array<Value, 3>& c) const {
        const Value p5 = pass(lateral5_, c[2]);
        const Value p4 = pass(merge4_, pass(lateral4_, c[1], Addition::upsampled, p5));
        const Value p3 = pass(merge3_, pass(lateral3_, c[0], Addition::upsampled, p4));
        return {p3, p4, p5};
    }

private:
    WideConv2d<C3, C, 1> lateral3_;
    WideConv2d<C4, C, 1> lateral4_;
    WideConv2d<C5, C, 1> lateral5_;
    layers::Conv2d<C, C, 3> merge3_;
    layers::SmallConv2d<C, C> merge4_;
};

/// Laterals of C2 to C5, top-down sums, a deformable merge on every one of those levels; P6 is an ordinary stride-2 convolution of C5.
class DeformableFeaturePyramid {
    static constexpr int C = 256;

public:
    static constexpr layers::Kind kKind = layers::Kind::module;

    void load(const layers::Scope& parameters, layers::Activation) {
        const auto level = [&](const char* name, auto& lateral, auto& merge) {
            lateral.load(parameters[name]["lateral"], kRelu);
            merge.load(parameters[name]["merge"], kRelu);
        };
        level("p2", lateral2_, merge2_);
        level("p3", lateral3_, merge3_);
        level("p4", lateral4_, merge4_);
        level("p5", lateral5_, merge5_);
        p6_.load(parameters["p6"], kRelu);
    }

    /// {c2, c3, c4, c5} to {p2, ..., p6}.
    template <class Pass, class Value>
    std::array<Value, 5> forward(Pass& pass, const std::array<Value, 4>& c) const {
        const Value p5 = pass(merge5_, pass(lateral5_, c[3]));
        const Value p4 = pass(merge4_, pass(lateral4_, c[2], Addition::upsampled, p5));
        const Value p3 = pass(merge3_, pass(lateral3_, c[1], Addition::upsampled, p4));
        const Value p2 = pass(merge2_, pass(lateral2_, c[0], Addition::upsampled, p3));
        return {p2, p3, p4, p5, pass(p6_, c[3])};
    }

private:
    WideConv2d<256, C, 1> lateral2_;
    WideConv2d<512, C, 1> lateral3_;
    WideConv2d<1024, C, 1> lateral4_;
    WideConv2d<2048, C, 1> lateral5_;
    DeformConv2d<C, C, 3> merge2_, merge3_, merge4_, merge5_;
    WideConv2d<2048, C, 3, 2> p6_;
};

/// A context module of deformable convolutions.
template <int C>
class DeformableContextModule {
    static constexpr int kHalf = C / 2, kQuarter = C / 4;

public:
    static constexpr layers::Kind kKind = layers::Kind::module;

    void load(const layers::Scope& parameters, layers::Activation) {
        name_ = parameters.name();
        conv3_.load(parameters["conv3"], kRelu);
        conv5_1_.load(parameters["conv5_1"], kRelu);
        conv5_2_.load(parameters["conv5_2"], kRelu);
        conv7_2_.load(parameters["conv7_2"], kRelu);
        conv7_3_.load(parameters["conv7_3"], kRelu);
    }

    template <class Pass, class Value>
    Value forward(Pass& pass, Value x) const {
        const Value a = pass(conv3_, x);
        const Value b = pass(conv5_1_, x);
        const Value c = pass(conv5_2_, b);
        const Value e = pass(conv7_3_, pass(conv7_2_, b));
        return pass.concat(std::array<Value, 3>{a, c, e}, name_);
    }

private:
    DeformConv2d<C, kHalf, 3> conv3_;
    DeformConv2d<C, kQuarter, 3> conv5_1_;
    DeformConv2d<kQuarter, kQuarter, 3> conv5_2_, conv7_2_, conv7_3_;
    std::string name_;
};

/// Values an anchor of the paper's dense branch: what a morphable model and a renderer make a mesh of.
constexpr int kShapeTexture = 128, kCamera = 7, kLight = 9;

/// Heads, and the dense branch beside them; one for all levels.
template <int C, int Anchors>
class DenseHeads : public Heads<C, Anchors> {
public:
    static constexpr HeadLayout kLayout{Anchors, {kShapeTexture, kCamera, kLight}};
    static constexpr bool kShared = true;

    void load(const layers::Scope& parameters) {
        Heads<C, Anchors>::load(parameters);
        std::vector<float> weights, bias;
        const auto append = [](std::vector<float>& to, const std::vector<float>& from) {
            to.insert(to.end(), from.begin(), from.end());
        };
        const auto part = [&](const char* name, int values) {
            const layers::Scope scope = parameters[name];
            append(weights, scope.take("weight", {Anchors * values, C, 1, 1}));
            append(bias, scope.take("bias", {Anchors * values}));
        };
        part("shape_texture", kShapeTexture);
        part("camera", kCamera);
        part("light", kLight);
        dense_.load_from(weights, bias, parameters["dense"], kIdentity);
    }

    const layers::PointwiseConv2d<C, kLayout.dense_size()>& dense() const { return dense_; }

private:
    layers::PointwiseConv2d<C, kLayout.dense_size()> dense_;
};

/// An architecture: biubug6's Resnet50.
struct ResNet50 {
    static constexpr const char* kName = "resnet50";
    static constexpr AnchorLayout kAnchors{3, 2, {8, 16, 32}, {{16, 32}, {64, 128}, {256, 512}}};

    using Backbone = ResNet<3,                                                                                   //
                            Stage<Bottleneck<64, 256>, Repeat<2, Bottleneck<256, 256>>>,                         //
                            Stage<Bottleneck<256, 512, 2>, Repeat<3, Bottleneck<512, 512>>>,                     //
                            Stage<Bottleneck<512, 1024, 2>, Repeat<5, Bottleneck<1024, 1024, 1, Maps::small>>>,  //
                            Stage<Bottleneck<1024, 2048, 2>, Repeat<2, Bottleneck<2048, 2048, 1, Maps::small>>>>;
    using Neck = WideFeaturePyramid<256, 512, 1024, 2048>;
    using Context = ContextModule<256, 128, 64>;
    using Head = Heads<256, kAnchors.per_cell>;

    static layers::Activation activation(const Weights&, const Profile&) { return kRelu; }
};

/// insightface's R50.
struct ResNet50Preactivation {
    static constexpr const char* kName = "resnet50_preactivation";
    static constexpr AnchorLayout kAnchors = ResNet50::kAnchors;

    using Backbone =
        PreactivationResNet<Stage<PreactivationUnit<64, 256>, Repeat<2, PreactivationUnit<256, 256>>>,                         //
                            Stage<PreactivationUnit<256, 512, 2>, Repeat<3, PreactivationUnit<512, 512>>>,                     //
                            Stage<PreactivationUnit<512, 1024, 2>, Repeat<5, PreactivationUnit<1024, 1024, 1, Maps::small>>>,  //
                            Stage<PreactivationUnit<1024, 2048, 2>, Repeat<2, PreactivationUnit<2048, 2048, 1, Maps::small>>>>;
    using Neck = WideFeaturePyramid<256, 256, 512, 2048>;
    using Context = ContextModule<256, 256, 128>;
    using Head = Heads<512, kAnchors.per_cell>;

    static layers::Activation activation(const Weights&, const Profile&) { return kRelu; }
};

/// The network of the paper.
struct ResNet152Deformable {
    static constexpr const char* kName = "resnet152_deformable";
    /// 16 * 2^(k / 3), k = 0 .. 14.
    static constexpr AnchorLayout kAnchors{5,
                                           3,
                                           {4, 8, 16, 32, 64},
                                           {{16, 20.158737f, 25.398417f},
                                            {32, 40.317474f, 50.796834f},
                                            {64, 80.634947f, 101.593667f},
                                            {128, 161.269894f, 203.187335f},
                                            {256, 322.539789f, 406.374669f}}};

    using Backbone = ResNet<4,                                                                                    //
                            Stage<Bottleneck<64, 256>, Repeat<2, Bottleneck<256, 256>>>,                          //
                            Stage<Bottleneck<256, 512, 2>, Repeat<7, Bottleneck<512, 512>>>,                      //
                            Stage<Bottleneck<512, 1024, 2>, Repeat<35, Bottleneck<1024, 1024, 1, Maps::small>>>,  //
                            Stage<Bottleneck<1024, 2048, 2>, Repeat<2, Bottleneck<2048, 2048, 1, Maps::small>>>>;
    using Neck = DeformableFeaturePyramid;
    using Context = DeformableContextModule<256>;
    using Head = DenseHeads<256, kAnchors.per_cell>;

    static layers::Activation activation(const Weights&, const Profile&) { return kRelu; }
};

}  // namespace models
RETINAFACE_END_NAMESPACE
