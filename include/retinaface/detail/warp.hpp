// Bilinear sampling of an 8-bit image along straight lines, and its reduction by whole factors. Fixed point, so that every path gives
// the same bytes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "../image.hpp"
#include "vectors.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace detail {

/// Packed pixels to sample: `bytes` a pixel, of which `order` names those that are red, green and blue.
struct WarpSource {
    const std::uint8_t* data = nullptr;
    std::ptrdiff_t stride = 0;
    int width = 0;
    int height = 0;
    int bytes = 0;
    int order[3] = {};

    /// Pixels that must follow the left one of a pair in its row for 8 bytes to be there.
    int pixels_behind() const noexcept { return bytes == 1 ? 7 : bytes == 3 ? 2 : 1; }
};

/// Positions in units of 2^-32 pixel; whole numbers are pixel centres.
constexpr int kWarpPoint = 32;
/// Weights count 128ths; positions are rounded to them.
constexpr int kWarpBits = 7;
constexpr std::int64_t kWarpHalf = std::int64_t{1} << (kWarpPoint - kWarpBits - 1);

struct WarpPosition {
    std::int64_t x, y;

    int left() const noexcept { return static_cast<int>(x >> kWarpPoint); }
    int top() const noexcept { return static_cast<int>(y >> kWarpPoint); }
    int right_weight() const noexcept { return static_cast<int>(x >> (kWarpPoint - kWarpBits)) & 127; }
    int bottom_weight() const noexcept { return static_cast<int>(y >> (kWarpPoint - kWarpBits)) & 127; }
};

/// One row of three bytes a pixel: pixel i from `start` + i * `step`; zeros outside the source. Any source, any position.
inline void warp_row_anywhere(const WarpSource& source, WarpPosition at, WarpPosition step, int count, std::uint8_t* dst) {
    for (int i = 0; i < count; ++i, dst += 3, at.x += step.x, at.y += step.y) {
        const std::int64_t left = at.x >> kWarpPoint, top = at.y >> kWarpPoint;
        const int wx = at.right_weight(), wy = at.bottom_weight();
        const auto pixel = [&](std::int64_t x, std::int64_t y) {
            const bool inside = x >= 0 && y >= 0 && x < source.width && y < source.height;
            return inside ? source.data + y * source.stride + x * source.bytes : nullptr;
        };
        const std::uint8_t* const p[4] = {pixel(left, top), pixel(left + 1, top), pixel(left, top + 1), pixel(left + 1, top + 1)};
        for (int c = 0; c < 3; ++c) {
            const auto value = [&](int k) { return p[k] != nullptr ? static_cast<int>(p[k][source.order[c]]) : 0; };
            const int above = value(0) * (128 - wx) + value(1) * wx, below = value(2) * (128 - wx) + value(3) * wx;
            dst[c] = static_cast<std::uint8_t>((above * (128 - wy) + below * wy + (1 << 13)) >> 14);
        }
    }
}

#if RETINAFACE_PIXELS_AVX2
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif
namespace avx2 {

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

/// As warp_row_anywhere(), where all positions lie within the source with pixels_behind() pixels to the right and a row below.
/// Writes four bytes beyond the row.
inline void warp_row_inside(const WarpSource& source, WarpPosition at, WarpPosition step, int count, std::uint8_t* dst) {
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

/// sums[i] += src[i].
inline void add_bytes(const std::uint8_t* src, std::size_t count, std::uint16_t* sums) {
    std::size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        const __m256i wide = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(src + i)));
        __m256i* const sum = reinterpret_cast<__m256i*>(sums + i);
        _mm256_storeu_si256(sum, _mm256_add_epi16(_mm256_loadu_si256(sum), wide));
    }
    for (; i < count; ++i) sums[i] = static_cast<std::uint16_t>(sums[i] + src[i]);
}

/// Four bytes a pixel: the sum of `factor` neighbouring groups of `bytes` sums, times `scale`, rounded. Reads three sums beyond the last
/// group; what lies behind a pixel's own bytes is unspecified.
inline void mean_row(const std::uint16_t* sums, std::ptrdiff_t bytes, int factor, int width, float scale, std::uint8_t* dst) {
    const __m128 scales = _mm_set1_ps(scale), half = _mm_set1_ps(0.5f);
    for (int x = 0; x < width; ++x, dst += 4) {
        __m128i total = _mm_setzero_si128();
        for (int i = 0; i < factor; ++i, sums += bytes)
            total = _mm_add_epi32(total, _mm_cvtepu16_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(sums))));
        const __m128i words = _mm_cvttps_epi32(_mm_add_ps(_mm_mul_ps(_mm_cvtepi32_ps(total), scales), half));
        const __m128i packed = _mm_packus_epi16(_mm_packs_epi32(words, words), words);
        const int pixel = _mm_cvtsi128_si32(packed);
        std::memcpy(dst, &pixel, 4);
    }
}

}  // namespace avx2
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif

inline void add_bytes(const std::uint8_t* src, std::size_t count, std::uint16_t* sums, bool vectors) {
#if RETINAFACE_PIXELS_AVX2
    if (vectors) return avx2::add_bytes(src, count, sums);
#endif
    (void)vectors;
    for (std::size_t i = 0; i < count; ++i) sums[i] = static_cast<std::uint16_t>(sums[i] + src[i]);
}

