// Kernels of the wide networks (ResNet) and their parameters. The rules are those of types.hpp.
#pragma once

#include <cmath>

#include "types.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace kernels {

/// Some output channels of a convolution and what happens to them: act(sum + bias + residual) + up.
struct WideOutput {
    const float* weights;         ///< packed by WideConv::pack
    const float* bias;            ///< [channels]
    float* dst;                   ///< output pixel (0, 0), channel 0 of these
    std::ptrdiff_t pixel_stride;  ///< of `dst`
    int channels;                 ///< a multiple of 8; 0: no such output
    float slope;
    const float* residual;  ///< nullptr, or the map to add before the activation; `dst` itself where K * K * C_in <= kWideInPlace
    std::ptrdiff_t residual_stride;
    const float* up;           ///< nullptr, or the coarser map whose pixel (y / 2, x / 2) is added after the activation
    std::ptrdiff_t up_stride;  ///< floats from pixel to pixel of that map
    int up_width;
};

/// Convolution, K x K for any K, any stride, padding K / 2; deformable where `offsets` is given. A call makes a range of the
/// output's pixels, row-major.
struct WideConvArgs {
    const float* src;  ///< [height][width][channels], dense
    int height, width;
    int channels;  ///< any number; a multiple of 8 where deformable
    int kernel, stride;
    int width_out;
    /// Per output pixel {dy, dx} of each tap in pixels of the input and, where `modulated`, a logit per tap after them whose tap
    /// counts 2 * sigmoid(logit) times. A tap is interpolated between four neighbours, each 0 outside the map; a tap whose
    /// position or logit is not a number, or whose position is a whole pixel or more outside, counts as 0.
    const float* offsets;
    std::ptrdiff_t offset_stride;  ///< floats from pixel to pixel
    bool modulated;
    WideOutput outputs[2];
    int pixel_begin, pixel_end;
    float* scratch;  ///< WideConv::scratch floats, 64-byte aligned
};

/// Longest sum that is made at one go, so that an output is written when its residual has been read.
constexpr int kWideInPlace = 512;

/// Ranges of output pixels are best multiples of this.
constexpr int kWideConvGrain = 24;

struct WideConv {
    void (*run)(const WideConvArgs&);
    std::size_t (*packed_size)(int kernel, int channels_in, int channels_out);  ///< floats that pack() writes
    /// `weights` is [channels_out][channels_in][kernel][kernel].
    void (*pack)(const float* weights, int kernel, int channels_in, int channels_out, float* dst);
    std::size_t (*scratch)(int kernel, int channels_in);  ///< floats
};

/// 3 x 3 convolution of stride 1 as Winograd's F(4 x 4) whose weights are transformed on the way: for maps of few tiles, where that costs
/// less than reading four times the weights. A unit is kSmallConvGroup output channels of a block of 4 x 4 tiles; units go block by block.
struct SmallConv3x3Args {
    const float* src;  ///< [height][width][channels_in], dense
    int height, width;
    int channels_in, channels_out;  ///< multiples of 8
    const float* weights;           ///< packed by SmallConv3x3::pack
    const float* bias;              ///< [channels_out]
    float* dst;                     ///< [height][width][channels_out]
    std::ptrdiff_t pixel_stride;    ///< of `dst`
    float slope;
    int unit_begin, unit_end;
    float* scratch;  ///< SmallConv3x3::scratch floats, 64-byte aligned
};

constexpr int kSmallConvGroup = 32;

/// Tiles of a block: blocks of one map are as even as can be.
constexpr int small_conv_block(int tiles) {
    const int blocks = (tiles + 99) / 100;
    return (tiles + blocks - 1) / blocks;
}

constexpr int small_conv_groups(int channels_out) { return (channels_out + kSmallConvGroup - 1) / kSmallConvGroup; }

struct SmallConv3x3 {
    void (*run)(const SmallConv3x3Args&);
    std::size_t (*packed_size)(int channels_in, int channels_out);  ///< floats that pack() writes
    /// `weights` is [channels_out][channels_in][3][3].
    void (*pack)(const float* weights, int channels_in, int channels_out, float* dst);
    std::size_t (*scratch)(int tiles, int channels_in);  ///< floats
};

/// 3 x 3 maximum, stride 2, padding 1 (padding never wins): one output row.
struct MaxPool3x3Args {
    const float* rows[3];  ///< the input rows that lie inside the map
    int row_count;
    int width_in, width_out;
    int channels;
    float* dst;  ///< [width_out][channels]
};

struct MaxPool3x3 {
    void (*run)(const MaxPool3x3Args&);
};

/// act(x * scale + shift): a BatchNorm that no convolution can take up.
struct ScaleShiftArgs {
    const float* src;  ///< [pixels][channels]
    int pixels;
    int channels;
    const float* scale;  ///< [channels]
    const float* shift;
    float slope;
    float* dst;  ///< [pixels][channels]; may be `src`
};

struct ScaleShift {
    void (*run)(const ScaleShiftArgs&);
};

/// Four neighbours of a deformed tap and what each counts.
struct DeformedTap {
    std::ptrdiff_t pixel[4];
    float weight[4];
};

inline DeformedTap deformed_tap(const WideConvArgs& g, int y, int x, int tap, const float* offsets) {
    const int taps = g.kernel * g.kernel;
    const float at_y = static_cast<float>(y * g.stride - g.kernel / 2 + tap / g.kernel) + offsets[2 * tap];
    const float at_x = static_cast<float>(x * g.stride - g.kernel / 2 + tap % g.kernel) + offsets[2 * tap + 1];
    float modulation = 1;
    if (g.modulated) modulation = 2.0f / (1.0f + std::exp(-offsets[2 * taps + tap]));
    DeformedTap out{};
    // Written so that NaN fails each of them.
    const bool inside = at_y > -1 && at_y < static_cast<float>(g.height) && at_x > -1 && at_x < static_cast<float>(g.width);
    if (!inside || !(modulation >= 0)) return out;
    const int top = static_cast<int>(std::floor(at_y)), left = static_cast<int>(std::floor(at_x));
    const float down = at_y - static_cast<float>(top), right = at_x - static_cast<float>(left);
    const float rows[2] = {1 - down, down}, columns[2] = {1 - right, right};
    for (int i = 0; i < 4; ++i) {
        const int row = top + i / 2, column = left + i % 2;
        const bool in_map = row >= 0 && row < g.height && column >= 0 && column < g.width;
        out.pixel[i] = in_map ? static_cast<std::ptrdiff_t>(row) * g.width + column : 0;
        out.weight[i] = in_map ? rows[i / 2] * columns[i % 2] * modulation : 0.0f;
    }
    return out;
}

}  // namespace kernels
RETINAFACE_END_NAMESPACE
