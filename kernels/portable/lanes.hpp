// What the mesh's kernels need beside vec.hpp, lane by lane where vectors have no operator for it. Included inside the portable
// namespace.

template <class Op>
RETINAFACE_INLINE Vec each_lane(Vec a, Vec b, Op op) {
    float x[kWidth], y[kWidth];
    store(x, a);
    store(y, b);
    for (int i = 0; i < kWidth; ++i) x[i] = op(x[i], y[i]);
    return load(x);
}
RETINAFACE_INLINE Vec divide(Vec a, Vec b) {
    return each_lane(a, b, [](float x, float y) { return x / y; });
}
RETINAFACE_INLINE Vec square_root(Vec a) {
    return each_lane(a, a, [](float x, float) { return std::sqrt(x); });
}
/// a > b ? x : y, lane by lane.
RETINAFACE_INLINE Vec select_greater(Vec a, Vec b, Vec x, Vec y) {
    float p[kWidth], q[kWidth], r[kWidth], s[kWidth];
    store(p, a);
    store(q, b);
    store(r, x);
    store(s, y);
    for (int i = 0; i < kWidth; ++i) std::memcpy(&s[i], p[i] > q[i] ? &r[i] : &s[i], sizeof(float));
    return load(s);
}
/// Bit i: lane i is zero or below.
RETINAFACE_INLINE unsigned not_positive(Vec a) {
    float x[kWidth];
    store(x, a);
    unsigned bits = 0;
    for (int i = 0; i < kWidth; ++i) bits |= (x[i] <= 0 ? 1u : 0u) << i;
    return bits;
}
/// a * b, rounded: never fused with an addition, so that every set computes the same bits.
RETINAFACE_INLINE Vec product(Vec a, Vec b) {
#if defined(__x86_64__) && !defined(__FMA__) && !defined(RETINAFACE_USE_XSIMD)
    return mul(a, b);
#else
    return each_lane(a, b, rounded_product);
#endif
}

/// Eight lanes.
struct Eight {
    static constexpr int kVectors = kWidth < 8 ? 8 / kWidth : 1;
    Vec v[kVectors];
};
RETINAFACE_INLINE Eight load_eight(const float* p) {
    Eight out;
    for (int i = 0; i < Eight::kVectors; ++i) out.v[i] = load_half(p + i * kWidth);
    return out;
}
RETINAFACE_INLINE void store_eight(float* p, Eight v) {
    for (int i = 0; i < Eight::kVectors; ++i) store_half(p + i * kWidth, v.v[i]);
}
RETINAFACE_INLINE Eight zero_eight() {
    Eight out;
    for (Vec& v : out.v) v = zero();
    return out;
}
RETINAFACE_INLINE Eight fma_eight(float a, Eight b, Eight c) {
    for (int i = 0; i < Eight::kVectors; ++i) c.v[i] = fma(broadcast(a), b.v[i], c.v[i]);
    return c;
}
RETINAFACE_INLINE Eight sub_eight(Eight a, Eight b) {
    for (int i = 0; i < Eight::kVectors; ++i) a.v[i] = sub(a.v[i], b.v[i]);
    return a;
}
RETINAFACE_INLINE Eight positive_eight(Eight v) {
    for (Vec& lanes : v.v) lanes = max(lanes, zero());
    return v;
}
/// sum[v] += value * w[v], as accumulate() of vec.hpp.
template <int V>
RETINAFACE_INLINE void accumulate_eights(Eight* sum, float value, const Eight* w) {
    const Vec factor = broadcast(value);
    for (int v = 0; v < V; ++v)
        for (int i = 0; i < Eight::kVectors; ++i) accumulate(sum[v].v[i], factor, w[v].v[i]);
}
/// Rows of a tile of dense products, by eights of columns: as many sums as registers hold.
constexpr int kEightRows[3] = {0, 4, 2};
