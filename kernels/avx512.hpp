// AVX-512 kernels (F, BW, DQ, VL): opens the target region, includes the bodies, closes it.
#pragma once

#include <cstring>
#include <type_traits>

#include "types.hpp"

#if RETINAFACE_ISA_AVX512

#include <immintrin.h>

RETINAFACE_BEGIN_NAMESPACE
namespace kernels {
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#endif
namespace avx512 {
#define RETINAFACE_THIS_ISA avx512
#include "avx512/vec.hpp"

#include "generic/common.inl"
#include "generic/gemm.inl"
#include "avx512/stem.inl"
#include "generic/depthwise.inl"
#include "generic/winograd.inl"
#include "generic/logits.inl"

#include "generic/table.inl"
#undef RETINAFACE_THIS_ISA
}  // namespace avx512
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
}  // namespace kernels
RETINAFACE_END_NAMESPACE

#endif
