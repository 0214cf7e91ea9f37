// 8 lanes of AVX2 with FMA. Included inside the avx2 target region and namespace.

using Vec = __m256;
constexpr int kWidth = 8;
constexpr int kWidest = 2;
constexpr int kGemmRows[5] = {0, 12, 6, 4, 3};  // tile rows by panel width in vectors: 12 accumulators of 16 registers

RETINAFACE_INLINE Vec load(const float* p) { return _mm256_loadu_ps(p); }
RETINAFACE_INLINE void store(float* p, Vec v) { _mm256_storeu_ps(p, v); }
RETINAFACE_INLINE Vec broadcast(float x) { return _mm256_set1_ps(x); }
RETINAFACE_INLINE Vec zero() { return _mm256_setzero_ps(); }
RETINAFACE_INLINE Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
RETINAFACE_INLINE Vec sub(Vec a, Vec b) { return _mm256_sub_ps(a, b); }
RETINAFACE_INLINE Vec mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
RETINAFACE_INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
/// a, unless b is greater; a NaN in b gives b.
RETINAFACE_INLINE Vec max(Vec a, Vec b) { return _mm256_max_ps(a, b); }
RETINAFACE_INLINE float reduce_add(Vec v) {
    const __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 pair = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)));
}
RETINAFACE_INLINE Vec load_u8(const std::uint8_t* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}

/// Half vectors do not occur at this width: channel counts are multiples of 8.
RETINAFACE_INLINE Vec load_half(const float* p) { return load(p); }
RETINAFACE_INLINE void store_half(float* p, Vec v) { store(p, v); }

/// acc += a * b in the register that holds acc. GCC 12 given the intrinsic in a large unrolled tile multiplies into other registers,
/// moves and spills them, for two thirds of this form's speed.
RETINAFACE_INLINE void accumulate(Vec& acc, Vec a, Vec b) {
#if defined(__GNUC__) && !defined(__clang__)
    asm("vfmadd231ps %2, %1, %0" : "+x"(acc) : "x"(a), "x"(b));
#else
    acc = fma(a, b, acc);
#endif
}
/// Two copies of 8 floats fill a vector of 16 lanes only.
RETINAFACE_INLINE Vec load_twice(const float* p) { return load(p); }

/// Asks for the cache line at p, which need not be readable.
RETINAFACE_INLINE void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }
