// Kernels over 8-bit pixels: colours of camera frames, sampling, means. All work in fixed point (mean_row in single precision without
// contraction): every set gives the same bytes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "config.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace kernels {

// BT.601 in 16-bit fixed point: Y less its offset, and U and V less 128, count 128ths; coefficients count 2^-13; their product less 15
// bits, rounded, which AVX2 and NEON have as one instruction, is what they add to a colour in 32nds.

/// R = y (Y - offset) + rv (V - 128), G = y (Y - offset) - gu (U - 128) - gv (V - 128), B = y (Y - offset) + bu (U - 128).
/// Within 0.57 of the exact value before clamping to 0..255.
struct YuvMatrix {
    std::int16_t offset, y, rv, gu, gv, bu;
};

/// A row of Y and the U and V of its blocks, interleaved and interpolated down already: `pairs` holds four times each, with the first and
/// the last pair once more outside. `u` is the place of U in a pair, 0 or 1. A pixel's own block counts 3/4, the one on its other side 1/4.
struct BlockRow {
    const std::uint8_t* y;
    const std::int16_t* pairs;
    int width;
    int u;
};

struct YuvBlendArgs {
    const std::uint8_t* own;
    const std::uint8_t* other;
    int count;
    std::int16_t* dst;  ///< dst[i] = 3 * own[i] + other[i]
};
struct YuvBlend {
    void (*run)(const YuvBlendArgs&);
};

/// rgb8 of a row whose U and V are those of blocks of pixels.
struct YuvBlocksArgs {
    YuvMatrix matrix;
    BlockRow row;
    std::uint8_t* dst;  ///< [width][3]
};
struct YuvBlocks {
    void (*run)(const YuvBlocksArgs&);
};

/// rgb8 of a row of YUYV: U and V hold for their pair of pixels.
struct YuvPairsArgs {
    YuvMatrix matrix;
    const std::uint8_t* row;  ///< Y0 U Y1 V, whole pairs
    int width;                ///< pixels
    std::uint8_t* dst;        ///< [width][3]
};
struct YuvPairs {
    void (*run)(const YuvPairsArgs&);
};

/// Packed pixels to sample: `bytes` a pixel, of which `order` names those that are red, green and blue.
struct WarpSource {
    const std::uint8_t* data = nullptr;
    std::ptrdiff_t stride = 0;
    int width = 0;
    int height = 0;
    int bytes = 0;
    int order[3] = {};

    /// Pixels that must follow the left one of a pair in its row for 8 bytes to be there.
    int pixels_after() const noexcept { return bytes == 1 ? 7 : bytes == 3 ? 2 : 1; }
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

/// One row of three bytes a pixel, bilinear: pixel i from `start` + i * `step`; zeros outside the source.
struct WarpRowArgs {
    const WarpSource* source;
    WarpPosition start, step;
    int count;
    std::uint8_t* dst;  ///< [count][3], and four bytes to spare, which may be written
};
struct WarpRow {
    void (*run)(const WarpRowArgs&);
};

struct AddBytesArgs {
    const std::uint8_t* src;
    std::size_t count;
    std::uint16_t* sums;  ///< sums[i] += src[i]
};
struct AddBytes {
    void (*run)(const AddBytesArgs&);
};

/// Four bytes a pixel: the sum of `factor` neighbouring groups of `bytes` sums, times `scale`, rounded. Reads three sums beyond the last
/// group; what lies after a pixel's own bytes is unspecified.
struct MeanRowArgs {
    const std::uint16_t* sums;
    std::ptrdiff_t bytes;
    int factor;
    int width;
    float scale;
    std::uint8_t* dst;  ///< [width][4]
};
struct MeanRow {
    void (*run)(const MeanRowArgs&);
};

}  // namespace kernels
RETINAFACE_END_NAMESPACE
