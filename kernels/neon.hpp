// NEON kernels (ARMv8.0).
#pragma once

#include <cstring>
#include <type_traits>
#include <utility>

#include "types.hpp"

#if RETINAFACE_ISA_NEON

#include <arm_neon.h>

RETINAFACE_BEGIN_NAMESPACE
namespace kernels {
// GCC sees a change of sign in array bounds that are template arguments.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
namespace neon {
// Bodies build on each other in this order.
// clang-format off
#include "neon/vec.hpp"

#include "generic/common.inl"
#include "neon/gemm.inl"
#include "neon/pixels.inl"
#include "neon/stem.inl"
#include "generic/depthwise.inl"
#include "generic/winograd.inl"
#include "generic/logits.inl"
#include "generic/set.inl"

#include "generic/yuv.inl"
#include "generic/warp.inl"
#include "neon/yuv.inl"
#include "generic/warp_plain.inl"
#include "generic/pixel_set.inl"
// clang-format on
}  // namespace neon
#pragma GCC diagnostic pop
}  // namespace kernels
RETINAFACE_END_NAMESPACE

#endif
