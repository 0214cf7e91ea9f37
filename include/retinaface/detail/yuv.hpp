// Rows of YUV turned into rgb8.
//
// BT.601 in 16-bit fixed point: Y less its offset, and U and V less 128, count 128ths; coefficients count 2^-13; their product less 15
// bits, rounded, which AVX2 and NEON have as one instruction, is what they add to a colour in 32nds.
#pragma once

#include <algorithm>
#include <cstdint>

#include "../image.hpp"
#include "vectors.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace detail {

/// R = y (Y - offset) + rv (V - 128), G = y (Y - offset) - gu (U - 128) - gv (V - 128), B = y (Y - offset) + bu (U - 128).
/// Within 0.57 of the exact value before clamping to 0..255.
struct YuvMatrix {
    std::int16_t offset, y, rv, gu, gv, bu;
};

constexpr YuvMatrix yuv_matrix(YuvRange range) {
    // full: 1, 1.402, 0.344136, 0.714136, 1.772. video: luma times 255 / 219, chroma times 255 / 224.
    return range == YuvRange::full ? YuvMatrix{0, 8192, 11485, 2819, 5850, 14516} : YuvMatrix{16, 9539, 13075, 3209, 6660, 16525};
}

constexpr int yuv_product(int value, int coefficient) { return (value * coefficient + (1 << 14)) >> 15; }

/// One pixel from its Y and sixteen times its U and V.
inline void yuv_pixel(const YuvMatrix& m, int y, int u, int v, std::uint8_t* dst) {
    const int luma = yuv_product((y - m.offset) * 128, m.y);
    u = (u - 16 * 128) * 8;
    v = (v - 16 * 128) * 8;
    const auto clamp = [](int colour) { return static_cast<std::uint8_t>(std::min(std::max((colour + 16) >> 5, 0), 255)); };
    dst[0] = clamp(luma + yuv_product(v, m.rv));
    dst[1] = clamp(luma - yuv_product(u, m.gu) - yuv_product(v, m.gv));
    dst[2] = clamp(luma + yuv_product(u, m.bu));
}

/// A row of Y and the U and V of its blocks, interleaved and interpolated down already: `pairs` holds four times each, with the first and
/// the last pair once more outside. `u` is the place of U in a pair, 0 or 1. A pixel's own block counts 3/4, the one on its other side 1/4.
struct BlockRow {
    const std::uint8_t* y;
    const std::int16_t* pairs;
    int width;
    int u;
};

#if RETINAFACE_PIXELS_AVX2
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif
namespace avx2 {

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

/// Pixels made, from the row's first on.
inline int yuv_blocks(const YuvMatrix& matrix, const BlockRow& row, std::uint8_t* dst) {
    const YuvVectors m(matrix);
    int x = 0;
    for (; x + 16 <= row.width; x += 16) {
        const auto pairs = [&](int i) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row.pairs + x + i)); };
        const __m256i y = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(row.y + x)));
        const __m256i own = pairs(0), three = _mm256_add_epi16(own, _mm256_slli_epi16(own, 1));
        yuv_pixels(m, y, _mm256_add_epi16(three, pairs(-2)), _mm256_add_epi16(three, pairs(2)), row.u != 0, dst + 3 * x);
    }
    return x;
}

inline int yuv_pairs(const YuvMatrix& matrix, const std::uint8_t* row, int width, std::uint8_t* dst) {
    const YuvVectors m(matrix);
    int x = 0;
    for (; x + 16 <= width; x += 16) {
        const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + 2 * x));
        const __m256i chroma = _mm256_slli_epi16(_mm256_srli_epi16(bytes, 8), 4);
        yuv_pixels(m, _mm256_and_si256(bytes, _mm256_set1_epi16(0xFF)), chroma, chroma, false, dst + 3 * x);
    }
    return x;
}

inline int yuv_blend(const std::uint8_t* own, const std::uint8_t* other, int count, std::int16_t* dst) {
    int i = 0;
    for (; i + 16 <= count; i += 16) {
        const auto words = [&](const std::uint8_t* p) {
            return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + i)));
        };
        const __m256i once = words(own);
        const __m256i sum = _mm256_add_epi16(_mm256_add_epi16(once, _mm256_slli_epi16(once, 1)), words(other));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(dst + i), sum);
    }
    return i;
}

}  // namespace avx2
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
namespace yuv_vectors = avx2;

