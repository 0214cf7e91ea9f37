// AVX2 kernels (with FMA): opens the target region, includes the bodies, closes it.
#pragma once

#include <cstring>
#include <type_traits>

#include "types.hpp"

#if RETINAFACE_ISA_AVX2

#include <immintrin.h>

RETINAFACE_BEGIN_NAMESPACE
namespace kernels {
RETINAFACE_TARGET_BEGIN("avx2,fma")
namespace avx2 {
// Bodies build on each other in this order.
// clang-format off
#include "avx2/vec.hpp"

#include "generic/common.inl"
#include "generic/gemm.inl"
#include "generic/pixels.inl"
#include "generic/stem.inl"
#include "generic/depthwise.inl"
#include "generic/winograd.inl"
#include "generic/logits.inl"
#include "generic/set.inl"

#include "generic/yuv.inl"
#include "generic/warp.inl"
#include "avx2/yuv.inl"
#include "avx2/warp.inl"
#include "generic/pixel_set.inl"
// clang-format on
}  // namespace avx2
RETINAFACE_TARGET_END
}  // namespace kernels
RETINAFACE_END_NAMESPACE

#endif
