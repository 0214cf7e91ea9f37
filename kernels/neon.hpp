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
#define RETINAFACE_THIS_ISA neon
#include "neon/vec.hpp"

#include "generic/common.inl"
#include "neon/gemm.inl"
#include "neon/pixels.inl"
#include "neon/stem.inl"
#include "generic/depthwise.inl"
#include "generic/winograd.inl"
#include "generic/logits.inl"

#include "generic/table.inl"
#undef RETINAFACE_THIS_ISA
}  // namespace neon
}  // namespace kernels
RETINAFACE_END_NAMESPACE

#endif
