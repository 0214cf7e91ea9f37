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
namespace neon {
#include "neon/vec.hpp"

#include "generic/common.inl"
#include "generic/depthwise.inl"
#include "generic/logits.inl"
#include "generic/set.inl"
#include "generic/winograd.inl"
#include "neon/gemm.inl"
#include "neon/pixels.inl"
#include "neon/stem.inl"

#include "generic/pixel_set.inl"
#include "generic/warp.inl"
#include "generic/warp_plain.inl"
#include "generic/yuv.inl"
#include "neon/yuv.inl"
}  // namespace neon
}  // namespace kernels
RETINAFACE_END_NAMESPACE

#endif
