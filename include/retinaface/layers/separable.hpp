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

    /// One output row from three input rows; a row outside the map points at zeros.
    void row(const KernelTable& table, const float* const (&rows)[3], int width_in, float slope, float* dst) const {
        table.dwconv3x3({{rows[0], rows[1], rows[2]}, width_in, strided(width_in, Stride), C, Stride, weights_.data(), bias_.data(),
                         slope, dst});
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

    /// Rows of a band: enough pixels to fill the product's tiles, few enough for the depthwise rows to stay in half of L1 and the
    /// weights of a wide product to be read seldom.
    static int band_rows(int width_out) {
        const int rows = (kBandPixels + width_out - 1) / width_out, most = kBandFloats / (width_out * Cin);
        return std::max(1, std::min(rows, most));
    }
    static std::size_t scratch(int width_out) {
        return static_cast<std::size_t>(band_rows(width_out)) * static_cast<std::size_t>(width_out) * Cin;
    }

    /// Output rows [begin, end), at most band_rows, one behind the other at `dst`. `input(y)` is the input's row y, or zeros.
    template <class InputRow>
    void rows(const KernelTable& table, InputRow input, int width_in, int begin, int end, float slope, float* dst, float* scratch) const {
        const int width_out = strided(width_in, Stride);
        for (int y = begin; y < end; ++y) {
            const float* const taps[3] = {input(y * Stride - 1), input(y * Stride), input(y * Stride + 1)};
            depthwise_.row(table, taps, width_in, slope, scratch + static_cast<std::ptrdiff_t>(y - begin) * width_out * Cin);
        }
        pointwise_.pixels(table, scratch, (end - begin) * width_out, slope, dst);
    }

    const DepthwiseConv2d<Cin, Stride>& depthwise() const { return depthwise_; }
    const PointwiseConv2d<Cin, Cout>& pointwise() const { return pointwise_; }

private:
    static constexpr int kBandPixels = 120;
    static constexpr int kBandFloats = 24576;

    DepthwiseConv2d<Cin, Stride> depthwise_;
    PointwiseConv2d<Cin, Cout> pointwise_;
};

}  // namespace layers
RETINAFACE_END_NAMESPACE
