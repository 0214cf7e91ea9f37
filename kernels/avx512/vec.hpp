// 16 lanes of AVX-512. Included inside the avx512 target region and namespace.
//
// GCC 12's plain forms of some intrinsics start from an undefined register and draw false -Wuninitialized warnings; the zero-masked
// forms with a full mask compile to the same instruction without.

using Vec = __m512;
constexpr int kWidth = 16;
constexpr __mmask16 kAll = 0xFFFF;
constexpr int kWidest = 4;
constexpr int kGemmRows[5] = {0, 12, 12, 8, 6};  // tile rows by panel width in vectors: 24 accumulators, weights, one broadcast

RETINAFACE_INLINE Vec load(const float* p) { return _mm512_loadu_ps(p); }
RETINAFACE_INLINE void store(float* p, Vec v) { _mm512_storeu_ps(p, v); }
RETINAFACE_INLINE Vec broadcast(float x) { return _mm512_set1_ps(x); }
RETINAFACE_INLINE Vec zero() { return _mm512_setzero_ps(); }
RETINAFACE_INLINE Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
RETINAFACE_INLINE Vec sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
RETINAFACE_INLINE Vec mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
RETINAFACE_INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
/// a, unless b is greater; a NaN in b gives b.
RETINAFACE_INLINE Vec max(Vec a, Vec b) { return _mm512_maskz_max_ps(kAll, a, b); }
RETINAFACE_INLINE float reduce_add(Vec v) {
    const __m256 half = _mm256_add_ps(_mm512_maskz_extractf32x8_ps(0xFF, v, 0), _mm512_maskz_extractf32x8_ps(0xFF, v, 1));
    const __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    const __m128 pair = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)));
}
RETINAFACE_INLINE Vec load_u8(const std::uint8_t* p) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm512_maskz_cvtepi32_ps(kAll, _mm512_maskz_cvtepu8_epi32(kAll, bytes));
}

/// The first 8 lanes; the others are 0.
RETINAFACE_INLINE Vec load_half(const float* p) { return _mm512_maskz_loadu_ps(0xFF, p); }
RETINAFACE_INLINE void store_half(float* p, Vec v) { _mm512_mask_storeu_ps(p, 0xFF, v); }

/// acc += a * b in the register that holds acc. GCC 12 given the intrinsic in a large unrolled tile multiplies into other registers,
/// moves and spills them, for two thirds of this form's speed.
RETINAFACE_INLINE void accumulate(Vec& acc, Vec a, Vec b) {
#if defined(__GNUC__) && !defined(__clang__)
    asm("vfmadd231ps %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
#else
    acc = fma(a, b, acc);
#endif
}
/// Two copies of 8 floats.
RETINAFACE_INLINE Vec load_twice(const float* p) { return _mm512_maskz_broadcast_f32x8(kAll, _mm256_loadu_ps(p)); }

/// Asks for the cache line at p, which need not be readable.
RETINAFACE_INLINE void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }
