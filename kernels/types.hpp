// Kernels and their parameters. Kernels see raw pointers only: they allocate nothing, throw nothing and know no threads.
// All maps are channels last (H x W x C), fp32, dense; all channel counts but the image's are multiples of 8.
// No kernel writes outside the stated outputs; over-reads are stated where a kernel makes them.
//
// A kernel is a type: the functions that one instruction set has for it. find<Kernel>(isa) (kernels.hpp) fills it in. Packing and
// scratch are the kernel's own: packed weights fit the set that packed them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "isa.hpp"
#include "pixel_types.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace kernels {

/// Every activation of these networks is max(x, slope * x): slope 1 is the identity, 0 is ReLU, 0.1 the leaky ReLU.
/// Slopes lie in [0, 1].

/// Stages one row of packed 8-bit pixels for the first convolution: fp32 minus mean, zeros left and right.
struct LoadPixelsArgs {
    const std::uint8_t* src;  ///< nullptr: a row outside the image, zeros
    int width;                ///< pixels in the image
    int channels;             ///< bytes a pixel: 1, 3 or 4 (the fourth is ignored)
    int width_padded;         ///< pixels in the network's input, >= width; zeros after the image
    const float* mean;        ///< [3], in the order of the pixel's bytes
    float* dst;               ///< 64-byte aligned, row_size(width_padded) floats
};

/// For a Stem of the same template arguments; the layout of a staged row is the set's own.
template <int K, int Stride, int ChannelsOut>
struct LoadPixels {
    void (*run)(const LoadPixelsArgs&);
    std::size_t (*row_size)(int width_padded);  ///< floats of a staged row
};

/// First convolution, one output row.
struct StemArgs {
    const float* const* rows;  ///< [K] staged rows
    int width;                 ///< width_padded of the staged rows
    int channels;              ///< channels they were staged from
    const float* weights;      ///< [K][K][3][ChannelsOut], in the order of the pixel's bytes
    const float* bias;         ///< [ChannelsOut]
    float slope;
    float* dst;  ///< [ceil(width / Stride)][ChannelsOut]
};

/// K x K, padding K / 2, three input channels. ChannelsOut is a multiple of 8.
template <int K, int Stride, int ChannelsOut>
struct Stem {
    void (*run)(const StemArgs&);
};

/// Depthwise 3x3 convolution, padding 1, one output row or two neighbouring ones, which read the input rows they share once.
struct DepthwiseConv3x3Args {
    const float*
        rows[5];   ///< the 3 + (rows_out - 1) * stride input rows, [width_in][C] each; a row outside the map points at zeros
    int rows_out;  ///< 1 or 2
    int width_in;
    int width_out;  ///< ceil(width_in / stride)
    int channels;
    int stride;            ///< 1 or 2
    const float* weights;  ///< [3][3][C]
    const float* bias;     ///< [C]
    float slope;
    float* dst;  ///< [rows_out][width_out][C]
};

struct DepthwiseConv3x3 {
    void (*run)(const DepthwiseConv3x3Args&);
};

/// C = act(A * B + bias) [+ upsampled row]: pointwise convolution of m pixels. An output depends on its own row of A alone and
/// is summed in the order of k, so results do not depend on how pixels are grouped.
struct GemmArgs {
    const float* a;
    std::ptrdiff_t lda;  ///< floats from pixel to pixel
    const float* b;      ///< packed by Gemm::pack
    const float* bias;   ///< [n]
    float* c;
    std::ptrdiff_t ldc;
    int m, k, n;
    float slope;
    const float* add;  ///< nullptr, or a row whose pixel i / 2 is added to output pixel i after the activation
    std::ptrdiff_t ld_add;
};

struct Gemm {
    void (*run)(const GemmArgs&);
    std::size_t (*packed_size)(int k, int n);  ///< floats that pack() writes for a k x n product
    /// `weights` is [n][k] (a pointwise convolution as stored).
    void (*pack)(const float* weights, int k, int n, float* dst);
};

/// Where a slice of a convolution's output channels goes.
struct Sink {
    float* dst;  ///< pixel (0, 0), channel 0 of the slice
    std::ptrdiff_t pixel_stride;
    int channels;
    float slope;
};

constexpr int kConv3x3Tile = 4;

constexpr int conv3x3_tiles(int height, int width) {
    return ((height + kConv3x3Tile - 1) / kConv3x3Tile) * ((width + kConv3x3Tile - 1) / kConv3x3Tile);
}

/// 3x3 convolution, stride 1, padding 1. Output is made in tiles (4x4 pixels); a call makes a range of tiles, row-major.
struct Conv3x3Args {
    const float* src;  ///< [height][width][pixel_stride >= channels_in]
    std::ptrdiff_t pixel_stride;
    int height, width;
    int channels_in, channels_out;
    const float* weights;  ///< packed by Conv3x3::pack
    const float* bias;     ///< [channels_out]
    Sink sinks[2];         ///< channels add up to channels_out; the second may be empty
    int tile_begin, tile_end;
    float* scratch;  ///< scratch(channels_in, channels_out) floats, 64-byte aligned
};

struct Conv3x3 {
    void (*run)(const Conv3x3Args&);
    std::size_t (*packed_size)(int channels_in, int channels_out);  ///< floats
    /// `weights` is [C_out][C_in][3][3].
    void (*pack)(const float* weights, int channels_in, int channels_out, float* dst);
    std::size_t (*scratch)(int channels_in, int channels_out);  ///< floats
    /// Tiles that are best made together: a call's range is as fast as can be where it is a multiple of this.
    int (*block)(int channels_in, int channels_out);
};

/// Class logits of every pixel: so few outputs that each is a dot product.
struct ClassLogitsArgs {
    const float* src;  ///< [pixels][channels]
    int pixels;
    int channels;
    const float* weights;  ///< [Outputs][channels]
    const float* bias;     ///< [Outputs]
    float* dst;            ///< [pixels][Outputs]
};

template <int Outputs>
struct ClassLogits {
    void (*run)(const ClassLogitsArgs&);
};

}  // namespace kernels
RETINAFACE_END_NAMESPACE
