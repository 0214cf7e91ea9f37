// The 3x3 stride-2 first convolution with 16 output pixels in a vector. Staged rows are planes: for each of three channels the even
// pixels (0, 2, ...) and the odd pixels (-1, 1, 3, ...), so that the columns 2x - 1, 2x, 2x + 1 of 16 neighbouring x are plain loads.
// Eight output channels of 32 pixels are 16 accumulators; the result is transposed to channels last on the way out. Other shapes take
// the generic bodies.

/// Floats of one plane: width_out pixels in full vectors of 32, one more for the column after.
RETINAFACE_INLINE std::ptrdiff_t stem_plane(int width_padded) {
    return (static_cast<std::ptrdiff_t>(width_padded + 1) / 2 + 31) / 32 * 32 + 16;
}

inline std::size_t planes_row_size(int width_padded) { return static_cast<std::size_t>(6 * stem_plane(width_padded)); }

/// Bytes of 16 pixels, by channel: the 8 even pixels, then the 8 odd ones.
struct PixelBytes {
    __m128i channel[3];
};

RETINAFACE_INLINE __m128i load_bytes(const std::uint8_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }

RETINAFACE_INLINE PixelBytes split_pixels3(const std::uint8_t* src) {
    // Byte of pixel i, channel c: 3 i + c. -1 gives 0.
    const __m128i parts[3] = {load_bytes(src), load_bytes(src + 16), load_bytes(src + 32)};
    PixelBytes out;
    out.channel[0] = _mm_or_si128(
        _mm_or_si128(_mm_shuffle_epi8(parts[0], _mm_setr_epi8(0, 6, 12, -1, -1, -1, -1, -1, 3, 9, 15, -1, -1, -1, -1, -1)),
                     _mm_shuffle_epi8(parts[1], _mm_setr_epi8(-1, -1, -1, 2, 8, 14, -1, -1, -1, -1, -1, 5, 11, -1, -1, -1))),
        _mm_shuffle_epi8(parts[2], _mm_setr_epi8(-1, -1, -1, -1, -1, -1, 4, 10, -1, -1, -1, -1, -1, 1, 7, 13)));
    out.channel[1] = _mm_or_si128(
        _mm_or_si128(_mm_shuffle_epi8(parts[0], _mm_setr_epi8(1, 7, 13, -1, -1, -1, -1, -1, 4, 10, -1, -1, -1, -1, -1, -1)),
                     _mm_shuffle_epi8(parts[1], _mm_setr_epi8(-1, -1, -1, 3, 9, 15, -1, -1, -1, -1, 0, 6, 12, -1, -1, -1))),
        _mm_shuffle_epi8(parts[2], _mm_setr_epi8(-1, -1, -1, -1, -1, -1, 5, 11, -1, -1, -1, -1, -1, 2, 8, 14)));
    out.channel[2] = _mm_or_si128(
        _mm_or_si128(_mm_shuffle_epi8(parts[0], _mm_setr_epi8(2, 8, 14, -1, -1, -1, -1, -1, 5, 11, -1, -1, -1, -1, -1, -1)),
                     _mm_shuffle_epi8(parts[1], _mm_setr_epi8(-1, -1, -1, 4, 10, -1, -1, -1, -1, -1, 1, 7, 13, -1, -1, -1))),
        _mm_shuffle_epi8(parts[2], _mm_setr_epi8(-1, -1, -1, -1, -1, 0, 6, 12, -1, -1, -1, -1, -1, 3, 9, 15)));
    return out;
}

RETINAFACE_INLINE PixelBytes split_pixels4(const std::uint8_t* src) {
    // Four pixels a vector: bytes by channel, then vectors by channel, then even before odd.
    const __m128i by_channel = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m128i v[4];
    RETINAFACE_UNROLL
    for (int i = 0; i < 4; ++i) v[i] = _mm_shuffle_epi8(load_bytes(src + 16 * i), by_channel);
    const __m128i low01 = _mm_unpacklo_epi32(v[0], v[1]), low23 = _mm_unpacklo_epi32(v[2], v[3]);
    const __m128i high01 = _mm_unpackhi_epi32(v[0], v[1]), high23 = _mm_unpackhi_epi32(v[2], v[3]);
    const __m128i even_odd = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
    PixelBytes out;
    out.channel[0] = _mm_shuffle_epi8(_mm_unpacklo_epi64(low01, low23), even_odd);
    out.channel[1] = _mm_shuffle_epi8(_mm_unpackhi_epi64(low01, low23), even_odd);
    out.channel[2] = _mm_shuffle_epi8(_mm_unpacklo_epi64(high01, high23), even_odd);
    return out;
}

