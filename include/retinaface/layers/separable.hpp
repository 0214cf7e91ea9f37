// Depthwise convolution, and the depthwise-separable block of MobileNet.
#pragma once

#include "conv2d.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace layers {

/// Depthwise 3 x 3 convolution with folded BatchNorm, padding 1.
template <int C, int Stride = 1>
class DepthwiseConv2d {
    static_assert(C % 8 == 0, "channel counts are multiples of 8");
    static_assert(Stride == 1 || Stride == 2, "stride is 1 or 2");

public:
    static constexpr int kChannels = C;
    static constexpr int kStride = Stride;

    void load(Parameters& parameters, const std::string& name, const KernelTable&) {
        const std::vector<float>& weights = parameters.take(name + ".weight", {C, 1, 3, 3});
        bias_ = impl::copy(parameters.take(name + ".bias", {C}));
        weights_ = AlignedBuffer(weights.size());
        for (std::size_t tap = 0; tap < 9; ++tap)
            for (std::size_t c = 0; c < C; ++c) weights_.data()[tap * C + c] = weights[c * 9 + tap];
    }

    /// Output rows [begin, end), one behind the other at `dst`. `input(y)` is the input's row y, or zeros outside the map.
    template <class InputRow>
    void rows(const KernelTable& table, InputRow input, int width_in, int begin, int end, float slope, float* dst) const {
        const int width_out = strided(width_in, Stride);
        for (int y = begin; y < end; y += 2) {
            const int count = std::min(2, end - y);
            kernels::DepthwiseArgs args{{}, count, width_in, width_out, C, Stride, weights_.data(), bias_.data(), slope, dst};
            for (int i = 0; i < 3 + (count - 1) * Stride; ++i) args.rows[i] = input(y * Stride - 1 + i);
            table.dwconv3x3(args);
            dst += static_cast<std::ptrdiff_t>(count) * width_out * C;
        }
    }

private:
    AlignedBuffer weights_;
    AlignedBuffer bias_;
};

/// Depthwise 3 x 3 (stride Stride), activation, pointwise 1 x 1, activation. A band of rows at a time: the depthwise rows stay in
/// the cache.
template <int Cin, int Cout, int Stride = 1>
class Separable {
public:
    static constexpr int kChannelsIn = Cin;
    static constexpr int kChannelsOut = Cout;
    static constexpr int kStride = Stride;
    static constexpr int kRadius = 1;

    void load(Parameters& parameters, const std::string& name, const KernelTable& table) {
        depthwise_.load(parameters, name + ".depthwise", table);
        pointwise_.load(parameters, name + ".pointwise", table);
    }

    /// Rows of a band: enough pixels to fill the product's tiles and for the weights of a wide product to be read seldom, two for the
    /// depthwise convolution to share what it reads, few enough for the depthwise rows to stay in the cache (L2 where they are widest).
    static int band_rows(int width_out) {
        const int rows = std::max(2, (kBandPixels + width_out - 1) / width_out), most = kBandFloats / (width_out * Cin);
        return std::max(1, std::min(rows, most));
    }
    static std::size_t scratch(int width_out) {
        return static_cast<std::size_t>(band_rows(width_out)) * static_cast<std::size_t>(width_out) * Cin;
    }

    /// Output rows [begin, end), at most band_rows, one behind the other at `dst`. `input(y)` is the input's row y, or zeros.
    template <class InputRow>
    void rows(const KernelTable& table, InputRow input, int width_in, int begin, int end, float slope, float* dst, float* scratch) const {
        depthwise_.rows(table, input, width_in, begin, end, slope, scratch);
        pointwise_.pixels(table, scratch, (end - begin) * strided(width_in, Stride), slope, dst);
    }

    const DepthwiseConv2d<Cin, Stride>& depthwise() const { return depthwise_; }
    const PointwiseConv2d<Cin, Cout>& pointwise() const { return pointwise_; }

private:
    static constexpr int kBandPixels = 120;
    static constexpr int kBandFloats = 65536;

    DepthwiseConv2d<Cin, Stride> depthwise_;
    PointwiseConv2d<Cin, Cout> pointwise_;
};

}  // namespace layers
RETINAFACE_END_NAMESPACE
