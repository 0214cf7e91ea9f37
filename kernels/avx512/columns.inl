// N floats of a row, as generic/columns.inl has them, in registers of sixteen or, where they are 8, in half of one. A multiply-add of dense
// products reads its factor from memory where only one needs it, and tiles have as many rows as there are registers, so that weights are few
// loads beside. Sparse products spread factors from a register: processors whose vector of sixteen takes two load ports then load no
// more than in eights, with half of the instructions.

constexpr int kMostColumns = 48;  // eight rows of three registers: a factor is loaded once for three multiply-adds

template <int N>
struct Columns {
    static constexpr int kVectors = N / 16;
    static constexpr int kRows = 24 / kVectors;
    Vec v[std::size_t{kVectors}];

    RETINAFACE_INLINE static Columns load(const float* p) { return load_panels(p, 16); }
    RETINAFACE_INLINE static Columns load_panels(const float* p, std::ptrdiff_t next) {
        Columns out;
        RETINAFACE_UNROLL
        for (int i = 0; i < kVectors; ++i) out.v[i] = kernels::avx512::load(p + i * next);
        return out;
    }
    RETINAFACE_INLINE static Columns none() {
        Columns out;
        RETINAFACE_UNROLL
        for (int i = 0; i < kVectors; ++i) out.v[i] = zero();
        return out;
    }
    RETINAFACE_INLINE void accumulate(const float* value, const Columns& w) {
        if constexpr (kVectors == 1) {
#if defined(__GNUC__) && !defined(__clang__)
            asm("vfmadd231ps %2%{1to16%}, %1, %0" : "+v"(v[0]) : "v"(w.v[0]), "m"(*value));  // as accumulate() of vec.hpp
#else
            v[0] = fma(broadcast(*value), w.v[0], v[0]);
#endif
        } else {
            const Vec factor = broadcast(*value);
            RETINAFACE_UNROLL
            for (int i = 0; i < kVectors; ++i) kernels::avx512::accumulate(v[i], factor, w.v[i]);
        }
    }

    using Factors = Vec;  ///< in the four lowest lanes
    RETINAFACE_INLINE static Factors load_factors(const float* p) { return _mm512_castps128_ps512(_mm_loadu_ps(p)); }
    template <int I>
    RETINAFACE_INLINE void accumulate(Factors factors, const float* x) {
        const Vec factor = _mm512_maskz_permutexvar_ps(kAll, _mm512_set1_epi32(I), factors);
        RETINAFACE_UNROLL
        for (int i = 0; i < kVectors; ++i) v[i] = fma(factor, kernels::avx512::load(x + 16 * i), v[i]);
    }
    RETINAFACE_INLINE void accumulate(float factor, const float* x) {
        RETINAFACE_UNROLL
        for (int i = 0; i < kVectors; ++i) v[i] = fma(broadcast(factor), kernels::avx512::load(x + 16 * i), v[i]);
    }
    RETINAFACE_INLINE Columns recur(const Columns& first, float scale, const Columns& before) const {
        Columns out;
        RETINAFACE_UNROLL
        for (int i = 0; i < kVectors; ++i) out.v[i] = sub(fma(broadcast(scale), v[i], first.v[i]), before.v[i]);
        return out;
    }

    RETINAFACE_INLINE Columns positive() const {
        Columns out;
        RETINAFACE_UNROLL
        for (int i = 0; i < kVectors; ++i) out.v[i] = max(v[i], zero());
        return out;
    }
    RETINAFACE_INLINE void store(float* p) const {
        RETINAFACE_UNROLL
        for (int i = 0; i < kVectors; ++i) kernels::avx512::store(p + 16 * i, v[i]);
    }
    RETINAFACE_INLINE void store(float* p, std::ptrdiff_t next) const {
        RETINAFACE_UNROLL
        for (int i = 0; i < kVectors; ++i) {
            store_eight(p + 2 * i * next, _mm512_maskz_extractf32x8_ps(0xFF, v[i], 0));
            store_eight(p + (2 * i + 1) * next, _mm512_maskz_extractf32x8_ps(0xFF, v[i], 1));
        }
    }
};

template <>
struct Columns<8> {
    static constexpr int kRows = 24;
    Eight v;

    RETINAFACE_INLINE static Columns load(const float* p) { return {load_eight(p)}; }
    RETINAFACE_INLINE static Columns load_panels(const float* p, std::ptrdiff_t) { return load(p); }
    RETINAFACE_INLINE static Columns none() { return {zero_eight()}; }
    RETINAFACE_INLINE void accumulate(const float* value, const Columns& w) {
#if defined(__GNUC__) && !defined(__clang__)
        asm("vfmadd231ps %2%{1to8%}, %1, %0" : "+v"(v) : "v"(w.v), "m"(*value));
#else
        v = _mm256_fmadd_ps(_mm256_set1_ps(*value), w.v, v);
#endif
    }

    using Factors = FourFactors;
    RETINAFACE_INLINE static Factors load_factors(const float* p) { return load_four_factors(p); }
    template <int I>
    RETINAFACE_INLINE void accumulate(Factors factors, const float* x) {
        v = fma_eight(spread<I>(factors), load_eight(x), v);
    }
    RETINAFACE_INLINE void accumulate(float factor, const float* x) { v = fma_eight(factor, load_eight(x), v); }
    RETINAFACE_INLINE Columns recur(const Columns& first, float scale, const Columns& before) const {
        return {sub_eight(fma_eight(scale, v, first.v), before.v)};
    }

    RETINAFACE_INLINE Columns positive() const { return {positive_eight(v)}; }
    RETINAFACE_INLINE void store(float* p) const { store_eight(p, v); }
    RETINAFACE_INLINE void store(float* p, std::ptrdiff_t) const { store(p); }
};
