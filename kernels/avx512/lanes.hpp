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

/// Eight lanes.
using Eight = __m256;
RETINAFACE_INLINE Eight load_eight(const float* p) { return _mm256_loadu_ps(p); }
RETINAFACE_INLINE void store_eight(float* p, Eight v) { _mm256_storeu_ps(p, v); }
RETINAFACE_INLINE Eight zero_eight() { return _mm256_setzero_ps(); }
RETINAFACE_INLINE Eight fma_eight(float a, Eight b, Eight c) { return _mm256_fmadd_ps(_mm256_set1_ps(a), b, c); }
RETINAFACE_INLINE Eight sub_eight(Eight a, Eight b) { return _mm256_sub_ps(a, b); }
RETINAFACE_INLINE Eight positive_eight(Eight v) { return _mm256_max_ps(v, _mm256_setzero_ps()); }
/// sum[v] += value * w[v], as accumulate() of vec.hpp.
template <int V>
RETINAFACE_INLINE void accumulate_eights(Eight* sum, float value, const Eight* w) {
    const Eight factor = _mm256_set1_ps(value);
    RETINAFACE_UNROLL
    for (int v = 0; v < V; ++v) {
#if defined(__GNUC__) && !defined(__clang__)
        asm("vfmadd231ps %2, %1, %0" : "+x"(sum[v]) : "x"(factor), "x"(w[v]));
#else
        sum[v] = _mm256_fmadd_ps(factor, w[v], sum[v]);
#endif
    }
}
/// Rows of a tile of dense products, by eights of columns: as many sums as registers hold.
constexpr int kEightRows[3] = {0, 12, 6};