RETINAFACE_INLINE PixelBytes split_pixels(const std::uint8_t* src, int channels) {
    if (channels == 3) return split_pixels3(src);
    if (channels == 4) return split_pixels4(src);
    const __m128i gray = _mm_shuffle_epi8(load_bytes(src), _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15));
    return {{gray, gray, gray}};
}

RETINAFACE_INLINE Vec bytes_to_float(__m128i bytes) {
    return _mm512_maskz_cvtepi32_ps(kAll, _mm512_maskz_cvtepu8_epi32(kAll, bytes));
}

/// Stages 32 pixels from pixel x (a multiple of 32) on, of which `count` are in the image.
RETINAFACE_INLINE void load_pixels32(const std::uint8_t* src, int channels, const Vec (&mean)[3], int x, int count,
                                     std::ptrdiff_t plane, float* dst) {
    const PixelBytes a = split_pixels(src, channels), b = split_pixels(src + 16 * channels, channels);
    const auto even_mask = static_cast<__mmask16>((1u << ((count + 1) / 2)) - 1),
               odd_mask = static_cast<__mmask16>((1u << (count / 2)) - 1);
    RETINAFACE_UNROLL
    for (int c = 0; c < 3; ++c) {
        const Vec even = bytes_to_float(_mm_unpacklo_epi64(a.channel[c], b.channel[c]));
        const Vec odd = bytes_to_float(_mm_unpackhi_epi64(a.channel[c], b.channel[c]));
        store(dst + 2 * c * plane + x / 2, _mm512_maskz_sub_ps(even_mask, even, mean[c]));
        store(dst + (2 * c + 1) * plane + x / 2 + 1, _mm512_maskz_sub_ps(odd_mask, odd, mean[c]));
    }
}

inline void load_planes(const LoadPixelsArgs& p) {
    const std::ptrdiff_t plane = stem_plane(p.width_padded);
    const int width = p.src != nullptr ? p.width : 0;
    const Vec mean[3] = {broadcast(p.mean[0]), broadcast(p.mean[1]), broadcast(p.mean[2])};
    int x = 0;
    for (; x + 32 <= width; x += 32) {
        const std::uint8_t* const src = p.src + static_cast<std::ptrdiff_t>(x) * p.channels;
        // The image comes from far away, and prefetchers stop at the end of a page.
        prefetch(src + 1024);
        prefetch(src + 1024 + 64);
        load_pixels32(src, p.channels, mean, x, 32, plane, p.dst);
    }
    if (x < width) {
        std::uint8_t rest[32 * 4] = {};
        std::memcpy(rest, p.src + static_cast<std::ptrdiff_t>(x) * p.channels,
                    static_cast<std::size_t>((width - x) * p.channels));
        load_pixels32(rest, p.channels, mean, x, width - x, plane, p.dst);
        x += 32;
    }
    for (int i = 0; i < 6; ++i) {
        float* const row = p.dst + i * plane;
        const std::ptrdiff_t done = x / 2 + i % 2;
        if (i % 2 == 1) row[0] = 0.0f;  // pixel -1
        if (done < plane) std::memset(row + done, 0, static_cast<std::size_t>(plane - done) * sizeof(float));
    }
}

