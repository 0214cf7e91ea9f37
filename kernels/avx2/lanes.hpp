// What the mesh's kernels need beside vec.hpp. Included inside the avx2 target region and namespace.

RETINAFACE_INLINE Vec divide(Vec a, Vec b) { return _mm256_div_ps(a, b); }
RETINAFACE_INLINE Vec square_root(Vec a) { return _mm256_sqrt_ps(a); }
/// a > b ? x : y, lane by lane.
RETINAFACE_INLINE Vec select_greater(Vec a, Vec b, Vec x, Vec y) {
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_GT_OQ));
}
/// Bit i: lane i is zero or below.
RETINAFACE_INLINE unsigned not_positive(Vec a) {
    return static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(a, _mm256_setzero_ps(), _CMP_LE_OQ)));
}
/// a * b, rounded: never fused with an addition, so that every set computes the same bits.
RETINAFACE_INLINE Vec product(Vec a, Vec b) {
    Vec p = _mm256_mul_ps(a, b);
#if defined(__GNUC__)
    asm("" : "+x"(p));
#endif
    return p;
}

/// Eight lanes.
using Eight = Vec;
RETINAFACE_INLINE Eight load_eight(const float* p) { return load(p); }
RETINAFACE_INLINE void store_eight(float* p, Eight v) { store(p, v); }
RETINAFACE_INLINE Eight zero_eight() { return zero(); }
RETINAFACE_INLINE Eight fma_eight(float a, Eight b, Eight c) { return fma(broadcast(a), b, c); }
RETINAFACE_INLINE Eight sub_eight(Eight a, Eight b) { return sub(a, b); }
RETINAFACE_INLINE Eight positive_eight(Eight v) { return max(v, zero()); }
/// sum[v] += value * w[v], as accumulate() of vec.hpp.
template <int V>
RETINAFACE_INLINE void accumulate_eights(Eight* sum, float value, const Eight* w) {
    const Vec factor = broadcast(value);
    RETINAFACE_UNROLL
    for (int v = 0; v < V; ++v) accumulate(sum[v], factor, w[v]);
}
/// Rows of a tile of dense products, by eights of columns: as many sums as registers hold.
constexpr int kEightRows[3] = {0, 12, 6};
