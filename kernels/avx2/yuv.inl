// Rows of YUV turned into rgb8, 16 pixels at a time.

/// A matrix in every lane.
struct YuvVectors {
    __m256i offset, y, rv, gu, gv, bu;
    explicit YuvVectors(const YuvMatrix& m)
        : offset(_mm256_set1_epi16(m.offset)),
          y(_mm256_set1_epi16(m.y)),
          rv(_mm256_set1_epi16(m.rv)),
          gu(_mm256_set1_epi16(m.gu)),
          gv(_mm256_set1_epi16(m.gv)),
          bu(_mm256_set1_epi16(m.bu)) {}
};

RETINAFACE_INLINE __m128i yuv_clamp(__m256i colours) {
    const __m256i rounded = _mm256_srai_epi16(_mm256_add_epi16(colours, _mm256_set1_epi16(16)), 5);
    return _mm_packus_epi16(_mm256_castsi256_si128(rounded), _mm256_extracti128_si256(rounded, 1));
}

/// Sixteen pixels, 48 bytes: Y, and sixteen times U and V, as words. `even` and `odd` have the two of the even and odd pixels in pairs.
RETINAFACE_INLINE void yuv_pixels(const YuvVectors& m, __m256i y, __m256i even, __m256i odd, bool swapped, std::uint8_t* dst) {
    const __m256i first = _mm256_blend_epi16(even, _mm256_slli_epi32(odd, 16), 0xAA);
    const __m256i second = _mm256_blend_epi16(_mm256_srli_epi32(even, 16), odd, 0xAA);
    const __m256i middle = _mm256_set1_epi16(16 * 128);
    const __m256i u = _mm256_slli_epi16(_mm256_sub_epi16(swapped ? second : first, middle), 3);
    const __m256i v = _mm256_slli_epi16(_mm256_sub_epi16(swapped ? first : second, middle), 3);
    const __m256i luma = _mm256_mulhrs_epi16(_mm256_slli_epi16(_mm256_sub_epi16(y, m.offset), 7), m.y);
    const __m128i r = yuv_clamp(_mm256_add_epi16(luma, _mm256_mulhrs_epi16(v, m.rv)));
    const __m128i g =
        yuv_clamp(_mm256_sub_epi16(_mm256_sub_epi16(luma, _mm256_mulhrs_epi16(u, m.gu)), _mm256_mulhrs_epi16(v, m.gv)));
    const __m128i b = yuv_clamp(_mm256_add_epi16(luma, _mm256_mulhrs_epi16(u, m.bu)));

    // Red and green alternate, then blue goes between.
    const __m128i low = _mm_unpacklo_epi8(r, g), high = _mm_unpackhi_epi8(r, g);
    const __m128i middle_rg = _mm_alignr_epi8(high, low, 10);  // pixels 5 to 12
    const auto put = [&](int at, __m128i rg, __m128i rg_order, __m128i b_order) {
        const __m128i bytes = _mm_or_si128(_mm_shuffle_epi8(rg, rg_order), _mm_shuffle_epi8(b, b_order));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(dst + at), bytes);
    };
    put(0, low, _mm_setr_epi8(0, 1, -1, 2, 3, -1, 4, 5, -1, 6, 7, -1, 8, 9, -1, 10),
        _mm_setr_epi8(-1, -1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1));
    put(16, middle_rg, _mm_setr_epi8(1, -1, 2, 3, -1, 4, 5, -1, 6, 7, -1, 8, 9, -1, 10, 11),
        _mm_setr_epi8(-1, 5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1));
    put(32, high, _mm_setr_epi8(-1, 6, 7, -1, 8, 9, -1, 10, 11, -1, 12, 13, -1, 14, 15, -1),
        _mm_setr_epi8(10, -1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15));
}

inline void yuv_blocks(const YuvBlocksArgs& a) {
    const BlockRow& row = a.row;
    const YuvVectors m(a.matrix);
    int x = 0;
    for (; x + 16 <= row.width; x += 16) {
        const auto pairs = [&](int i) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row.pairs + x + i)); };
        const __m256i y = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(row.y + x)));
        const __m256i own = pairs(0), three = _mm256_add_epi16(own, _mm256_slli_epi16(own, 1));
        yuv_pixels(m, y, _mm256_add_epi16(three, pairs(-2)), _mm256_add_epi16(three, pairs(2)), row.u != 0, a.dst + 3 * x);
    }
    yuv_blocks_from(a, x);
}

inline void yuv_pairs(const YuvPairsArgs& a) {
    const YuvVectors m(a.matrix);
    int x = 0;
    for (; x + 16 <= a.width; x += 16) {
        const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a.row + 2 * x));
        const __m256i chroma = _mm256_slli_epi16(_mm256_srli_epi16(bytes, 8), 4);
        yuv_pixels(m, _mm256_and_si256(bytes, _mm256_set1_epi16(0xFF)), chroma, chroma, false, a.dst + 3 * x);
    }
    yuv_pairs_from(a, x);
}

inline void yuv_blend(const YuvBlendArgs& a) {
    int i = 0;
    for (; i + 16 <= a.count; i += 16) {
        const auto words = [&](const std::uint8_t* p) {
            return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + i)));
        };
        const __m256i once = words(a.own);
        const __m256i sum = _mm256_add_epi16(_mm256_add_epi16(once, _mm256_slli_epi16(once, 1)), words(a.other));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(a.dst + i), sum);
    }
    yuv_blend_from(a, i);
}
