// What the mesh's kernels need beside vec.hpp. Included inside the neon namespace.

RETINAFACE_INLINE Vec divide(Vec a, Vec b) { return vdivq_f32(a, b); }
RETINAFACE_INLINE Vec square_root(Vec a) { return vsqrtq_f32(a); }
/// a > b ? x : y, lane by lane.
RETINAFACE_INLINE Vec select_greater(Vec a, Vec b, Vec x, Vec y) { return vbslq_f32(vcgtq_f32(a, b), x, y); }
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
