// Bilinear sampling along a line, four pixels at a time; sums and means of bytes.

/// The pixel at a position as four words: red, green, blue, 0. `spread` makes pairs of words, (left, right) of each colour, of the bytes
/// of two neighbouring pixels.
RETINAFACE_INLINE __m128i warp_sample(const WarpSource& source, __m256i spread, WarpPosition p) {
    const std::uint8_t* above = source.data + p.top() * source.stride + std::ptrdiff_t{p.left()} * source.bytes;
    const __m128i upper = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(above));
    const __m128i lower = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(above + source.stride));
    const __m256i words = _mm256_shuffle_epi8(_mm256_inserti128_si256(_mm256_castsi128_si256(upper), lower, 1), spread);
    // A pair of weights (128 - w, w) as words is w * 0xFFFF + 128.
    const __m256i across = _mm256_madd_epi16(words, _mm256_set1_epi32(p.right_weight() * 0xFFFF + 128));
    const __m128i both = _mm_or_si128(_mm256_castsi256_si128(across), _mm_slli_epi32(_mm256_extracti128_si256(across, 1), 16));
    const __m128i sum = _mm_madd_epi16(both, _mm_set1_epi32(p.bottom_weight() * 0xFFFF + 128));
    return _mm_srli_epi32(_mm_add_epi32(sum, _mm_set1_epi32(1 << 13)), 14);
}

/// Pixels [begin, end), whose positions all lie within the source with pixels_after() pixels to the right and a row below. Writes four
/// bytes beyond them.
inline void warp_row_inside(const WarpRowArgs& a, int begin, int end) {
    const WarpSource& source = *a.source;
    WarpPosition at = warp_position(a, begin);
    const WarpPosition step = a.step;
    const int count = end - begin;
    std::uint8_t* const dst = a.dst + std::ptrdiff_t{3} * begin;
    alignas(16) std::uint8_t pairs[16];
    std::memset(pairs, 0x80, sizeof pairs);
    for (int c = 0; c < 3; ++c) {
        pairs[4 * c] = static_cast<std::uint8_t>(source.order[c]);
        pairs[4 * c + 2] = static_cast<std::uint8_t>(source.order[c] + source.bytes);
    }
    const __m256i spread = _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(pairs)));
    const __m128i packed = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
    int i = 0;
    for (; i + 4 <= count; i += 4) {
        __m128i pixels[4];
        RETINAFACE_UNROLL
        for (int k = 0; k < 4; ++k) {
            pixels[k] = warp_sample(source, spread, at);
            at.x += step.x;
            at.y += step.y;
        }
        const __m128i bytes = _mm_packus_epi16(_mm_packs_epi32(pixels[0], pixels[1]), _mm_packs_epi32(pixels[2], pixels[3]));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(dst + 3 * i), _mm_shuffle_epi8(bytes, packed));
    }
    for (; i < count; ++i) {
        const __m128i words = _mm_packs_epi32(warp_sample(source, spread, at), _mm_setzero_si128());
        const int pixel = _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
        for (int c = 0; c < 3; ++c) dst[3 * i + c] = static_cast<std::uint8_t>(pixel >> (8 * c));
        at.x += step.x;
        at.y += step.y;
    }
}

/// A line lies within a rectangle for one stretch, which goes first: it may write into what follows.
inline void warp_row(const WarpRowArgs& a) {
    const WarpSource& source = *a.source;
    const auto inside = [&](int x) {
        const WarpPosition p = warp_position(a, x);
        return p.x >= 0 && p.y >= 0 && p.x >> kWarpPoint < source.width - source.pixels_after() &&
               p.y >> kWarpPoint < source.height - 1;
    };
    int begin = 0, end = a.count;
    while (begin < end && !inside(begin)) ++begin;
    while (end > begin && !inside(end - 1)) --end;
    if (begin < end) warp_row_inside(a, begin, end);
    warp_row_anywhere(a, 0, begin);
    warp_row_anywhere(a, end, a.count);
}

inline void add_bytes(const AddBytesArgs& a) {
    std::size_t i = 0;
    for (; i + 16 <= a.count; i += 16) {
        const __m256i wide = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(a.src + i)));
        __m256i* const sum = reinterpret_cast<__m256i*>(a.sums + i);
        _mm256_storeu_si256(sum, _mm256_add_epi16(_mm256_loadu_si256(sum), wide));
    }
    add_bytes_from(a, i);
}

inline void mean_row(const MeanRowArgs& a) {
    const std::uint16_t* sums = a.sums;
    std::uint8_t* dst = a.dst;
    const __m128 scales = _mm_set1_ps(a.scale), half = _mm_set1_ps(0.5f);
    for (int x = 0; x < a.width; ++x, dst += 4) {
        __m128i total = _mm_setzero_si128();
        for (int i = 0; i < a.factor; ++i, sums += a.bytes)
            total = _mm_add_epi32(total, _mm_cvtepu16_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(sums))));
        __m128 product = _mm_mul_ps(_mm_cvtepi32_ps(total), scales);
        // GCC would make one multiply-add of these two, which rounds once: bytes would depend on the set.
        asm("" : "+x"(product));
        const __m128i words = _mm_cvttps_epi32(_mm_add_ps(product, half));
        const __m128i packed = _mm_packus_epi16(_mm_packs_epi32(words, words), words);
        const int pixel = _mm_cvtsi128_si32(packed);
        std::memcpy(dst, &pixel, 4);
    }
}
