// MobileNet-0.25 (Howard et al., 2017, width 0.25) as RetinaFace's backbone: three stages whose outputs have strides 8, 16 and 32.
#pragma once

#include "../layers/sequence.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace models {

using layers::Conv2d;
using layers::Fused;
using layers::Separable;
using layers::Sequence;

/// The backbone of biubug6's mobilenet0.25 and insightface's mnet.25.
struct MobileNet025 {
    static constexpr const char* kArchitecture = "mobilenet025";

    // The first stage has the largest maps: it runs depth first and never leaves the cache.
    using Stage1 = Fused<Conv2d<3, 8, 3, 2>,    //
                         Separable<8, 16>,      //
                         Separable<16, 32, 2>,  //
                         Separable<32, 32>,     //
                         Separable<32, 64, 2>,  //
                         Separable<64, 64>>;
    using Stage2 = Sequence<Separable<64, 128, 2>,  //
                            Separable<128, 128>,    //
                            Separable<128, 128>,    //
                            Separable<128, 128>,    //
                            Separable<128, 128>,    //
                            Separable<128, 128>>;
    using Stage3 = Sequence<Separable<128, 256, 2>,  //
                            Separable<256, 256>>;

    /// Number of the first depthwise-separable block of each stage, as the weights file counts.
    static constexpr int kFirstBlock[3] = {1, 6, 12};
};

/// The paper's light variant: a 7 x 7 stride-4 convolution in place of the first two stride-2 steps.
struct MobileNet025Light {
    static constexpr const char* kArchitecture = "mobilenet025_light";

    using Stage1 = Fused<Conv2d<3, 16, 7, 4>,   //
                         Separable<16, 32>,     //
                         Separable<32, 32>,     //
                         Separable<32, 64, 2>,  //
                         Separable<64, 64>>;
    using Stage2 = MobileNet025::Stage2;
    using Stage3 = MobileNet025::Stage3;

    static constexpr int kFirstBlock[3] = {2, 6, 12};
};

}  // namespace models
RETINAFACE_END_NAMESPACE