#elif RETINAFACE_PIXELS_NEON
namespace neon {

/// Eight pixels' colours: Y as words, sixteen times U and V.
RETINAFACE_INLINE uint8x8x3_t yuv_pixels(const YuvMatrix& m, int16x8_t y, int16x8_t u, int16x8_t v) {
    const int16x8_t luma = vqrdmulhq_n_s16(vshlq_n_s16(vsubq_s16(y, vdupq_n_s16(m.offset)), 7), m.y);
    u = vshlq_n_s16(vsubq_s16(u, vdupq_n_s16(16 * 128)), 3);
    v = vshlq_n_s16(vsubq_s16(v, vdupq_n_s16(16 * 128)), 3);
    return {{vqrshrun_n_s16(vaddq_s16(luma, vqrdmulhq_n_s16(v, m.rv)), 5),
             vqrshrun_n_s16(vsubq_s16(vsubq_s16(luma, vqrdmulhq_n_s16(u, m.gu)), vqrdmulhq_n_s16(v, m.gv)), 5),
             vqrshrun_n_s16(vaddq_s16(luma, vqrdmulhq_n_s16(u, m.bu)), 5)}};
}

RETINAFACE_INLINE int16x8_t words(uint8x8_t bytes) { return vreinterpretq_s16_u16(vmovl_u8(bytes)); }

/// Sixteen pixels, 48 bytes, of their even and their odd ones.
RETINAFACE_INLINE void store_pixels(const uint8x8x3_t& even, const uint8x8x3_t& odd, std::uint8_t* dst) {
    uint8x16x3_t pixels;
    RETINAFACE_UNROLL
    for (int c = 0; c < 3; ++c) {
        const uint8x8x2_t zipped = vzip_u8(even.val[c], odd.val[c]);
        pixels.val[c] = vcombine_u8(zipped.val[0], zipped.val[1]);
    }
    vst3q_u8(dst, pixels);
}

/// Pixels made, from the row's first on.
inline int yuv_blocks(const YuvMatrix& m, const BlockRow& row, std::uint8_t* dst) {
    int x = 0;
    for (; x + 16 <= row.width; x += 16) {
        const uint8x8x2_t y = vld2_u8(row.y + x);
        const int16x8x2_t left = vld2q_s16(row.pairs + x - 2), own = vld2q_s16(row.pairs + x),
                          right = vld2q_s16(row.pairs + x + 2);
        const int u = row.u, v = 1 - u;
        const int16x8_t u3 = vmulq_n_s16(own.val[u], 3), v3 = vmulq_n_s16(own.val[v], 3);
        store_pixels(yuv_pixels(m, words(y.val[0]), vaddq_s16(u3, left.val[u]), vaddq_s16(v3, left.val[v])),
                     yuv_pixels(m, words(y.val[1]), vaddq_s16(u3, right.val[u]), vaddq_s16(v3, right.val[v])), dst + 3 * x);
    }
    return x;
}

inline int yuv_pairs(const YuvMatrix& m, const std::uint8_t* row, int width, std::uint8_t* dst) {
    int x = 0;
    for (; x + 16 <= width; x += 16) {
        const uint8x8x4_t bytes = vld4_u8(row + 2 * x);
        const int16x8_t u = vshlq_n_s16(words(bytes.val[1]), 4), v = vshlq_n_s16(words(bytes.val[3]), 4);
        store_pixels(yuv_pixels(m, words(bytes.val[0]), u, v), yuv_pixels(m, words(bytes.val[2]), u, v), dst + 3 * x);
    }
    return x;
}

inline int yuv_blend(const std::uint8_t* own, const std::uint8_t* other, int count, std::int16_t* dst) {
    int i = 0;
    for (; i + 8 <= count; i += 8)
        vst1q_s16(dst + i, vreinterpretq_s16_u16(vmlal_u8(vmovl_u8(vld1_u8(other + i)), vld1_u8(own + i), vdup_n_u8(3))));
    return i;
}

}  // namespace neon
namespace yuv_vectors = neon;

#else
/// No vectors in this build: they make nothing, and what follows makes all.
namespace yuv_vectors {
inline int yuv_blocks(const YuvMatrix&, const BlockRow&, std::uint8_t*) { return 0; }
inline int yuv_pairs(const YuvMatrix&, const std::uint8_t*, int, std::uint8_t*) { return 0; }
inline int yuv_blend(const std::uint8_t*, const std::uint8_t*, int, std::int16_t*) { return 0; }
}  // namespace yuv_vectors
#endif

/// dst[i] = 3 * own[i] + other[i].
inline void yuv_blend(const std::uint8_t* own, const std::uint8_t* other, int count, bool vectors, std::int16_t* dst) {
    int i = vectors ? yuv_vectors::yuv_blend(own, other, count, dst) : 0;
    for (; i < count; ++i) dst[i] = static_cast<std::int16_t>(3 * own[i] + other[i]);
}

inline void yuv_blocks(const YuvMatrix& m, const BlockRow& row, bool vectors, std::uint8_t* dst) {
    int x = vectors ? yuv_vectors::yuv_blocks(m, row, dst) : 0;
    const int u = row.u, v = 1 - u;
    for (; x < row.width; x += 2) {
        const std::int16_t *left = row.pairs + x - 2, *own = left + 2, *right = own + 2;
        const int u3 = 3 * own[u], v3 = 3 * own[v];
        yuv_pixel(m, row.y[x], u3 + left[u], v3 + left[v], dst + 3 * x);
        if (x + 1 < row.width) yuv_pixel(m, row.y[x + 1], u3 + right[u], v3 + right[v], dst + 3 * x + 3);
    }
}

/// A row of YUYV: U and V hold for their pair of pixels.
inline void yuv_pairs(const YuvMatrix& m, const std::uint8_t* row, int width, bool vectors, std::uint8_t* dst) {
    int x = vectors ? yuv_vectors::yuv_pairs(m, row, width, dst) : 0;
    for (; x < width; x += 2) {
        const std::uint8_t* pair = row + 2 * x;
        const int u = 16 * pair[1], v = 16 * pair[3];
        yuv_pixel(m, pair[0], u, v, dst + 3 * x);
        if (x + 1 < width) yuv_pixel(m, pair[2], u, v, dst + 3 * x + 3);
    }
}

}  // namespace detail
RETINAFACE_END_NAMESPACE
