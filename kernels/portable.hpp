// Portable kernels: plain C++, or xsimd where RETINAFACE_USE_XSIMD is defined.
#pragma once

#include <cstring>
#include <type_traits>

#include "types.hpp"

#if RETINAFACE_ISA_PORTABLE

#if defined(RETINAFACE_USE_XSIMD)
#include <xsimd/xsimd.hpp>
#endif

RETINAFACE_BEGIN_NAMESPACE
namespace kernels {
namespace portable {
// Bodies build on each other in this order.
// clang-format off
#include "portable/vec.hpp"

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
#include "generic/yuv_plain.inl"
#include "generic/warp_plain.inl"
#include "generic/pixel_set.inl"
// clang-format on
}  // namespace portable
}  // namespace kernels
RETINAFACE_END_NAMESPACE

#endif
