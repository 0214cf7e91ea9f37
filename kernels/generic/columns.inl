// Columns of dense products, N = 8 or 16 of them: eights of lanes.

template <int N>
struct Columns {
    static constexpr int kEights = N / 8;
    static constexpr int kRows = kEightRows[kEights];  ///< of a tile
    Eight v[std::size_t{kEights}];

    RETINAFACE_INLINE static Columns load(const float* p) {
        Columns out;
        RETINAFACE_UNROLL
        for (int i = 0; i < kEights; ++i) out.v[i] = load_eight(p + i * 8);
        return out;
    }
    RETINAFACE_INLINE static Columns none() {
        Columns out;
        RETINAFACE_UNROLL
        for (int i = 0; i < kEights; ++i) out.v[i] = zero_eight();
        return out;
    }
    /// += *value * w
    RETINAFACE_INLINE void accumulate(const float* value, const Columns& w) { accumulate_eights<kEights>(v, *value, w.v); }
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
