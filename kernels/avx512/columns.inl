// Columns of dense products, N = 8 or 16 of them, in one register: a multiply-add reads its factor from memory, and tiles have as many rows as
// there are registers, so that weights are few loads beside.

template <int N>
struct Columns;

template <>
struct Columns<8> {
    static constexpr int kRows = 24;
    Eight v;

    RETINAFACE_INLINE static Columns load(const float* p) { return {load_eight(p)}; }
    RETINAFACE_INLINE static Columns none() { return {zero_eight()}; }
    RETINAFACE_INLINE void accumulate(const float* value, const Columns& w) {
#if defined(__GNUC__) && !defined(__clang__)
        asm("vfmadd231ps %2%{1to8%}, %1, %0" : "+v"(v) : "v"(w.v), "m"(*value));  // as accumulate() of vec.hpp
#else
        v = _mm256_fmadd_ps(_mm256_set1_ps(*value), w.v, v);
#endif
    }
    RETINAFACE_INLINE Columns positive() const { return {positive_eight(v)}; }
    RETINAFACE_INLINE void store(float* p) const { store_eight(p, v); }
    RETINAFACE_INLINE void store(float* p, std::ptrdiff_t) const { store(p); }
};

template <>
struct Columns<16> {
    static constexpr int kRows = 24;
    Vec v;

    RETINAFACE_INLINE static Columns load(const float* p) { return {kernels::avx512::load(p)}; }
    RETINAFACE_INLINE static Columns none() { return {zero()}; }
    RETINAFACE_INLINE void accumulate(const float* value, const Columns& w) {
#if defined(__GNUC__) && !defined(__clang__)
        asm("vfmadd231ps %2%{1to16%}, %1, %0" : "+v"(v) : "v"(w.v), "m"(*value));
#else
        v = fma(broadcast(*value), w.v, v);
#endif
    }
    RETINAFACE_INLINE Columns positive() const { return {max(v, zero())}; }
    RETINAFACE_INLINE void store(float* p) const { kernels::avx512::store(p, v); }
    RETINAFACE_INLINE void store(float* p, std::ptrdiff_t next) const {
        store_eight(p, _mm512_maskz_extractf32x8_ps(0xFF, v, 0));
        store_eight(p + next, _mm512_maskz_extractf32x8_ps(0xFF, v, 1));
    }
};
