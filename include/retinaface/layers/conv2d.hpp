// Dense convolutions with folded BatchNorm.
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "../detail/aligned_buffer.hpp"
#include "../detail/kernels.hpp"
#include "layer.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace layers {

using detail::AlignedBuffer;

/// K x K convolution, padding K / 2. Specialised below: 3 x 3 stride 1, and 1 x 1.
template <int Cin, int Cout, int K, int Stride = 1>
class Conv2d;

namespace impl {

/// How a 3 x 3 convolution runs: the common part of Conv2d and Conv2dPair. Work is in tiles of 4 x 4 output pixels.
template <int Cin, int Cout>
class TiledConv3x3 {
    static_assert(Cin % 8 == 0 && Cout % 8 == 0, "channel counts are multiples of 8");

public:
    /// `weights` [Cout][Cin][3][3].
    AlignedBuffer pack(const std::vector<float>& weights, Isa isa) {
        kernel_ = kernels::find<kernels::Conv3x3>(isa);
        AlignedBuffer packed(kernel_.packed_size(Cin, Cout));
        kernel_.pack(weights.data(), Cin, Cout, packed.data());
        return packed;
    }

    Work work(const Shape& in) const {
        return {kernels::conv3x3_tiles(in.height, in.width), kernel_.block(Cin, Cout), kernel_.scratch(Cin, Cout)};
    }

    static Rows made(const Shape& in, int begin, int end) {
        constexpr int kTile = kernels::kConv3x3Tile;
        const int across = (in.width + kTile - 1) / kTile;
        return {begin / across * kTile, std::min(in.height, ((end - 1) / across + 1) * kTile)};
    }

    void run(const Map& in, const float* weights, const float* bias, const kernels::Sink& first, const kernels::Sink& second,
             int begin, int end, float* scratch) const {
        kernel_.run({in.data, in.pitch, in.height, in.width, Cin, Cout, weights, bias, {first, second}, begin, end, scratch});
    }

    static constexpr Cost kCost = {9LL * Cin * Cout, (9LL * Cin + 1) * Cout, 3, 1};

private:
    kernels::Conv3x3 kernel_;
};

inline kernels::Sink sink(const Map& map, Activation activation) { return {map.data, map.pitch, map.channels, activation.slope}; }

}  // namespace impl

/// 3 x 3, stride 1.
template <int Cin, int Cout>
class Conv2d<Cin, Cout, 3, 1> : public Leaf {
public:
    static constexpr const char* kKernel = "conv3x3";
    static constexpr int kChannelsIn = Cin;
    static constexpr int kChannelsOut = Cout;

    void load(const Scope& parameters, Activation activation) {
        weights_ = conv_.pack(begin_load(parameters, activation, Cout, Cin, 3), parameters.isa());
    }

    Shape output(const Shape& in) const { return {in.height, in.width, Cout}; }
    Work work(const Shape& in) const { return conv_.work(in); }
    static Rows made(const Shape& in, int begin, int end) { return impl::TiledConv3x3<Cin, Cout>::made(in, begin, end); }
    static Rows needed(Rows made) { return convolution_rows(made, 1, 1); }
    void run(const Io& io, int begin, int end, float* scratch) const {
        conv_.run(io.in, weights_.data(), bias_.data(), impl::sink(io.out, io.activation), {}, begin, end, scratch);
    }
    Cost cost() const { return conv_.kCost; }

private:
    impl::TiledConv3x3<Cin, Cout> conv_;
};

/// Two 3 x 3 convolutions of the same input as one, so that they share its transform. Two outputs, each with its activation.
template <int Cin, int First, int Second>
class Conv2dPair : public Leaf {
public:
    static constexpr const char* kKernel = "conv3x3";

    void load(const Scope& first, Activation first_activation, const Scope& second, Activation second_activation) {
        names_ = {first.name(), second.name()};
        activations_ = {first_activation, second_activation};
        std::vector<float> weights = first.take("weight", {First, Cin, 3, 3});
        std::vector<float> bias = first.take("bias", {First});
        const auto append = [](std::vector<float>& to, const std::vector<float>& from) {
            to.insert(to.end(), from.begin(), from.end());
        };
        append(weights, second.take("weight", {Second, Cin, 3, 3}));
        append(bias, second.take("bias", {Second}));
        weights_ = conv_.pack(weights, first.isa());
        set_bias(bias);
    }

