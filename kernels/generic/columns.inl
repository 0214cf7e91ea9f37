// N floats of a row, in eights of lanes: columns of dense products (8 or 16), features of sparse ones (8, 16 or 32).

/// The most columns of a tile of dense products.
constexpr int kMostColumns = 16;

template <int N>
struct Columns {
    static constexpr int kEights = N / 8;
    static constexpr int kRows = kEightRows[kEights];  ///< of a tile of dense products
    Eight v[std::size_t{kEights}];

    RETINAFACE_INLINE static Columns load(const float* p) {
        Columns out;
        RETINAFACE_UNROLL
        for (int i = 0; i < kEights; ++i) out.v[i] = load_eight(p + i * 8);
        return out;
    }
    /// Of as many panels of weights as hold N columns, `next` floats apart.
    RETINAFACE_INLINE static Columns load_panels(const float* p, std::ptrdiff_t) { return load(p); }
    RETINAFACE_INLINE static Columns none() {
        Columns out;
        RETINAFACE_UNROLL
        for (int i = 0; i < kEights; ++i) out.v[i] = zero_eight();
        return out;
    }
    /// += *value * w
    RETINAFACE_INLINE void accumulate(const float* value, const Columns& w) { accumulate_eights<kEights>(v, *value, w.v); }

    using Factors = FourFactors;
    RETINAFACE_INLINE static Factors load_factors(const float* p) { return load_four_factors(p); }
    /// += factor I * x[0 .. N)
    template <int I>
    RETINAFACE_INLINE void accumulate(Factors factors, const float* x) {
        const auto factor = spread<I>(factors);
        RETINAFACE_UNROLL
        for (int i = 0; i < kEights; ++i) v[i] = fma_eight(factor, load_eight(x + 8 * i), v[i]);
    }
    /// += factor * x[0 .. N)
    RETINAFACE_INLINE void accumulate(float factor, const float* x) {
        RETINAFACE_UNROLL
        for (int i = 0; i < kEights; ++i) v[i] = fma_eight(factor, load_eight(x + 8 * i), v[i]);
    }
    /// first + scale * *this - before
    RETINAFACE_INLINE Columns recur(const Columns& first, float scale, const Columns& before) const {
        Columns out;
        RETINAFACE_UNROLL
        for (int i = 0; i < kEights; ++i) out.v[i] = sub_eight(fma_eight(scale, v[i], first.v[i]), before.v[i]);
        return out;
    }

    RETINAFACE_INLINE Columns positive() const {
        Columns out;
        RETINAFACE_UNROLL
        for (int i = 0; i < kEights; ++i) out.v[i] = positive_eight(v[i]);
        return out;
    }
    RETINAFACE_INLINE void store(float* p) const { store(p, 8); }
    /// Eights lie `next` floats apart.
    RETINAFACE_INLINE void store(float* p, std::ptrdiff_t next) const {
        RETINAFACE_UNROLL
        for (int i = 0; i < kEights; ++i) store_eight(p + i * next, v[i]);
    }
};
