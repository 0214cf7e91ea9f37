// What the mesh's kernels need beside vec.hpp. Included inside the avx512 target region and namespace.

RETINAFACE_INLINE Vec divide(Vec a, Vec b) { return _mm512_div_ps(a, b); }
RETINAFACE_INLINE Vec square_root(Vec a) { return _mm512_maskz_sqrt_ps(kAll, a); }
/// a > b ? x : y, lane by lane.
RETINAFACE_INLINE Vec select_greater(Vec a, Vec b, Vec x, Vec y) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_GT_OQ), y, x);
}
/// Bit i: lane i is zero or below.
RETINAFACE_INLINE unsigned not_positive(Vec a) { return _mm512_cmp_ps_mask(a, _mm512_setzero_ps(), _CMP_LE_OQ); }
/// a * b, rounded: never fused with an addition, so that every set computes the same bits.
RETINAFACE_INLINE Vec product(Vec a, Vec b) {
    Vec p = _mm512_mul_ps(a, b);
#if defined(__GNUC__)
    asm("" : "+v"(p));
#endif
    return p;
}

/// kWidth whole numbers, rounded.
RETINAFACE_INLINE Vec load_ints(const std::int32_t* p) { return _mm512_maskz_cvtepi32_ps(kAll, _mm512_loadu_si512(p)); }
/// In each quarter of the vectors, a 4 x 4 matrix with a row a vector.
RETINAFACE_INLINE void transpose_fours(Vec a, Vec b, Vec c, Vec d, Vec* out) {
    const Vec low0 = _mm512_maskz_unpacklo_ps(kAll, a, b), low1 = _mm512_maskz_unpacklo_ps(kAll, c, d);
    const Vec high0 = _mm512_maskz_unpackhi_ps(kAll, a, b), high1 = _mm512_maskz_unpackhi_ps(kAll, c, d);
    out[0] = _mm512_maskz_shuffle_ps(kAll, low0, low1, 0x44);
    out[1] = _mm512_maskz_shuffle_ps(kAll, low0, low1, 0xEE);
    out[2] = _mm512_maskz_shuffle_ps(kAll, high0, high1, 0x44);
    out[3] = _mm512_maskz_shuffle_ps(kAll, high0, high1, 0xEE);
}
/// out[i] is float i of the four at row(lane), lane by lane.
template <class Row>
RETINAFACE_INLINE void load_fours(Row row, Vec* out) {
    const auto four = [&](int i) {
        const auto two = [&](int j) {
            return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(row(j))), _mm_loadu_ps(row(j + 4)), 1);
        };
        return _mm512_maskz_insertf32x8(kAll, _mm512_castps256_ps512(two(i)), two(i + 8), 1);
    };
    transpose_fours(four(0), four(1), four(2), four(3), out);
}
/// Float i of the four at to + 4 * lane is that lane of v[i].
RETINAFACE_INLINE void store_fours(float* to, const Vec* v) {
    Vec four[4];
    transpose_fours(v[0], v[1], v[2], v[3], four);
    for (int i = 0; i < 4; ++i) {
        _mm_storeu_ps(to + 4 * i, _mm512_maskz_extractf32x4_ps(0xF, four[i], 0));
        _mm_storeu_ps(to + 4 * (i + 4), _mm512_maskz_extractf32x4_ps(0xF, four[i], 1));
        _mm_storeu_ps(to + 4 * (i + 8), _mm512_maskz_extractf32x4_ps(0xF, four[i], 2));
        _mm_storeu_ps(to + 4 * (i + 12), _mm512_maskz_extractf32x4_ps(0xF, four[i], 3));
    }
}
/// Float i of the three at to + 3 * lane is that lane of v[i].
RETINAFACE_INLINE void store_threes(float* to, const Vec* v) {
    // Lanes of v[0], or 16 + lanes of v[1], with anything where lanes of v[2] come in.
    const __m512i from01[3] = {_mm512_setr_epi32(0, 16, 0, 1, 17, 0, 2, 18, 0, 3, 19, 0, 4, 20, 0, 5),
                               _mm512_setr_epi32(21, 0, 6, 22, 0, 7, 23, 0, 8, 24, 0, 9, 25, 0, 10, 26),
                               _mm512_setr_epi32(0, 11, 27, 0, 12, 28, 0, 13, 29, 0, 14, 30, 0, 15, 31, 0)};
    const __m512i from2[3] = {_mm512_setr_epi32(0, 0, 0, 0, 0, 1, 0, 0, 2, 0, 0, 3, 0, 0, 4, 0),
                              _mm512_setr_epi32(0, 5, 0, 0, 6, 0, 0, 7, 0, 0, 8, 0, 0, 9, 0, 0),
                              _mm512_setr_epi32(10, 0, 0, 11, 0, 0, 12, 0, 0, 13, 0, 0, 14, 0, 0, 15)};
    constexpr __mmask16 third[3] = {0x4924, 0x2492, 0x9249};
    for (int i = 0; i < 3; ++i)
        store(to + 16 * i, _mm512_mask_permutexvar_ps(_mm512_permutex2var_ps(v[0], from01[i], v[1]), third[i], from2[i], v[2]));
}
/// Adds four floats.
RETINAFACE_INLINE void add_four(float* to, const float* from) {
    _mm_storeu_ps(to, _mm_add_ps(_mm_loadu_ps(to), _mm_loadu_ps(from)));
}
/// Lanes whose bits are set, one after the other, and anything up to kWidth floats; returns how many they are.
RETINAFACE_INLINE int compress(float* to, Vec v, unsigned bits) {
    store(to, _mm512_maskz_compress_ps(static_cast<__mmask16>(bits), v));
    return __builtin_popcount(bits);
}
