// Depthwise convolution, and the depthwise-separable block of MobileNet.
#pragma once

#include <cstring>

#include "conv2d.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace layers {

namespace impl {

/// [C][9] to [9][C].
inline AlignedBuffer taps_first(const std::vector<float>& weights) {
    AlignedBuffer packed(weights.size());
    const std::size_t channels = weights.size() / 9;
    for (std::size_t tap = 0; tap < 9; ++tap)
        for (std::size_t c = 0; c < channels; ++c) packed.data()[tap * channels + c] = weights[c * 9 + tap];
    return packed;
}

}  // namespace impl

/// Depthwise 3 x 3 convolution with folded BatchNorm, padding 1.
template <int C, int Stride = 1>
class DepthwiseConv2d : public Leaf {
    static_assert(C % 8 == 0, "channel counts are multiples of 8");
    static_assert(Stride == 1 || Stride == 2, "stride is 1 or 2");

public:
    static constexpr const char* kKernel = "dwconv3x3";
    static constexpr int kChannelsIn = C;
    static constexpr int kChannelsOut = C;
    static constexpr int kStride = Stride;
    static constexpr int kRadius = 1;

    void load(const Scope& parameters, Activation activation) {
        kernel_ = kernels::find<kernels::DepthwiseConv3x3>(parameters.isa());
        weights_ = impl::taps_first(begin_load(parameters, activation, C, 1, 3));
    }

    Shape output(const Shape& in) const { return {strided(in.height, Stride), strided(in.width, Stride), C}; }
    /// The scratch is a row of zeros.
    Work work(const Shape& in) const { return {strided(in.height, Stride), 2, static_cast<std::size_t>(in.width) * C}; }
    static Rows made(const Shape&, int begin, int end) { return {begin, end}; }
    static Rows needed(Rows made) { return convolution_rows(made, Stride, kRadius); }
    void run(const Io& io, int begin, int end, float* scratch) const {
        std::memset(scratch, 0, static_cast<std::size_t>(io.in.row_size()) * sizeof(float));
        rows([&](int y) -> const float* { return y < 0 || y >= io.in.height ? scratch : io.in.row(y); }, io.in.width, begin, end,
             io.activation, io.out.row(begin));
    }
    Cost cost() const { return {9LL * C, 10LL * C, 3, Stride}; }

    /// Output rows [begin, end), one after the other at `dst`. `input(y)` is the input's row y, or zeros outside the map.
    template <class InputRow>
    void rows(InputRow input, int width_in, int begin, int end, Activation activation, float* dst) const {
        const int width_out = strided(width_in, Stride);
        for (int y = begin; y < end; y += 2) {
            const int count = std::min(2, end - y);
            kernels::DepthwiseConv3x3Args args{{},     count,           width_in,     width_out,        C,
                                               Stride, weights_.data(), bias_.data(), activation.slope, dst};
            for (int i = 0; i < 3 + (count - 1) * Stride; ++i) args.rows[i] = input(y * Stride - 1 + i);
            kernel_.run(args);
            dst += static_cast<std::ptrdiff_t>(count) * width_out * C;
        }
    }

private:
    kernels::DepthwiseConv3x3 kernel_;
};

/// Depthwise 3 x 3 (stride Stride), activation, pointwise 1 x 1, activation. A band of rows at a time: the depthwise rows stay in
/// the cache. (Its protocol as a layer of its own is Fused<Separable>'s.)
template <int Cin, int Cout, int Stride = 1>
class Separable {
public:
    static constexpr Kind kKind = Kind::module;
    static constexpr int kChannelsIn = Cin;
    static constexpr int kChannelsOut = Cout;
    static constexpr int kStride = Stride;
    static constexpr int kRadius = 1;

    void load(const Scope& parameters, Activation activation) {
        depthwise_.load(parameters["depthwise"], activation);
        pointwise_.load(parameters["pointwise"], activation);
    }

    template <class Pass, class Value>
    auto forward(Pass& pass, Value in) const {
        return pass(pointwise_, pass(depthwise_, in));
    }

    // Row by row, for Fused.

    /// Rows of a band: enough pixels to fill the product's tiles and for the weights of a wide product to be read seldom, two for the
    /// depthwise convolution to share what it reads, few enough for the depthwise rows to stay in the cache (L2 where they are widest).
    static int band_rows(int width_out) {
        const int rows = std::max(2, (kBandPixels + width_out - 1) / width_out), most = kBandFloats / (width_out * Cin);
        return std::max(1, std::min(rows, most));
    }
    static std::size_t scratch(int width_out) {
        return static_cast<std::size_t>(band_rows(width_out)) * static_cast<std::size_t>(width_out) * Cin;
    }

    /// Output rows [begin, end), at most band_rows, one after the other at `dst`. `input(y)` is the input's row y, or zeros.
    template <class InputRow>
    void rows(InputRow input, int width_in, int begin, int end, float* dst, float* scratch) const {
        depthwise_.rows(input, width_in, begin, end, depthwise_.activation(), scratch);
        pointwise_.pixels(scratch, (end - begin) * strided(width_in, Stride), dst);
    }

private:
    static constexpr int kBandPixels = 120;
    static constexpr int kBandFloats = 65536;

    DepthwiseConv2d<Cin, Stride> depthwise_;
    PointwiseConv2d<Cin, Cout> pointwise_;
};

}  // namespace layers
RETINAFACE_END_NAMESPACE
