// Rows of YUV turned into rgb8 (BT.601).
#pragma once

#include "../image.hpp"
#include "kernels.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace detail {

constexpr kernels::YuvMatrix yuv_matrix(YuvRange range) {
    // full: 1, 1.402, 0.344136, 0.714136, 1.772. video: luma times 255 / 219, chroma times 255 / 224.
    return range == YuvRange::full ? kernels::YuvMatrix{0, 8192, 11485, 2819, 5850, 14516}
                                   : kernels::YuvMatrix{16, 9539, 13075, 3209, 6660, 16525};
}

/// The kernels of one instruction set, which must be available.
struct YuvKernels {
    kernels::YuvBlend blend;
    kernels::YuvBlocks blocks;
    kernels::YuvPairs pairs;

    explicit YuvKernels(Isa isa)
        : blend(kernels::find<kernels::YuvBlend>(resolved(isa))),
          blocks(kernels::find<kernels::YuvBlocks>(resolved(isa))),
          pairs(kernels::find<kernels::YuvPairs>(resolved(isa))) {}
};

}  // namespace detail
RETINAFACE_END_NAMESPACE