inline void mean_row(const std::uint16_t* sums, std::ptrdiff_t bytes, int factor, int width, float scale, std::uint8_t* dst,
                     bool vectors) {
#if RETINAFACE_PIXELS_AVX2
    if (vectors) return avx2::mean_row(sums, bytes, factor, width, scale, dst);
#endif
    (void)vectors;
    for (int x = 0; x < width; ++x, dst += 4, sums += bytes * factor)
        for (std::ptrdiff_t c = 0; c < bytes; ++c) {
            std::uint32_t total = 0;
            for (int i = 0; i < factor; ++i) total += sums[i * bytes + c];
            dst[c] = static_cast<std::uint8_t>(static_cast<float>(total) * scale + 0.5f);
        }
}

/// Rows [0, height) of `width` pixels, three bytes each, packed: pixel (x, y) from origin + x * step + y * (-step.y, step.x), a turned
/// and scaled grid. `dst` has four bytes to spare.
inline void warp(const WarpSource& source, WarpPosition origin, WarpPosition step, int width, int height, bool vectors,
                 std::uint8_t* dst) {
    origin.x += kWarpHalf;
    origin.y += kWarpHalf;
    for (int y = 0; y < height; ++y, dst += std::ptrdiff_t{3} * width) {
        const WarpPosition row{origin.x - y * step.y, origin.y + y * step.x};
        const auto at = [&](int x) { return WarpPosition{row.x + x * step.x, row.y + x * step.y}; };
        int begin = width, end = width;
#if RETINAFACE_PIXELS_AVX2
        if (vectors) {
            const auto inside = [&](int x) {
                const WarpPosition p = at(x);
                return p.x >= 0 && p.y >= 0 && p.x >> kWarpPoint < source.width - source.pixels_behind() &&
                       p.y >> kWarpPoint < source.height - 1;
            };
            // A line lies within a rectangle for one stretch.
            begin = 0;
            while (begin < width && !inside(begin)) ++begin;
            while (end > begin && !inside(end - 1)) --end;
        }
#endif
        // The stretch first: it may write into what follows.
#if RETINAFACE_PIXELS_AVX2
        if (begin < end) avx2::warp_row_inside(source, at(begin), step, end - begin, dst + std::ptrdiff_t{3} * begin);
#endif
        (void)vectors;
        warp_row_anywhere(source, at(0), step, begin, dst);
        warp_row_anywhere(source, at(end), step, width - end, dst + std::ptrdiff_t{3} * end);
    }
}

/// Means of squares of `factor` x `factor` pixels: what a crop much smaller than the face is sampled from. Keeps its buffers from call to
/// call.
class Reducer {
public:
    /// Squares number `first_x`, `first_y` on, of a grid whose square (0, 0) begins at pixel (0, 0); what lies outside the source counts as
    /// zero. factor 2..kMostFactor. Valid until the next call.
    WarpSource reduce(const WarpSource& source, int factor, int first_x, int first_y, int width, int height, bool vectors) {
        const auto bytes = static_cast<std::size_t>(source.bytes);
        const auto row = static_cast<std::size_t>(width) * 4;
        pixels_.resize(row * static_cast<std::size_t>(height));
        const std::int64_t left = std::int64_t{first_x} * factor, right = left + std::int64_t{width} * factor;
        const int begin = static_cast<int>(std::clamp<std::int64_t>(left, 0, source.width));
        const int end = static_cast<int>(std::clamp<std::int64_t>(right, begin, source.width));
        const float scale = 1.0f / (static_cast<float>(factor) * static_cast<float>(factor));
        sums_.resize(static_cast<std::size_t>(width) * static_cast<std::size_t>(factor) * bytes + 3);
        const std::size_t before = static_cast<std::size_t>(begin - left) * bytes;  // sums of pixels left of the source
        const std::size_t inside = static_cast<std::size_t>(end - begin) * bytes;
        for (int y = 0; y < height; ++y) {
            std::fill(sums_.begin(), sums_.end(), std::uint16_t{0});
            const std::int64_t top = (std::int64_t{first_y} + y) * factor;
            const std::int64_t last = std::min<std::int64_t>(top + factor, source.height);
            if (inside > 0)
                for (std::int64_t r = std::max<std::int64_t>(top, 0); r < last; ++r)
                    add_bytes(source.data + r * source.stride + std::ptrdiff_t{begin} * source.bytes, inside,
                              sums_.data() + before, vectors);
            mean_row(sums_.data(), source.bytes, factor, width, scale, pixels_.data() + static_cast<std::size_t>(y) * row,
                     vectors);
        }
        return {pixels_.data(),
                static_cast<std::ptrdiff_t>(row),
                width,
                height,
                4,
                {source.order[0], source.order[1], source.order[2]}};
    }

    /// Sums of that many bytes fit 16 bits.
    static constexpr int kMostFactor = 256;

private:
    std::vector<std::uint8_t> pixels_;
    std::vector<std::uint16_t> sums_;
};

}  // namespace detail
RETINAFACE_END_NAMESPACE