    const std::array<std::string, 2>& names() const { return names_; }
    const std::array<Activation, 2>& activations() const { return activations_; }
    std::array<Shape, 2> outputs(const Shape& in) const {
        return {{{in.height, in.width, First}, {in.height, in.width, Second}}};
    }
    Work work(const Shape& in) const { return conv_.work(in); }
    static Rows made(const Shape& in, int begin, int end) {
        return impl::TiledConv3x3<Cin, First + Second>::made(in, begin, end);
    }
    static Rows needed(Rows made) { return convolution_rows(made, 1, 1); }
    void run(const Io& io, int begin, int end, float* scratch) const {
        conv_.run(io.in, weights_.data(), bias_.data(), impl::sink(io.out, io.activation),
                  impl::sink(io.second, io.second_activation), begin, end, scratch);
    }
    Cost cost() const { return conv_.kCost; }

private:
    impl::TiledConv3x3<Cin, First + Second> conv_;
    std::array<Activation, 2> activations_;
    std::array<std::string, 2> names_;
};

/// 1 x 1: a product of pixels with weights, and the addition of an upsampled map where `pass` is given one.
template <int Cin, int Cout>
class Conv2d<Cin, Cout, 1, 1> : public Leaf {
    static_assert(Cin % 8 == 0 && Cout % 8 == 0, "channel counts are multiples of 8");

public:
    static constexpr const char* kKernel = "gemm";
    static constexpr int kChannelsIn = Cin;
    static constexpr int kChannelsOut = Cout;

    void load(const Scope& parameters, Activation activation) {
        pack(begin_load(parameters, activation, Cout, Cin, 1), parameters.isa());
    }

    /// Weights [Cout][Cin] and biases from elsewhere; `scope` gives the name.
    void load_from(const std::vector<float>& weights, const std::vector<float>& bias, const Scope& scope, Activation activation) {
        name_ = scope.name();
        activation_ = activation;
        set_bias(bias);
        pack(weights, scope.isa());
    }

    Shape output(const Shape& in) const { return {in.height, in.width, Cout}; }
    Work work(const Shape& in) const { return {in.height, 1, 0}; }
    static Rows made(const Shape&, int begin, int end) { return {begin, end}; }
    static Rows needed(Rows made) { return made; }
    void run(const Io& io, int begin, int end, float*) const {
        if (io.addition == Addition::none) {
            product(io.in.row(begin), io.in.pitch, (end - begin) * io.in.width, io.activation, io.out.row(begin), io.out.pitch,
                    nullptr, 0);
            return;
        }
        for (int y = begin; y < end; ++y)
            product(io.in.row(y), io.in.pitch, io.in.width, io.activation, io.out.row(y), io.out.pitch, io.add.row(y / 2),
                    io.add.pitch);
    }
    Cost cost() const { return {1LL * Cin * Cout, (Cin + 1LL) * Cout, 1, 1}; }

    /// `count` dense pixels from `src` to `dst`, with the layer's own activation.
    void pixels(const float* src, int count, float* dst) const { product(src, Cin, count, activation_, dst, Cout, nullptr, 0); }

private:
    void pack(const std::vector<float>& weights, Isa isa) {
        gemm_ = kernels::find<kernels::Gemm>(isa);
        weights_ = AlignedBuffer(gemm_.packed_size(Cin, Cout));
        gemm_.pack(weights.data(), Cin, Cout, weights_.data());
    }

    /// `up`, where given, is a row of the next coarser map.
    void product(const float* src, std::ptrdiff_t src_pitch, int count, Activation activation, float* dst,
                 std::ptrdiff_t dst_pitch, const float* up, std::ptrdiff_t up_pitch) const {
        gemm_.run(
            {src, src_pitch, weights_.data(), bias_.data(), dst, dst_pitch, count, Cin, Cout, activation.slope, up, up_pitch});
    }

    kernels::Gemm gemm_;
};

template <int Cin, int Cout>
using PointwiseConv2d = Conv2d<Cin, Cout, 1, 1>;

}  // namespace layers
RETINAFACE_END_NAMESPACE
