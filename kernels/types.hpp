// Parameter structs of the kernels. Kernels see raw pointers only: they allocate nothing, throw nothing and know no threads.
// All maps are channels last (H x W x C), fp32, dense; all channel counts but the image's are multiples of 8.
// No kernel writes outside the stated outputs; over-reads are stated where a kernel makes them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "config.hpp"

RETINAFACE_BEGIN_NAMESPACE

/// Instruction set of the compute kernels. `automatic` takes the best set that was compiled and that this CPU runs.
enum class Isa { automatic, reference, portable, avx2, avx512, neon };

namespace kernels {

/// Every activation of these networks is max(x, slope * x): slope 1 is the identity, 0 is ReLU, 0.1 the leaky ReLU.
/// Slopes lie in [0, 1].

/// Stages one row of packed 8-bit pixels for the first convolution: fp32 minus mean, zeros left and right. The layout of a staged
/// row is the set's own; KernelTable::stem_row_size is its size.
struct LoadPixelsArgs {
    const std::uint8_t* src;  ///< nullptr: a row outside the image, zeros
    int width;                ///< pixels in the image
    int channels;             ///< bytes a pixel: 1, 3 or 4 (the fourth is ignored)
    int width_padded;         ///< pixels in the network's input, >= width; zeros behind the image
    int kernel;               ///< of the convolution
    int stride;
    const float* mean;  ///< [3], in the order of the pixel's bytes
    float* dst;         ///< 64-byte aligned
};

/// First convolution: K x K, stride S, padding K / 2, three input channels, one output row.
/// (K, S, C_out) is (3, 2, 8) or (7, 4, 16).
struct StemArgs {
    const float* const* rows;  ///< [K] staged rows
    int width;                 ///< width_padded of the staged rows
    int channels;              ///< channels they were staged from
    int kernel;                ///< K
    int stride;                ///< S
    int channels_out;          ///< 8 or 16
    const float* weights;      ///< [K][K][3][C_out], in the order of the pixel's bytes
    const float* bias;         ///< [C_out]
    float slope;
    float* dst;  ///< [ceil(width / S)][C_out]
};

/// Depthwise 3x3 convolution, padding 1, one output row or two neighbouring ones, which read the input rows they share once.
struct DepthwiseArgs {
    const float* rows[5];  ///< the 3 + (rows_out - 1) * stride input rows, [width_in][C] each; a row outside the map points at zeros
    int rows_out;          ///< 1 or 2
    int width_in;
    int width_out;  ///< ceil(width_in / stride)
    int channels;
    int stride;            ///< 1 or 2
    const float* weights;  ///< [3][3][C]
    const float* bias;     ///< [C]
    float slope;
    float* dst;  ///< [rows_out][width_out][C]
};

/// C = act(A * B + bias) [+ upsampled row]: pointwise convolution of m pixels. An output depends on its own row of A alone and
/// is summed in the order of k, so results do not depend on how pixels are grouped.
struct GemmArgs {
    const float* a;
    std::ptrdiff_t lda;  ///< floats from pixel to pixel
    const float* b;      ///< packed by KernelTable::gemm_pack
    const float* bias;   ///< [n]
    float* c;
    std::ptrdiff_t ldc;
    int m, k, n;
    float slope;
    const float* add;  ///< nullptr, or a row whose pixel i / 2 is added to output pixel i after the activation
    std::ptrdiff_t ld_add;
};

/// Where a slice of a convolution's output channels goes.
struct Sink {
    float* dst;  ///< pixel (0, 0), channel 0 of the slice
    std::ptrdiff_t pixel_stride;
    int channels;
    float slope;
};

/// 3x3 convolution, stride 1, padding 1. Output is made in tiles (4x4 pixels); a call makes a range of tiles, row-major.
struct Conv3x3Args {
    const float* src;  ///< [height][width][pixel_stride >= channels_in]
    std::ptrdiff_t pixel_stride;
    int height, width;
    int channels_in, channels_out;
    const float* weights;  ///< packed by KernelTable::conv3x3_pack
    const float* bias;     ///< [channels_out]
    Sink sinks[2];         ///< channels add up to channels_out; the second may be empty
    int tile_begin, tile_end;
    float* scratch;  ///< KernelTable::conv3x3_scratch(channels_in, channels_out) floats, 64-byte aligned
};

/// Four class logits a pixel.
struct ClassLogitsArgs {
    const float* src;  ///< [pixels][channels]
    int pixels;
    int channels;
    const float* weights;  ///< [4][channels]
    const float* bias;     ///< [4]
    float* dst;            ///< [pixels][4]
};

constexpr int kConv3x3Tile = 4;

constexpr int conv3x3_tiles(int height, int width) {
    return ((height + kConv3x3Tile - 1) / kConv3x3Tile) * ((width + kConv3x3Tile - 1) / kConv3x3Tile);
}

/// One set of kernels, chosen once per Detector. Packing belongs to the set: packed weights fit the table that made them.
struct KernelTable {
    Isa isa;
    const char* name;

#define RETINAFACE_KERNEL(name, Args) void (*name)(const Args&);
#include "kernel_list.inc"
#undef RETINAFACE_KERNEL

    /// Floats of a row that load_pixels stages.
    std::size_t (*stem_row_size)(int width_padded, int kernel, int stride);

    /// Floats that gemm_pack writes for a k x n product.
    std::size_t (*gemm_packed_size)(int k, int n);
    /// `weights` is [n][k] (a pointwise convolution as stored).
    void (*gemm_pack)(const float* weights, int k, int n, float* dst);

    std::size_t (*conv3x3_packed_size)(int channels_in, int channels_out);
    /// `weights` is [C_out][C_in][3][3].
    void (*conv3x3_pack)(const float* weights, int channels_in, int channels_out, float* dst);
    std::size_t (*conv3x3_scratch)(int channels_in, int channels_out);
};

}  // namespace kernels

RETINAFACE_END_NAMESPACE
