// 4 lanes of NEON (ARMv8.0). Included inside the neon namespace.

using Vec = float32x4_t;
constexpr int kWidth = 4;
constexpr int kWidest = 2;
constexpr int kGemmRows[5] = {0, 12, 8, 6, 4};  // tile rows by panel width in vectors: at most 18 accumulators of 32 registers

RETINAFACE_INLINE Vec load(const float* p) { return vld1q_f32(p); }
RETINAFACE_INLINE void store(float* p, Vec v) { vst1q_f32(p, v); }
RETINAFACE_INLINE Vec broadcast(float x) { return vdupq_n_f32(x); }
RETINAFACE_INLINE Vec zero() { return vdupq_n_f32(0.0f); }
RETINAFACE_INLINE Vec add(Vec a, Vec b) { return vaddq_f32(a, b); }
RETINAFACE_INLINE Vec sub(Vec a, Vec b) { return vsubq_f32(a, b); }
RETINAFACE_INLINE Vec mul(Vec a, Vec b) { return vmulq_f32(a, b); }
RETINAFACE_INLINE Vec fma(Vec a, Vec b, Vec c) { return vfmaq_f32(c, a, b); }
/// The greater; NaN if either is NaN.
RETINAFACE_INLINE Vec max(Vec a, Vec b) { return vmaxq_f32(a, b); }
RETINAFACE_INLINE float reduce_add(Vec v) { return vaddvq_f32(v); }
RETINAFACE_INLINE Vec load_u8(const std::uint8_t* p) {
    std::uint32_t bytes;
    std::memcpy(&bytes, p, 4);
    const uint16x8_t wide = vmovl_u8(vcreate_u8(bytes));
    return vcvtq_f32_u32(vmovl_u16(vget_low_u16(wide)));
}

/// Half vectors do not occur at this width: channel counts are multiples of 8.
RETINAFACE_INLINE Vec load_half(const float* p) { return load(p); }
RETINAFACE_INLINE void store_half(float* p, Vec v) { store(p, v); }

RETINAFACE_INLINE void accumulate(Vec& acc, Vec a, Vec b) { acc = vfmaq_f32(acc, a, b); }
/// Two copies of 8 floats fill a vector of 16 lanes only.
RETINAFACE_INLINE Vec load_twice(const float* p) { return load(p); }

/// Asks for the cache line at p, which need not be readable.
#if defined(__GNUC__)
RETINAFACE_INLINE void prefetch(const void* p) { __builtin_prefetch(p); }
#else
RETINAFACE_INLINE void prefetch(const void*) {}
#endif
