// Vector instructions in the passes over 8-bit pixels. These work in fixed point: plain loops and vectors give the same bytes.
#pragma once

#include "../config.hpp"

#if RETINAFACE_X86_64 && (!defined(RETINAFACE_STATIC_DISPATCH) || RETINAFACE_BASELINE_AVX2)
#define RETINAFACE_PIXELS_AVX2 1
#include <immintrin.h>
#else
#define RETINAFACE_PIXELS_AVX2 0
#endif

#if RETINAFACE_AARCH64
#define RETINAFACE_PIXELS_NEON 1
#include <arm_neon.h>
#else
#define RETINAFACE_PIXELS_NEON 0
#endif

RETINAFACE_BEGIN_NAMESPACE
namespace detail {

/// Whether code of this instruction set uses them: those that this build has, where this CPU runs them.
inline bool use_vectors(Isa isa) noexcept {
    if (isa == Isa::reference || isa == Isa::portable) return false;
#if RETINAFACE_PIXELS_AVX2
    return __builtin_cpu_supports("avx2");
#else
    return RETINAFACE_PIXELS_NEON != 0;
#endif
}

}  // namespace detail
RETINAFACE_END_NAMESPACE
