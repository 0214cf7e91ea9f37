// Dense convolutions with folded BatchNorm. A layer owns its packed weights; it is immutable once loaded, and threads share it.
#pragma once

#include <string>
#include <utility>

#include "../detail/aligned_buffer.hpp"
#include "../weights/parameters.hpp"
#include "map.hpp"
#include "pixels.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace layers {

using detail::AlignedBuffer;
using detail::Parameters;
using kernels::KernelTable;

namespace impl {

inline AlignedBuffer copy(const std::vector<float>& values) {
    AlignedBuffer buffer(values.size());
    std::copy(values.begin(), values.end(), buffer.data());
    return buffer;
}

}  // namespace impl

/// K x K convolution, padding K / 2. Specialised below: 3 x 3 stride 1, 1 x 1, and the first convolution (C_in = 3, 8-bit pixels).
template <int Cin, int Cout, int K, int Stride = 1>
class Conv2d;

/// 3 x 3, stride 1: works on ranges of 4 x 4 output tiles. Output channels may be split over two sinks.
template <int Cin, int Cout>
class Conv2d<Cin, Cout, 3, 1> {
    static_assert(Cin % 8 == 0 && Cout % 8 == 0, "channel counts are multiples of 8");

public:
    static constexpr int kChannelsIn = Cin;
    static constexpr int kChannelsOut = Cout;

    void load(Parameters& parameters, const std::string& name, const KernelTable& table) {
        pack(parameters.take(name + ".weight", {Cout, Cin, 3, 3}), parameters.take(name + ".bias", {Cout}), table);
    }

    /// Two convolutions of the same input as one: their output channels one behind the other.
    template <int First>
    void load_pair(Parameters& parameters, const std::string& first, const std::string& second, const KernelTable& table) {
        std::vector<float> weights = parameters.take(first + ".weight", {First, Cin, 3, 3});
        std::vector<float> bias = parameters.take(first + ".bias", {First});
        const auto append = [](std::vector<float>& to, const std::vector<float>& from) { to.insert(to.end(), from.begin(), from.end()); };
        append(weights, parameters.take(second + ".weight", {Cout - First, Cin, 3, 3}));
        append(bias, parameters.take(second + ".bias", {Cout - First}));
        pack(weights, bias, table);
    }

    /// Floats of scratch that a call of tiles() needs, on a 64-byte boundary.
    static std::size_t scratch(const KernelTable& table) { return table.conv3x3_scratch(Cin, Cout); }

    void tiles(const KernelTable& table, const Map& in, const kernels::Sink& first, const kernels::Sink& second, int begin, int end,
               float* scratch) const {
        table.conv3x3({in.data, in.channels, in.height, in.width, Cin, Cout, weights_.data(), bias_.data(), {first, second}, begin, end,
                       scratch});
    }

private:
    void pack(const std::vector<float>& weights, const std::vector<float>& bias, const KernelTable& table) {
        weights_ = AlignedBuffer(table.conv3x3_packed_size(Cin, Cout));
        table.conv3x3_pack(weights.data(), Cin, Cout, weights_.data());
        bias_ = impl::copy(bias);
    }

    AlignedBuffer weights_;
    AlignedBuffer bias_;
};

/// 1 x 1: a product of pixels with weights.
template <int Cin, int Cout>
class Conv2d<Cin, Cout, 1, 1> {
    static_assert(Cin % 8 == 0 && Cout % 8 == 0, "channel counts are multiples of 8");

public:
    static constexpr int kChannelsIn = Cin;
    static constexpr int kChannelsOut = Cout;

    void load(Parameters& parameters, const std::string& name, const KernelTable& table) {
        pack(parameters.take(name + ".weight", {Cout, Cin, 1, 1}), parameters.take(name + ".bias", {Cout}), table);
    }

    /// Weights [Cout][Cin] and biases from elsewhere.
    void pack(const std::vector<float>& weights, const std::vector<float>& bias, const KernelTable& table) {
        weights_ = AlignedBuffer(table.gemm_packed_size(Cin, Cout));
        table.gemm_pack(weights.data(), Cin, Cout, weights_.data());
        bias_ = impl::copy(bias);
    }

    /// `count` dense pixels from `src` to `dst`. `up`, where given, is a row of the next coarser map: its pixel i / 2 is added to
    /// pixel i behind the activation (nearest upsampling).
    void pixels(const KernelTable& table, const float* src, int count, float slope, float* dst, const float* up = nullptr) const {
        table.gemm({src, Cin, weights_.data(), bias_.data(), dst, Cout, count, Cin, Cout, slope, up, Cout});
    }

private:
    AlignedBuffer weights_;
    AlignedBuffer bias_;
};

template <int Cin, int Cout>
using PointwiseConv2d = Conv2d<Cin, Cout, 1, 1>;

/// First convolution, from staged rows of 8-bit pixels. Weights are kept in both colour orders: an image's bytes are
/// never swapped.
template <int Cout, int K, int Stride>
class Conv2d<3, Cout, K, Stride> {
public:
    static constexpr int kChannelsOut = Cout;
    static constexpr int kKernel = K;
    static constexpr int kStride = Stride;
    static constexpr int kRadius = K / 2;

    void load(Parameters& parameters, const std::string& name, const KernelTable&) {
        const std::vector<float>& weights = parameters.take(name + ".weight", {Cout, 3, K, K});
        bias_ = impl::copy(parameters.take(name + ".bias", {Cout}));
        for (int swapped = 0; swapped < 2; ++swapped) {
            AlignedBuffer& packed = weights_[swapped];
            packed = AlignedBuffer(weights.size());
            float* dst = packed.data();
            for (int tap = 0; tap < K * K; ++tap)
                for (int c = 0; c < 3; ++c)
                    for (int o = 0; o < Cout; ++o)
                        *dst++ = weights[static_cast<std::size_t>((o * 3 + (swapped != 0 ? 2 - c : c)) * K * K + tap)];
        }
    }

    /// One output row from K staged rows of `pixels`.
    void row(const KernelTable& table, const Pixels& pixels, const float* const* rows, float slope, float* dst) const {
        table.stem({rows, pixels.width, bytes_per_pixel(pixels.image.format), K, Stride, Cout, weights_[pixels.swapped ? 1 : 0].data(),
                    bias_.data(), slope, dst});
    }

private:
    AlignedBuffer weights_[2];
    AlignedBuffer bias_;
};

}  // namespace layers
RETINAFACE_END_NAMESPACE
