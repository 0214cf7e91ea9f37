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
/// a > b ? x : y, lane by lane.
#if defined(RETINAFACE_USE_XSIMD)
RETINAFACE_INLINE Vec select_greater(Vec a, Vec b, Vec x, Vec y) { return xsimd::select(a > b, x, y); }
RETINAFACE_INLINE Vec divide(Vec a, Vec b) { return a / b; }
#elif defined(__GNUC__)
RETINAFACE_INLINE Vec select_greater(Vec a, Vec b, Vec x, Vec y) { return a > b ? x : y; }
RETINAFACE_INLINE Vec divide(Vec a, Vec b) { return a / b; }
#else
RETINAFACE_INLINE Vec select_greater(Vec a, Vec b, Vec x, Vec y) {
    float p[kWidth], q[kWidth], r[kWidth], s[kWidth];
    store(p, a);
    store(q, b);
    store(r, x);
    store(s, y);
    for (int i = 0; i < kWidth; ++i) std::memcpy(&s[i], p[i] > q[i] ? &r[i] : &s[i], sizeof(float));
    return load(s);
}
RETINAFACE_INLINE Vec divide(Vec a, Vec b) {
    return each_lane(a, b, [](float x, float y) { return x / y; });
}
#endif
RETINAFACE_INLINE Vec square_root(Vec a) {
    return each_lane(a, a, [](float x, float) { return std::sqrt(x); });
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
#if defined(__GNUC__) && defined(__x86_64__) && !defined(RETINAFACE_USE_XSIMD)
    Vec p = mul(a, b);
    asm("" : "+x"(p));
    return p;
#else
    return each_lane(a, b, rounded_product);
#endif
}

/// kWidth whole numbers, rounded.
RETINAFACE_INLINE Vec load_ints(const std::int32_t* p) {
#if defined(__GNUC__) && !defined(RETINAFACE_USE_XSIMD)
    typedef std::int32_t Ints __attribute__((vector_size(16)));
    Ints v;
    std::memcpy(&v, p, sizeof v);
    return __builtin_convertvector(v, Vec);
#else
    float lanes[kWidth];
    for (int i = 0; i < kWidth; ++i) lanes[i] = static_cast<float>(p[i]);
    return load(lanes);
#endif
}
/// out[i] is float i of the four at row(lane), lane by lane.
template <class Row>
RETINAFACE_INLINE void load_fours(Row row, Vec* out) {
#if defined(__GNUC__) && !defined(RETINAFACE_USE_XSIMD)
    // Through memory, floats stored one by one would have to arrive there before they are loaded together.
    const float *const a = row(0), *const b = row(1), *const c = row(2), *const d = row(3);
    for (int i = 0; i < 4; ++i) out[i] = Vec{a[i], b[i], c[i], d[i]};
#else
    float lanes[4][kWidth];
    for (int lane = 0; lane < kWidth; ++lane) {
        const float* const four = row(lane);
        for (int i = 0; i < 4; ++i) lanes[i][lane] = four[i];
    }
    for (int i = 0; i < 4; ++i) out[i] = load(lanes[i]);
#endif
}
/// Float i of the N at to + N * lane is that lane of v[i].
template <int N>
RETINAFACE_INLINE void store_in_turns(float* to, const Vec* v) {
    for (int i = 0; i < N; ++i) {
        float lanes[kWidth];
        store(lanes, v[i]);
        for (int lane = 0; lane < kWidth; ++lane) to[N * lane + i] = lanes[lane];
    }
}
RETINAFACE_INLINE void store_fours(float* to, const Vec* v) { store_in_turns<4>(to, v); }
RETINAFACE_INLINE void store_threes(float* to, const Vec* v) { store_in_turns<3>(to, v); }
/// Adds four floats.
RETINAFACE_INLINE void add_four(float* to, const float* from) {
    for (int i = 0; i < 4; ++i) to[i] += from[i];
}
/// Lanes whose bits are set, one after the other, and anything up to kWidth floats; returns how many they are.
RETINAFACE_INLINE int compress(float* to, Vec v, unsigned bits) {
    float lanes[kWidth];
    store(lanes, v);
    unsigned count = 0;
    for (unsigned i = 0; i < static_cast<unsigned>(kWidth); ++i) {
        to[count] = lanes[i];
        count += bits >> i & 1;
    }
    return static_cast<int>(count);
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
/// Four factors, where they are.
using FourFactors = const float*;
RETINAFACE_INLINE FourFactors load_four_factors(const float* p) { return p; }
template <int I>
RETINAFACE_INLINE float spread(FourFactors factors) {
    return factors[I];
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