/// Eight vectors of 16 pixels to 16 pixels of eight channels.
RETINAFACE_INLINE void store_transposed(const Vec (&v)[8], int pixels, float* dst) {
    Vec quads[8];  // quads[4 h + j], 128-bit lane l: channels 4 h .. 4 h + 3 of pixel 4 l + j
    RETINAFACE_UNROLL
    for (int h = 0; h < 2; ++h) {
        const Vec a = _mm512_maskz_unpacklo_ps(kAll, v[4 * h], v[4 * h + 1]),
                  b = _mm512_maskz_unpackhi_ps(kAll, v[4 * h], v[4 * h + 1]);
        const Vec c = _mm512_maskz_unpacklo_ps(kAll, v[4 * h + 2], v[4 * h + 3]),
                  d = _mm512_maskz_unpackhi_ps(kAll, v[4 * h + 2], v[4 * h + 3]);
        quads[4 * h] = _mm512_maskz_shuffle_ps(kAll, a, c, 0x44);
        quads[4 * h + 1] = _mm512_maskz_shuffle_ps(kAll, a, c, 0xEE);
        quads[4 * h + 2] = _mm512_maskz_shuffle_ps(kAll, b, d, 0x44);
        quads[4 * h + 3] = _mm512_maskz_shuffle_ps(kAll, b, d, 0xEE);
    }
    RETINAFACE_UNROLL
    for (int pair = 0; pair < 2; ++pair) {
        // Lanes of pixels 4 l + 2 pair and 4 l + 2 pair + 1 into one vector for each l.
        const Vec p0 = quads[2 * pair], q0 = quads[4 + 2 * pair], p1 = quads[2 * pair + 1], q1 = quads[5 + 2 * pair];
        const Vec low0 = _mm512_maskz_shuffle_f32x4(kAll, p0, q0, 0x44), low1 = _mm512_maskz_shuffle_f32x4(kAll, p1, q1, 0x44);
        const Vec high0 = _mm512_maskz_shuffle_f32x4(kAll, p0, q0, 0xEE), high1 = _mm512_maskz_shuffle_f32x4(kAll, p1, q1, 0xEE);
        const Vec out[4] = {
            _mm512_maskz_shuffle_f32x4(kAll, low0, low1, 0x88), _mm512_maskz_shuffle_f32x4(kAll, low0, low1, 0xDD),
            _mm512_maskz_shuffle_f32x4(kAll, high0, high1, 0x88), _mm512_maskz_shuffle_f32x4(kAll, high0, high1, 0xDD)};
        RETINAFACE_UNROLL
        for (int l = 0; l < 4; ++l) {
            const int pixel = 4 * l + 2 * pair;
            if (pixel + 2 <= pixels)
                store(dst + pixel * 8, out[l]);
            else if (pixel < pixels)
                store_half(dst + pixel * 8, out[l]);
        }
    }
}

inline void planes_stem(const StemArgs& s) {
    const std::ptrdiff_t plane = stem_plane(s.width);
    const int width_out = (s.width + 1) / 2;
    const Vec slope = broadcast(s.slope);
    for (int x = 0; x < width_out; x += 32) {
        Vec low[8], high[8];  // pixels x .. x + 15 and x + 16 .. x + 31, a vector a channel
        RETINAFACE_UNROLL
        for (int o = 0; o < 8; ++o) low[o] = high[o] = broadcast(s.bias[o]);
        const float* w = s.weights;
        for (int ky = 0; ky < 3; ++ky) {
            RETINAFACE_UNROLL
            for (int kx = 0; kx < 3; ++kx) {
                for (int c = 0; c < 3; ++c) {
                    const float* column = s.rows[ky] + (2 * c + (kx == 1 ? 0 : 1)) * plane + x + (kx == 2 ? 1 : 0);
                    const Vec a = load(column), b = load(column + 16);
                    RETINAFACE_UNROLL
                    for (int o = 0; o < 8; ++o) {
                        const Vec weight = broadcast(w[o]);
                        accumulate(low[o], a, weight);
                        accumulate(high[o], b, weight);
                    }
                    w += 8;
                }
            }
        }
        RETINAFACE_UNROLL
        for (int o = 0; o < 8; ++o) {
            low[o] = activate(low[o], slope);
            high[o] = activate(high[o], slope);
        }
        store_transposed(low, width_out - x, s.dst + x * 8);
        if (x + 16 < width_out) store_transposed(high, width_out - x - 16, s.dst + (x + 16) * 8);
    }
}

inline LoadPixels<3, 2, 8> get(Tag<LoadPixels<3, 2, 8>>) { return {&load_planes, &planes_row_size}; }
inline Stem<3, 2, 8> get(Tag<Stem<3, 2, 8>>) { return {&planes_stem}; }
