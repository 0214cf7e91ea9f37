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

/// kWidth whole numbers, rounded.
RETINAFACE_INLINE Vec load_ints(const std::int32_t* p) { return vcvtq_f32_s32(vld1q_s32(p)); }
/// A 4 x 4 matrix with a row a vector.
RETINAFACE_INLINE void transpose_fours(Vec a, Vec b, Vec c, Vec d, Vec* out) {
    const float32x4x2_t ab = vtrnq_f32(a, b), cd = vtrnq_f32(c, d);
    out[0] = vcombine_f32(vget_low_f32(ab.val[0]), vget_low_f32(cd.val[0]));
    out[1] = vcombine_f32(vget_low_f32(ab.val[1]), vget_low_f32(cd.val[1]));
    out[2] = vcombine_f32(vget_high_f32(ab.val[0]), vget_high_f32(cd.val[0]));
    out[3] = vcombine_f32(vget_high_f32(ab.val[1]), vget_high_f32(cd.val[1]));
}
/// out[i] is float i of the four at row(lane), lane by lane.
template <class Row>
RETINAFACE_INLINE void load_fours(Row row, Vec* out) {
    transpose_fours(load(row(0)), load(row(1)), load(row(2)), load(row(3)), out);
}
/// Float i of the four at to + 4 * lane is that lane of v[i].
RETINAFACE_INLINE void store_fours(float* to, const Vec* v) { vst4q_f32(to, {{v[0], v[1], v[2], v[3]}}); }
/// Float i of the three at to + 3 * lane is that lane of v[i].
RETINAFACE_INLINE void store_threes(float* to, const Vec* v) { vst3q_f32(to, {{v[0], v[1], v[2]}}); }
/// Adds four floats.
RETINAFACE_INLINE void add_four(float* to, const float* from) { store(to, add(load(to), load(from))); }
/// Lanes whose bits are set, one after the other, and anything up to kWidth floats; returns how many they are.
RETINAFACE_INLINE int compress(float* to, Vec v, unsigned bits) {
    float lanes[4];
    store(lanes, v);
    unsigned count = 0;
    for (unsigned i = 0; i < 4; ++i) {
        to[count] = lanes[i];
        count += bits >> i & 1;
    }
    return static_cast<int>(count);
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
/// Four factors.
using FourFactors = Vec;
RETINAFACE_INLINE FourFactors load_four_factors(const float* p) { return load(p); }
/// One of them in every lane.
template <int I>
RETINAFACE_INLINE Vec spread(FourFactors factors) {
    return vdupq_laneq_f32(factors, I);
}
RETINAFACE_INLINE Eight fma_eight(Vec a, Eight b, Eight c) { return {fma(a, b.low, c.low), fma(a, b.high, c.high)}; }
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
