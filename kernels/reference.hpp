// Reference kernels: naive loops with double accumulators, the oracle of every other set. conv3x3 is the direct convolution.
#pragma once

#include "types.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace kernels {
namespace reference {

/// Names a kernel type. What get() is chosen by; it is the set's own, so that find() sees the overloads of kernels that come later.
template <class Kernel>
struct Tag {};

inline double activate(double v, float slope) {
    const double scaled = v * static_cast<double>(slope);
    return v > scaled ? v : scaled;
}

/// Staged rows are 3 floats a pixel, K / 2 zero pixels before, K after.
template <int K>
inline std::size_t interleaved_row_size(int width_padded) {
    return 3 * static_cast<std::size_t>(width_padded + 2 * K);
}

template <int K>
inline void load_interleaved(const LoadPixelsArgs& p) {
    for (int x = -(K / 2); x < p.width_padded + K; ++x) {
        const bool inside = p.src != nullptr && x >= 0 && x < p.width;
        for (int c = 0; c < 3; ++c)
            p.dst[(x + K / 2) * 3 + c] =
                inside ? static_cast<float>(p.src[x * p.channels + (p.channels == 1 ? 0 : c)]) - p.mean[c] : 0.0f;
    }
}

template <int K, int Stride, int ChannelsOut>
inline void interleaved_stem(const StemArgs& s) {
    for (int x = 0; x < (s.width + Stride - 1) / Stride; ++x) {
        for (int o = 0; o < ChannelsOut; ++o) {
            double sum = static_cast<double>(s.bias[o]);
            for (int ky = 0; ky < K; ++ky)
                for (int kx = 0; kx < K; ++kx)
                    for (int c = 0; c < 3; ++c)
                        sum += static_cast<double>(s.rows[ky][(x * Stride + kx) * 3 + c]) *
                               static_cast<double>(s.weights[((ky * K + kx) * 3 + c) * ChannelsOut + o]);
            s.dst[static_cast<std::ptrdiff_t>(x) * ChannelsOut + o] = static_cast<float>(activate(sum, s.slope));
        }
    }
}

inline void dwconv3x3(const DepthwiseConv3x3Args& d) {
    float* dst = d.dst;
    for (int y = 0; y < d.rows_out; ++y) {
        for (int x = 0; x < d.width_out; ++x) {
            for (int c = 0; c < d.channels; ++c) {
                double sum = static_cast<double>(d.bias[c]);
                for (int ky = 0; ky < 3; ++ky) {
                    for (int kx = 0; kx < 3; ++kx) {
                        const int column = x * d.stride + kx - 1;
                        if (column < 0 || column >= d.width_in) continue;
                        sum +=
                            static_cast<double>(d.rows[y * d.stride + ky][static_cast<std::ptrdiff_t>(column) * d.channels + c]) *
                            static_cast<double>(d.weights[(ky * 3 + kx) * d.channels + c]);
                    }
                }
                *dst++ = static_cast<float>(activate(sum, d.slope));
            }
        }
    }
}

/// Packed weights are the weights: [n][k].
inline std::size_t gemm_packed_size(int k, int n) { return static_cast<std::size_t>(k) * static_cast<std::size_t>(n); }

inline void gemm_pack(const float* weights, int k, int n, float* dst) {
    for (std::size_t i = 0; i < gemm_packed_size(k, n); ++i) dst[i] = weights[i];
}

inline void gemm(const GemmArgs& g) {
    for (int i = 0; i < g.m; ++i) {
        for (int j = 0; j < g.n; ++j) {
            double sum = static_cast<double>(g.bias[j]);
            for (int p = 0; p < g.k; ++p)
                sum +=
                    static_cast<double>(g.a[i * g.lda + p]) * static_cast<double>(g.b[static_cast<std::ptrdiff_t>(j) * g.k + p]);
            double y = activate(sum, g.slope);
            if (g.add != nullptr) y += static_cast<double>(g.add[i / 2 * g.ld_add + j]);
            g.c[i * g.ldc + j] = static_cast<float>(y);
        }
    }
}

/// Packed weights are the weights: [C_out][C_in][3][3].
inline std::size_t conv3x3_packed_size(int channels_in, int channels_out) {
    return 9 * static_cast<std::size_t>(channels_in) * static_cast<std::size_t>(channels_out);
}

inline void conv3x3_pack(const float* weights, int channels_in, int channels_out, float* dst) {
    for (std::size_t i = 0; i < conv3x3_packed_size(channels_in, channels_out); ++i) dst[i] = weights[i];
}

inline std::size_t conv3x3_scratch(int, int) { return 0; }
inline int conv3x3_block(int, int) { return 1; }

inline float conv3x3_output(const Conv3x3Args& c, int y, int x, int out, float slope) {
    double sum = static_cast<double>(c.bias[out]);
    for (int ky = 0; ky < 3; ++ky) {
        for (int kx = 0; kx < 3; ++kx) {
            const int row = y + ky - 1, column = x + kx - 1;
            if (row < 0 || row >= c.height || column < 0 || column >= c.width) continue;
            const float* pixel = c.src + (static_cast<std::ptrdiff_t>(row) * c.width + column) * c.pixel_stride;
            const float* w = c.weights + static_cast<std::ptrdiff_t>(out) * c.channels_in * 9 + ky * 3 + kx;
            for (int in = 0; in < c.channels_in; ++in) sum += static_cast<double>(pixel[in]) * static_cast<double>(w[in * 9]);
        }
    }
    return static_cast<float>(activate(sum, slope));
}

inline void conv3x3(const Conv3x3Args& c) {
    const int tiles_x = (c.width + kConv3x3Tile - 1) / kConv3x3Tile;
    for (int t = c.tile_begin; t < c.tile_end; ++t) {
        const int y0 = t / tiles_x * kConv3x3Tile, x0 = t % tiles_x * kConv3x3Tile;
        for (int y = y0; y < y0 + kConv3x3Tile && y < c.height; ++y) {
            for (int x = x0; x < x0 + kConv3x3Tile && x < c.width; ++x) {
                int out = 0;
                for (const Sink& sink : c.sinks)
                    for (int j = 0; j < sink.channels; ++j)
                        sink.dst[(static_cast<std::ptrdiff_t>(y) * c.width + x) * sink.pixel_stride + j] =
                            conv3x3_output(c, y, x, out++, sink.slope);
            }
        }
    }
}

template <int Outputs>
inline void class_logits(const ClassLogitsArgs& a) {
    for (int i = 0; i < a.pixels; ++i) {
        for (int o = 0; o < Outputs; ++o) {
            double sum = static_cast<double>(a.bias[o]);
            for (int c = 0; c < a.channels; ++c)
                sum += static_cast<double>(a.src[static_cast<std::ptrdiff_t>(i) * a.channels + c]) *
                       static_cast<double>(a.weights[o * a.channels + c]);
            a.dst[Outputs * static_cast<std::ptrdiff_t>(i) + o] = static_cast<float>(sum);
        }
    }
}

// Bodies build on each other in this order.
// clang-format off
#include "generic/set.inl"

#include "generic/yuv.inl"
#include "generic/warp.inl"
#include "generic/yuv_plain.inl"
#include "generic/warp_plain.inl"
#include "generic/pixel_set.inl"
// clang-format on

}  // namespace reference
}  // namespace kernels
RETINAFACE_END_NAMESPACE
