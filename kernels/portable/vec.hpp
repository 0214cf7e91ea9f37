// The portable vector: xsimd's batch for the flags of the translation unit where RETINAFACE_USE_XSIMD is defined, else four
// lanes in plain C++ (GNU vectors where the compiler has them). Included inside the portable namespace.

#if defined(RETINAFACE_USE_XSIMD)

using Vec = xsimd::batch<float>;
constexpr int kWidth = static_cast<int>(Vec::size);

RETINAFACE_INLINE Vec load(const float* p) { return Vec::load_unaligned(p); }
RETINAFACE_INLINE void store(float* p, Vec v) { v.store_unaligned(p); }
RETINAFACE_INLINE Vec broadcast(float x) { return Vec(x); }
RETINAFACE_INLINE Vec zero() { return Vec(0.0f); }
RETINAFACE_INLINE Vec add(Vec a, Vec b) { return a + b; }
RETINAFACE_INLINE Vec sub(Vec a, Vec b) { return a - b; }
RETINAFACE_INLINE Vec mul(Vec a, Vec b) { return a * b; }
RETINAFACE_INLINE Vec fma(Vec a, Vec b, Vec c) { return xsimd::fma(a, b, c); }
RETINAFACE_INLINE Vec max(Vec a, Vec b) { return xsimd::max(a, b); }
#if XSIMD_VERSION_MAJOR >= 9
RETINAFACE_INLINE float reduce_add(Vec v) { return xsimd::reduce_add(v); }
#else
RETINAFACE_INLINE float reduce_add(Vec v) { return xsimd::hadd(v); }
#endif

#else

constexpr int kWidth = 4;

#if defined(__GNUC__)

typedef float Vec __attribute__((vector_size(16)));

RETINAFACE_INLINE Vec broadcast(float x) { return Vec{x, x, x, x}; }
RETINAFACE_INLINE Vec add(Vec a, Vec b) { return a + b; }
RETINAFACE_INLINE Vec sub(Vec a, Vec b) { return a - b; }
RETINAFACE_INLINE Vec mul(Vec a, Vec b) { return a * b; }
#if defined(__FP_FAST_FMAF) && !defined(__clang__)
// GCC fuses a * b + c in some of the places that this is inlined into and not in others, and results would depend on which rows a
// thread makes. (It makes one instruction of the four; clang decides by the expression alone.)
RETINAFACE_INLINE Vec fma(Vec a, Vec b, Vec c) {
    return Vec{__builtin_fmaf(a[0], b[0], c[0]), __builtin_fmaf(a[1], b[1], c[1]), __builtin_fmaf(a[2], b[2], c[2]),
               __builtin_fmaf(a[3], b[3], c[3])};
}
#else
RETINAFACE_INLINE Vec fma(Vec a, Vec b, Vec c) { return a * b + c; }
#endif
RETINAFACE_INLINE Vec max(Vec a, Vec b) { return a > b ? a : b; }

#else

struct Vec {
    float lane[kWidth];
    float operator[](int i) const { return lane[i]; }
};

template <class Op>
RETINAFACE_INLINE Vec lanewise(Op op) {
    return Vec{{op(0), op(1), op(2), op(3)}};
}
RETINAFACE_INLINE Vec broadcast(float x) { return Vec{{x, x, x, x}}; }
RETINAFACE_INLINE Vec add(Vec a, Vec b) {
    return lanewise([&](int i) { return a[i] + b[i]; });
}
RETINAFACE_INLINE Vec sub(Vec a, Vec b) {
    return lanewise([&](int i) { return a[i] - b[i]; });
}
RETINAFACE_INLINE Vec mul(Vec a, Vec b) {
    return lanewise([&](int i) { return a[i] * b[i]; });
}
RETINAFACE_INLINE Vec fma(Vec a, Vec b, Vec c) {
    return lanewise([&](int i) { return a[i] * b[i] + c[i]; });
}
RETINAFACE_INLINE Vec max(Vec a, Vec b) {
    return lanewise([&](int i) { return a[i] > b[i] ? a[i] : b[i]; });
}

#endif

RETINAFACE_INLINE Vec load(const float* p) {
    Vec v;
    std::memcpy(&v, p, sizeof v);
    return v;
}
RETINAFACE_INLINE void store(float* p, Vec v) { std::memcpy(p, &v, sizeof v); }
RETINAFACE_INLINE Vec zero() { return broadcast(0.0f); }
RETINAFACE_INLINE float reduce_add(Vec v) { return (v[0] + v[2]) + (v[1] + v[3]); }

#endif

constexpr int kWidest = 2;
constexpr int kGemmRows[5] = {0, 8, 6, 4, 3};

RETINAFACE_INLINE Vec load_u8(const std::uint8_t* p) {
    float lanes[kWidth];
    for (int i = 0; i < kWidth; ++i) lanes[i] = p[i];
    return load(lanes);
}

// Compiled for AVX-512, xsimd's vector is wider than the smallest channel count.
RETINAFACE_INLINE Vec load_half(const float* p) {
    float lanes[kWidth] = {};
    for (int i = 0; i < 8 && i < kWidth; ++i) lanes[i] = p[i];
    return load(lanes);
}
RETINAFACE_INLINE void store_half(float* p, Vec v) {
    float lanes[kWidth];
    store(lanes, v);
    for (int i = 0; i < 8 && i < kWidth; ++i) p[i] = lanes[i];
}

RETINAFACE_INLINE void accumulate(Vec& acc, Vec a, Vec b) { acc = fma(a, b, acc); }
RETINAFACE_INLINE Vec load_twice(const float* p) {
    float lanes[kWidth];
    for (int i = 0; i < kWidth; ++i) lanes[i] = p[i % 8];
    return load(lanes);
}

/// Asks for the cache line at p, which need not be readable.
#if defined(__GNUC__)
RETINAFACE_INLINE void prefetch(const void* p) { __builtin_prefetch(p); }
#else
RETINAFACE_INLINE void prefetch(const void*) {}
#endif
