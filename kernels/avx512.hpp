// AVX-512 kernels (F, BW, DQ, VL): opens the target region, includes the bodies, closes it.
#pragma once

#include <cstring>
#include <type_traits>

#include "avx2.hpp"
#include "types.hpp"

#if RETINAFACE_ISA_AVX512

#include <immintrin.h>

RETINAFACE_BEGIN_NAMESPACE
namespace kernels {
RETINAFACE_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
namespace avx512 {
// Bodies build on each other in this order.
// clang-format off
#include "avx512/vec.hpp"

#include "generic/common.inl"
#include "generic/gemm.inl"
#include "generic/pixels.inl"
#include "generic/stem.inl"
#include "generic/depthwise.inl"
#include "generic/winograd.inl"
#include "generic/logits.inl"
#include "avx512/stem.inl"
#include "generic/set.inl"

// Pixels are bytes and words: AVX2 does them as fast.
#if RETINAFACE_ISA_AVX2
template <class Kernel>
inline Kernel get(Tag<Kernel>) {
    return get(avx2::Tag<Kernel>{});
}
#else
#include "generic/yuv.inl"
#include "generic/warp.inl"
#include "avx2/yuv.inl"
#include "avx2/warp.inl"
#include "generic/pixel_set.inl"
// clang-format on
#endif
}  // namespace avx512
RETINAFACE_TARGET_END
}  // namespace kernels
RETINAFACE_END_NAMESPACE

#endif
