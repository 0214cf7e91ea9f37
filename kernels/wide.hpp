// Kernels of the wide networks: they are compiled only where retinaface/resnet.hpp is included.
#pragma once

#include "kernels.hpp"
#include "wide_types.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace kernels {

#if RETINAFACE_ISA_AVX512
RETINAFACE_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
namespace avx512 {
#include "generic/wide_conv.inl"

#include "generic/small_conv.inl"

#include "generic/wide_maps.inl"

#include "generic/wide_set.inl"
}  // namespace avx512
RETINAFACE_TARGET_END
#endif

#if RETINAFACE_ISA_AVX2
RETINAFACE_TARGET_BEGIN("avx2,fma")
namespace avx2 {
#include "generic/wide_conv.inl"

#include "generic/small_conv.inl"

#include "generic/wide_maps.inl"

#include "generic/wide_set.inl"
}  // namespace avx2
RETINAFACE_TARGET_END
#endif

#if RETINAFACE_ISA_NEON
namespace neon {
#include "generic/wide_conv.inl"

#include "generic/small_conv.inl"

#include "generic/wide_maps.inl"

#include "generic/wide_set.inl"
}  // namespace neon
#endif

#if RETINAFACE_ISA_PORTABLE
namespace portable {
#include "generic/wide_conv.inl"

#include "generic/small_conv.inl"

#include "generic/wide_maps.inl"

#include "generic/wide_set.inl"
}  // namespace portable
#endif

/// Naive loops with double accumulators, the oracle of every other set.
namespace reference {

/// Packed weights are the weights: [C_out][C_in][K][K].
inline std::size_t wide_packed_size(int kernel, int channels_in, int channels_out) {
    return static_cast<std::size_t>(kernel) * static_cast<std::size_t>(kernel) * static_cast<std::size_t>(channels_in) *
           static_cast<std::size_t>(channels_out);
}
inline void wide_pack(const float* weights, int kernel, int channels_in, int channels_out, float* dst) {
    for (std::size_t i = 0; i < wide_packed_size(kernel, channels_in, channels_out); ++i) dst[i] = weights[i];
}
inline std::size_t wide_scratch(int, int) { return 0; }

inline void wide_conv(const WideConvArgs& g) {
    const int taps = g.kernel * g.kernel;
    for (int i = g.pixel_begin; i < g.pixel_end; ++i) {
        const int y = i / g.width_out, x = i % g.width_out;
        for (const WideOutput& out : g.outputs) {
            for (int j = 0; j < out.channels; ++j) {
                double sum = out.bias[j];
                for (int tap = 0; tap < taps; ++tap) {
                    const float* w = out.weights + static_cast<std::ptrdiff_t>(j) * g.channels * taps + tap;
                    if (g.offsets != nullptr) {
                        const DeformedTap at = deformed_tap(g, y, x, tap, g.offsets + i * g.offset_stride);
                        for (int c = 0; c < g.channels; ++c) {
                            double value = 0;
                            for (int n = 0; n < 4; ++n)
                                value +=
                                    static_cast<double>(at.weight[n]) * static_cast<double>(g.src[at.pixel[n] * g.channels + c]);
                            sum += value * static_cast<double>(w[c * taps]);
                        }
                        continue;
                    }
                    const int row = y * g.stride + tap / g.kernel - g.kernel / 2,
                              column = x * g.stride + tap % g.kernel - g.kernel / 2;
                    if (row < 0 || row >= g.height || column < 0 || column >= g.width) continue;
                    const float* pixel = g.src + (static_cast<std::ptrdiff_t>(row) * g.width + column) * g.channels;
                    for (int c = 0; c < g.channels; ++c) sum += static_cast<double>(pixel[c]) * static_cast<double>(w[c * taps]);
                }
                if (out.residual != nullptr) sum += static_cast<double>(out.residual[i * out.residual_stride + j]);
                double value = activate(sum, out.slope);
                if (out.up != nullptr)
                    value += static_cast<double>(
                        out.up[(static_cast<std::ptrdiff_t>(y / 2) * out.up_width + x / 2) * out.up_stride + j]);
                out.dst[i * out.pixel_stride + j] = static_cast<float>(value);
            }
        }
    }
}

/// Packed weights are the weights here, too.
inline std::size_t small_conv3x3_packed_size(int channels_in, int channels_out) {
    return wide_packed_size(3, channels_in, channels_out);
}
inline void small_conv3x3_pack(const float* weights, int channels_in, int channels_out, float* dst) {
    wide_pack(weights, 3, channels_in, channels_out, dst);
}
inline std::size_t small_conv3x3_scratch(int, int) { return 0; }

inline void small_conv3x3(const SmallConv3x3Args& s) {
    const int tiles_x = (s.width + 3) / 4, tiles = tiles_x * ((s.height + 3) / 4);
    const int block = small_conv_block(tiles), groups = small_conv_groups(s.channels_out);
    for (int unit = s.unit_begin; unit < s.unit_end; ++unit) {
        const int first = unit / groups * block, channel = unit % groups * kSmallConvGroup;
        for (int t = first; t < first + block && t < tiles; ++t) {
            for (int i = 0; i < 16; ++i) {
                const int y = t / tiles_x * 4 + i / 4, x = t % tiles_x * 4 + i % 4;
                if (y >= s.height || x >= s.width) continue;
                for (int j = channel; j < channel + kSmallConvGroup && j < s.channels_out; ++j) {
                    double sum = static_cast<double>(s.bias[j]);
                    for (int tap = 0; tap < 9; ++tap) {
                        const int row = y + tap / 3 - 1, column = x + tap % 3 - 1;
                        if (row < 0 || row >= s.height || column < 0 || column >= s.width) continue;
                        const float* pixel = s.src + (static_cast<std::ptrdiff_t>(row) * s.width + column) * s.channels_in;
                        const float* w = s.weights + static_cast<std::ptrdiff_t>(j) * s.channels_in * 9 + tap;
                        for (int c = 0; c < s.channels_in; ++c)
                            sum += static_cast<double>(pixel[c]) * static_cast<double>(w[c * 9]);
                    }
                    s.dst[(static_cast<std::ptrdiff_t>(y) * s.width + x) * s.pixel_stride + j] =
                        static_cast<float>(activate(sum, s.slope));
                }
            }
        }
    }
}

inline void max_pool3x3(const MaxPool3x3Args& p) {
    for (int x = 0; x < p.width_out; ++x) {
        for (int c = 0; c < p.channels; ++c) {
            float most = p.rows[0][static_cast<std::ptrdiff_t>(2 * x) * p.channels + c];
            for (int i = 0; i < p.row_count; ++i)
                for (int column = 2 * x - 1; column <= 2 * x + 1; ++column)
                    if (column >= 0 && column < p.width_in &&
                        p.rows[i][static_cast<std::ptrdiff_t>(column) * p.channels + c] > most)
                        most = p.rows[i][static_cast<std::ptrdiff_t>(column) * p.channels + c];
            p.dst[static_cast<std::ptrdiff_t>(x) * p.channels + c] = most;
        }
    }
}

inline void scale_shift(const ScaleShiftArgs& s) {
    for (std::ptrdiff_t i = 0; i < static_cast<std::ptrdiff_t>(s.pixels) * s.channels; ++i)
        s.dst[i] = static_cast<float>(activate(static_cast<double>(s.src[i]) * static_cast<double>(s.scale[i % s.channels]) +
                                                   static_cast<double>(s.shift[i % s.channels]),
                                               s.slope));
}

#include "generic/wide_set.inl"

}  // namespace reference

}  // namespace kernels
RETINAFACE_END_NAMESPACE
