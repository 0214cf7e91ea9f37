// The machine's own limit: multiply-adds on registers alone, for every instruction set.
#pragma once

#include <algorithm>
#include <chrono>

#include <retinaface.hpp>

#if RETINAFACE_X86_64
#include <immintrin.h>
#elif RETINAFACE_AARCH64
#include <arm_neon.h>
#endif

namespace bench {

/// Steps of a loop below.
constexpr int kPeakSteps = 20000;

// Twelve chains hide the latency of two FMA units and fit sixteen registers. They are variables, not an array, which compilers
// would keep in memory. The empty asm keeps the chains from being computed at compile time.
#define BENCH_PEAK_CHAINS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define BENCH_PEAK_LOOP(lanes, splat, fma)          \
    auto a = splat(0.999f), b = splat(0.001f);      \
    BENCH_KEEP(a);                                  \
    BENCH_KEEP(b);                                  \
    BENCH_PEAK_CHAINS(BENCH_PEAK_BEGIN)             \
    for (int step = 0; step < kPeakSteps; ++step) { \
        BENCH_PEAK_CHAINS(fma)                      \
    }                                               \
    return 2.0 * lanes * 12 * kPeakSteps
#define BENCH_PEAK_BEGIN(i) auto s##i = b;

#if RETINAFACE_X86_64
#define BENCH_KEEP(v) asm volatile("" : "+v"(v))

#define BENCH_PEAK_AVX512(i)            \
    s##i = _mm512_fmadd_ps(s##i, a, b); \
    BENCH_KEEP(s##i);
__attribute__((target("avx512f"))) inline double peak_avx512() { BENCH_PEAK_LOOP(16, _mm512_set1_ps, BENCH_PEAK_AVX512); }
#define BENCH_PEAK_AVX2(i)              \
    s##i = _mm256_fmadd_ps(s##i, a, b); \
    BENCH_KEEP(s##i);
__attribute__((target("avx2,fma"))) inline double peak_avx2() { BENCH_PEAK_LOOP(8, _mm256_set1_ps, BENCH_PEAK_AVX2); }
/// Plain x86-64 multiplies and adds.
#define BENCH_PEAK_SSE2(i)                     \
    s##i = _mm_add_ps(_mm_mul_ps(s##i, a), b); \
    BENCH_KEEP(s##i);
inline double peak_portable() { BENCH_PEAK_LOOP(4, _mm_set1_ps, BENCH_PEAK_SSE2); }
#undef BENCH_PEAK_AVX512
#undef BENCH_PEAK_AVX2
#undef BENCH_PEAK_SSE2
#undef BENCH_KEEP
#elif RETINAFACE_AARCH64
#define BENCH_KEEP(v) asm volatile("" : "+w"(v))
#define BENCH_PEAK_NEON(i)        \
    s##i = vfmaq_f32(b, s##i, a); \
    BENCH_KEEP(s##i);
inline double peak_neon() { BENCH_PEAK_LOOP(4, vdupq_n_f32, BENCH_PEAK_NEON); }
#undef BENCH_PEAK_NEON
inline double peak_portable() { return peak_neon(); }
#undef BENCH_KEEP
#else
inline double peak_portable() {
    float sums[8] = {};
    volatile float operand = 0.999f;
    const float a = operand;
    for (int step = 0; step < kPeakSteps; ++step)
        for (float& sum : sums) sum = sum * a + a;
    operand = sums[0] + sums[1] + sums[2] + sums[3] + sums[4] + sums[5] + sums[6] + sums[7];
    return 2.0 * 8 * kPeakSteps;
}
#endif
#undef BENCH_PEAK_LOOP
#undef BENCH_PEAK_BEGIN
#undef BENCH_PEAK_CHAINS

/// FLOP/s of one core, best of many tries (the best is the one that nothing disturbed); 0 where there is no loop for the set.
inline double measured_peak(retinaface::Isa isa) {
    double (*loop)() = nullptr;
    switch (isa) {
#if RETINAFACE_X86_64
        case retinaface::Isa::avx512: loop = peak_avx512; break;
        case retinaface::Isa::avx2: loop = peak_avx2; break;
#elif RETINAFACE_AARCH64
        case retinaface::Isa::neon: loop = peak_neon; break;
#endif
        case retinaface::Isa::portable: loop = peak_portable; break;
        default: return 0;
    }
    using Clock = std::chrono::steady_clock;
    double best = 0;
    const auto end = Clock::now() + std::chrono::milliseconds(300);
    while (Clock::now() < end) {
        const auto start = Clock::now();
        const double flops = loop();
        best = std::max(best, flops / std::chrono::duration<double>(Clock::now() - start).count());
    }
    return best;
}

}  // namespace bench
