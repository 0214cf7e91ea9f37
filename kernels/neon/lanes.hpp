// What the mesh's kernels need beside vec.hpp. Included inside the neon namespace.

RETINAFACE_INLINE Vec divide(Vec a, Vec b) { return vdivq_f32(a, b); }
RETINAFACE_INLINE Vec square_root(Vec a) { return vsqrtq_f32(a); }
/// a > b ? x : y, lane by lane.
RETINAFACE_INLINE Vec select_greater(Vec a, Vec b, Vec x, Vec y) { return vbslq_f32(vcgtq_f32(a, b), x, y); }
/// Bit i: lane i is zero or below.
RETINAFACE_INLINE unsigned not_positive(Vec a) {
    const std::uint32_t bits[4] = {1, 2, 4, 8};
    return vaddvq_u32(vandq_u32(vcleq_f32(a, vdupq_n_f32(0)), vld1q_u32(bits)));
}
/// a * b, rounded: never fused with an addition, so that every set computes the same bits.
RETINAFACE_INLINE Vec product(Vec a, Vec b) {
    Vec p = vmulq_f32(a, b);
#if defined(__GNUC__)
    asm("" : "+w"(p));
#endif
    return p;
}

/// Eight lanes.
struct Eight {
    Vec low, high;
};
RETINAFACE_INLINE Eight load_eight(const float* p) { return {load(p), load(p + 4)}; }
RETINAFACE_INLINE void store_eight(float* p, Eight v) {
    store(p, v.low);
    store(p + 4, v.high);
}
RETINAFACE_INLINE Eight zero_eight() { return {zero(), zero()}; }
RETINAFACE_INLINE Eight fma_eight(float a, Eight b, Eight c) {
    return {fma(broadcast(a), b.low, c.low), fma(broadcast(a), b.high, c.high)};
}
RETINAFACE_INLINE Eight sub_eight(Eight a, Eight b) { return {sub(a.low, b.low), sub(a.high, b.high)}; }
RETINAFACE_INLINE Eight positive_eight(Eight v) { return {max(v.low, zero()), max(v.high, zero())}; }
/// sum[v] += value * w[v], as accumulate() of vec.hpp.
template <int V>
RETINAFACE_INLINE void accumulate_eights(Eight* sum, float value, const Eight* w) {
    const Vec factor = broadcast(value);
    RETINAFACE_UNROLL
    for (int v = 0; v < V; ++v) {
        accumulate(sum[v].low, factor, w[v].low);
        accumulate(sum[v].high, factor, w[v].high);
    }
}
/// Rows of a tile of dense products, by eights of columns: as many sums as registers hold.
constexpr int kEightRows[3] = {0, 8, 4};
