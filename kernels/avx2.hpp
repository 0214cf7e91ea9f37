// AVX2 kernels (with FMA): opens the target region, includes the bodies, closes it.
#pragma once

#include <cstring>
#include <type_traits>

#include "types.hpp"

#if RETINAFACE_ISA_AVX2

#include <immintrin.h>

RETINAFACE_BEGIN_NAMESPACE
namespace kernels {
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
namespace avx2 {
#define RETINAFACE_THIS_ISA avx2
#include "avx2/vec.hpp"

#include "generic/common.inl"
#include "generic/gemm.inl"
#include "generic/pixels.inl"
#include "generic/stem.inl"
#include "generic/depthwise.inl"
#include "generic/winograd.inl"
#include "generic/logits.inl"

#include "generic/table.inl"
#undef RETINAFACE_THIS_ISA
}  // namespace avx2
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
}  // namespace kernels
RETINAFACE_END_NAMESPACE

#endif
