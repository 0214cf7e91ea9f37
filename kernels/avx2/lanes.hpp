// What the mesh's kernels need beside vec.hpp. Included inside the avx2 target region and namespace.

RETINAFACE_INLINE Vec divide(Vec a, Vec b) { return _mm256_div_ps(a, b); }
RETINAFACE_INLINE Vec square_root(Vec a) { return _mm256_sqrt_ps(a); }
/// a > b ? x : y, lane by lane.
RETINAFACE_INLINE Vec select_greater(Vec a, Vec b, Vec x, Vec y) {
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_GT_OQ));
}
/// Bit i: lane i is zero or below.
RETINAFACE_INLINE unsigned not_positive(Vec a) {
    return static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(a, _mm256_setzero_ps(), _CMP_LE_OQ)));
}
/// a * b, rounded: never fused with an addition, so that every set computes the same bits.
RETINAFACE_INLINE Vec product(Vec a, Vec b) {
    Vec p = _mm256_mul_ps(a, b);
#if defined(__GNUC__)
    asm("" : "+x"(p));
#endif
    return p;
}

/// kWidth whole numbers, rounded.
RETINAFACE_INLINE Vec load_ints(const std::int32_t* p) {
    return _mm256_cvtepi32_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
/// In each half of the vectors, a 4 x 4 matrix with a row a vector.
RETINAFACE_INLINE void transpose_fours(Vec a, Vec b, Vec c, Vec d, Vec* out) {
    const Vec low0 = _mm256_unpacklo_ps(a, b), low1 = _mm256_unpacklo_ps(c, d);
    const Vec high0 = _mm256_unpackhi_ps(a, b), high1 = _mm256_unpackhi_ps(c, d);
    out[0] = _mm256_shuffle_ps(low0, low1, 0x44);
    out[1] = _mm256_shuffle_ps(low0, low1, 0xEE);
    out[2] = _mm256_shuffle_ps(high0, high1, 0x44);
    out[3] = _mm256_shuffle_ps(high0, high1, 0xEE);
}
/// out[i] is float i of the four at row(lane), lane by lane.
template <class Row>
RETINAFACE_INLINE void load_fours(Row row, Vec* out) {
    const auto pair = [&](int i) {
        return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(row(i))), _mm_loadu_ps(row(i + 4)), 1);
    };
    transpose_fours(pair(0), pair(1), pair(2), pair(3), out);
}
/// Float i of the four at to + 4 * lane is that lane of v[i].
RETINAFACE_INLINE void store_fours(float* to, const Vec* v) {
    Vec pair[4];
    transpose_fours(v[0], v[1], v[2], v[3], pair);
    for (int i = 0; i < 4; ++i) {
        _mm_storeu_ps(to + 4 * i, _mm256_castps256_ps128(pair[i]));
        _mm_storeu_ps(to + 4 * (i + 4), _mm256_extractf128_ps(pair[i], 1));
    }
}
/// Float i of the three at to + 3 * lane is that lane of v[i].
RETINAFACE_INLINE void store_threes(float* to, const Vec* v) {
    // Of each half: two even lanes, two odd ones, and one of both.
    const Vec even = _mm256_shuffle_ps(v[0], v[1], 0x88), odd = _mm256_shuffle_ps(v[1], v[2], 0xDD),
              both = _mm256_shuffle_ps(v[2], v[0], 0xD8);
    const Vec four[3] = {_mm256_shuffle_ps(even, both, 0x88), _mm256_shuffle_ps(odd, even, 0xD8),
                         _mm256_shuffle_ps(both, odd, 0xDD)};
    for (int i = 0; i < 3; ++i) {
        _mm_storeu_ps(to + 4 * i, _mm256_castps256_ps128(four[i]));
        _mm_storeu_ps(to + 12 + 4 * i, _mm256_extractf128_ps(four[i], 1));
    }
}
/// Adds four floats.
RETINAFACE_INLINE void add_four(float* to, const float* from) {
    _mm_storeu_ps(to, _mm_add_ps(_mm_loadu_ps(to), _mm_loadu_ps(from)));
}
/// For every byte, the places of its bits that are set.
struct SetBits {
    std::uint8_t of[256][8] = {};
    constexpr SetBits() {
        for (unsigned bits = 0; bits < 256; ++bits)
            for (unsigned bit = 0, count = 0; bit < 8; ++bit)
                if (bits >> bit & 1) of[bits][count++] = static_cast<std::uint8_t>(bit);
    }
};
alignas(64) inline constexpr SetBits kSetBits;
/// Lanes whose bits are set, one after the other, and anything up to kWidth floats; returns how many they are.
RETINAFACE_INLINE int compress(float* to, Vec v, unsigned bits) {
    const __m128i lanes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(kSetBits.of[bits]));
    store(to, _mm256_permutevar8x32_ps(v, _mm256_cvtepu8_epi32(lanes)));
    return __builtin_popcount(bits);
}

/// sum[v] += value * w[v], as accumulate() of vec.hpp.
template <int V>
RETINAFACE_INLINE void accumulate_eights(Eight* sum, float value, const Eight* w) {
    const Vec factor = broadcast(value);
    RETINAFACE_UNROLL
    for (int v = 0; v < V; ++v) accumulate(sum[v], factor, w[v]);
}
/// Rows of a tile of dense products, by eights of columns: as many sums as registers hold.
constexpr int kEightRows[3] = {0, 12, 6};
