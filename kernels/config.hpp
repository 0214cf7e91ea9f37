// Build configuration shared by every header: the version, the configuration macros and the inline namespace that encodes
// them, so that translation units compiled with different flags or options never share a function.
//
// Macros a program may define before the first include (all default to undefined = off):
//   RETINAFACE_STATIC_DISPATCH      compile only the kernel set that the compiler's own target flags select
//   RETINAFACE_USE_XSIMD            build the portable kernels on xsimd (which must be on the include path)
//   RETINAFACE_NO_DEFAULT_WEIGHTS   leave the embedded weights out (no default-constructed Detector)
#pragma once

#define RETINAFACE_VERSION_MAJOR 0
#define RETINAFACE_VERSION_MINOR 2
#define RETINAFACE_VERSION_PATCH 0

#if defined(__x86_64__)
#define RETINAFACE_X86_64 1
#else
#define RETINAFACE_X86_64 0
#endif

#if defined(__aarch64__)
#define RETINAFACE_AARCH64 1
#else
#define RETINAFACE_AARCH64 0
#endif

// The floor: what the compiler may use anywhere, from -march and the like.
#if RETINAFACE_X86_64 && defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define RETINAFACE_BASELINE_TAG _avx512
#define RETINAFACE_BASELINE_AVX512 1
#define RETINAFACE_BASELINE_AVX2 1
#elif RETINAFACE_X86_64 && defined(__AVX2__) && defined(__FMA__)
#define RETINAFACE_BASELINE_TAG _avx2
#define RETINAFACE_BASELINE_AVX512 0
#define RETINAFACE_BASELINE_AVX2 1
#else
#define RETINAFACE_BASELINE_TAG
#define RETINAFACE_BASELINE_AVX512 0
#define RETINAFACE_BASELINE_AVX2 0
#endif

// Which kernel sets this translation unit compiles. A set that lies under the floor is dropped.
#if defined(RETINAFACE_STATIC_DISPATCH)
#define RETINAFACE_DISPATCH_TAG _static
#define RETINAFACE_ISA_AVX512 RETINAFACE_BASELINE_AVX512
#define RETINAFACE_ISA_AVX2 (RETINAFACE_BASELINE_AVX2 && !RETINAFACE_BASELINE_AVX512)
#else
#define RETINAFACE_DISPATCH_TAG
#define RETINAFACE_ISA_AVX512 RETINAFACE_X86_64
#define RETINAFACE_ISA_AVX2 (RETINAFACE_X86_64 && !RETINAFACE_BASELINE_AVX512)
#endif
#define RETINAFACE_ISA_NEON RETINAFACE_AARCH64
#if defined(RETINAFACE_STATIC_DISPATCH)
#define RETINAFACE_ISA_PORTABLE (!RETINAFACE_BASELINE_AVX2 && !RETINAFACE_ISA_NEON)
#else
#define RETINAFACE_ISA_PORTABLE (!RETINAFACE_BASELINE_AVX2)
#endif

#if defined(RETINAFACE_USE_XSIMD)
#define RETINAFACE_PORTABLE_TAG _xsimd
#else
#define RETINAFACE_PORTABLE_TAG
#endif

#if defined(RETINAFACE_NO_DEFAULT_WEIGHTS)
#define RETINAFACE_WEIGHTS_TAG _no_weights
#else
#define RETINAFACE_WEIGHTS_TAG
#endif

// Whether a function that fails can throw (error.hpp).
#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
#define RETINAFACE_EXCEPTIONS 1
#define RETINAFACE_ERRORS_TAG
#else
#define RETINAFACE_EXCEPTIONS 0
#define RETINAFACE_ERRORS_TAG _no_exceptions
#endif

// The version, and what differs from the defaults: v0_2_0, v0_2_0_avx2_static.
#define RETINAFACE_JOIN_(a, b, c, d, e, f, g, h) v##a##_##b##_##c##d##e##f##g##h
#define RETINAFACE_JOIN(a, b, c, d, e, f, g, h) RETINAFACE_JOIN_(a, b, c, d, e, f, g, h)
#define RETINAFACE_ABI                                                                                                     \
    RETINAFACE_JOIN(RETINAFACE_VERSION_MAJOR, RETINAFACE_VERSION_MINOR, RETINAFACE_VERSION_PATCH, RETINAFACE_BASELINE_TAG, \
                    RETINAFACE_DISPATCH_TAG, RETINAFACE_PORTABLE_TAG, RETINAFACE_WEIGHTS_TAG, RETINAFACE_ERRORS_TAG)

#define RETINAFACE_BEGIN_NAMESPACE \
    namespace retinaface {         \
    inline namespace RETINAFACE_ABI {
#define RETINAFACE_END_NAMESPACE \
    }                            \
    }

// A loop over registers must be unrolled at -O2 too, or the registers become memory.
#if defined(__clang__)
#define RETINAFACE_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define RETINAFACE_UNROLL _Pragma("GCC unroll 64")
#else
#define RETINAFACE_UNROLL
#endif

// A target region: functions and templates defined between BEGIN and END may use that instruction set, whatever the compiler's flags.
#define RETINAFACE_PRAGMA(x) _Pragma(#x)
#if defined(__clang__)
#define RETINAFACE_TARGET_BEGIN(features) \
    RETINAFACE_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define RETINAFACE_TARGET_END _Pragma("clang attribute pop")
#elif defined(__GNUC__)
#define RETINAFACE_TARGET_BEGIN(features) _Pragma("GCC push_options") RETINAFACE_PRAGMA(GCC target(features))
#define RETINAFACE_TARGET_END _Pragma("GCC pop_options")
#endif

#if defined(__GNUC__)
#define RETINAFACE_INLINE inline __attribute__((always_inline))
#define RETINAFACE_RESTRICT __restrict__
#else
#define RETINAFACE_INLINE inline
#define RETINAFACE_RESTRICT
#endif
