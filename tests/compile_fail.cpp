// Networks that are none: each case but 0 must fail to compile, with the words that tests/CMakeLists.txt expects.
#include "retinaface/models/mobilenet.hpp"

namespace {

using namespace retinaface::layers;

#if RETINAFACE_CASE == 0
// Everything below, put right.
using Network = Fused<Stem<3, 2, 8>, Separable<8, 16>, Separable<16, 32, 2>>;
static_assert(Network::kStride == 4 && Network::kChannelsOut == 32, "strides multiply");
Network network;
Conv2d<16, 24, 3> dense;
PointwiseConv2d<8, 64> pointwise;
DepthwiseConv2d<24, 2> depthwise;
#elif RETINAFACE_CASE == 1
Fused<Stem<3, 2, 8>, Separable<16, 32>> channels_of_neighbours_differ;
#elif RETINAFACE_CASE == 2
Conv2d<12, 16, 3> channels_in_are_no_multiple_of_8;
#elif RETINAFACE_CASE == 3
PointwiseConv2d<16, 20> channels_out_are_no_multiple_of_8;
#elif RETINAFACE_CASE == 4
DepthwiseConv2d<8, 3> stride_is_neither_1_nor_2;
#elif RETINAFACE_CASE == 5
Fused<Separable<8, 16>, Separable<16, 24>, Separable<32, 32>> later_neighbours_differ;
#endif

}  // namespace
