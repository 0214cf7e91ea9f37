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
#include "avx512/vec.hpp"

#include "avx512/stem.inl"
#include "generic/common.inl"
#include "generic/depthwise.inl"
#include "generic/gemm.inl"
#include "generic/logits.inl"
#include "generic/pixels.inl"
#include "generic/set.inl"
#include "generic/stem.inl"
#include "generic/winograd.inl"

// Pixels are bytes and words: AVX2 does them as fast.
#if RETINAFACE_ISA_AVX2
template <class Kernel>
inline Kernel get(Tag<Kernel> kernel) {
    return avx2::get(kernel);
}
#else
#include "avx2/warp.inl"
#include "avx2/yuv.inl"
#include "generic/pixel_set.inl"
#include "generic/warp.inl"
#include "generic/yuv.inl"
#endif
}  // namespace avx512
RETINAFACE_TARGET_END
}  // namespace kernels
RETINAFACE_END_NAMESPACE

#endif
