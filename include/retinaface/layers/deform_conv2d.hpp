// Deformable convolution (Dai et al., 2017; version 2: Zhu et al., 2018): an ordinary convolution says for every output pixel where each
// tap of another one looks, and how much it counts.
#pragma once

#include <limits>

#include "wide_conv2d.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace layers {

/// Version 1: 2 K^2 offsets a pixel, {dy, dx} of each tap. Version 2: K^2 logits after them; a tap counts 2 * sigmoid(logit) times.
enum class Deformation { v1, v2 };

/// The convolution that makes the offsets, as wide as its channels rounded up to 8.
template <int Cin, int K, int Stride, Deformation kVersion>
class OffsetConv2d : public Leaf {
public:
    static constexpr int kOffsets = (kVersion == Deformation::v1 ? 2 : 3) * K * K;

    static constexpr bool kTiled = K == 3 && Stride == 1;
    static constexpr const char* kKernel = kTiled ? "conv3x3" : "wide_conv";
    static constexpr int kChannelsIn = Cin;
    static constexpr int kChannelsOut = (kOffsets + 7) / 8 * 8;

    /// Weights [kOffsets, Cin, K, K].
    void load(const Scope& parameters, Activation) {
        std::vector<float> weights = begin_load(parameters, kIdentity, kOffsets, Cin, K),
                           bias = parameters.take("bias", {kOffsets});
        weights.resize(static_cast<std::size_t>(kChannelsOut) * Cin * K * K);
        bias.resize(kChannelsOut);
        set_bias(bias);
        weights_ = conv_.pack(weights, parameters.isa());
    }

    Shape output(const Shape& in) const { return {strided(in.height, Stride), strided(in.width, Stride), kChannelsOut}; }
    Work work(const Shape& in) const { return conv_.work(in); }
    static Rows made(const Shape& in, int begin, int end) { return Conv::made(in, begin, end); }
    static Rows needed(Rows made) { return convolution_rows(made, Stride, K / 2); }
    void run(const Io& io, int begin, int end, float* scratch) const {
        if constexpr (kTiled)
            conv_.run(io.in, weights_.data(), bias_.data(), impl::sink(io.out, kIdentity), {}, begin, end, scratch);
        else
            conv_.run(io, weights_.data(), bias_.data(), {}, false, begin, end, scratch);
    }
    Cost cost() const { return {1LL * K * K * Cin * kOffsets, (1LL * K * K * Cin + 1) * kOffsets, K, Stride}; }

private:
    using Conv = std::conditional_t<kTiled, impl::TiledConv3x3<Cin, kChannelsOut>, impl::WideConv<Cin, kChannelsOut, K, Stride>>;

    Conv conv_;
};

/// The convolution that is steered: reads the input and, as what is added, the offsets.
template <int Cin, int Cout, int K, int Stride, Deformation kVersion>
class SteeredConv2d : public Leaf {
    static_assert(Cin % 8 == 0, "channel counts are multiples of 8");

public:
    static constexpr const char* kKernel = "deform_conv";
    static constexpr int kChannelsIn = Cin;
    static constexpr int kChannelsOut = Cout;

    void load(const Scope& parameters, Activation activation) {
        weights_ = conv_.pack(begin_load(parameters, activation, Cout, Cin, K), parameters.isa());
    }

    Shape output(const Shape& in) const { return conv_.output(in); }
    Work work(const Shape& in) const { return conv_.work(in); }
    static Rows made(const Shape& in, int begin, int end) { return impl::WideConv<Cin, Cout, K, Stride>::made(in, begin, end); }
    /// Offsets may point anywhere.
    static Rows needed(Rows) { return {0, std::numeric_limits<int>::max()}; }
    void run(const Io& io, int begin, int end, float* scratch) const {
        conv_.run(io, weights_.data(), bias_.data(), io.add, kVersion == Deformation::v2, begin, end, scratch);
    }
    Cost cost() const { return conv_.kCost; }

private:
    impl::WideConv<Cin, Cout, K, Stride> conv_;
};

/// K x K deformable convolution, padding K / 2. Tensors: `weight` [Cout, Cin, K, K] and `bias` [Cout], `offset.weight`
/// [18 or 27 for K = 3, Cin, K, K] and `offset.bias`. A tap is bilinear between four pixels, each 0 outside the map; one whose position is
/// not a number counts as 0.
template <int Cin, int Cout, int K, int Stride = 1, Deformation kVersion = Deformation::v2>
class DeformConv2d {
public:
    static constexpr Kind kKind = Kind::module;
    static constexpr int kChannelsIn = Cin;
    static constexpr int kChannelsOut = Cout;
    static constexpr int kStride = Stride;

    void load(const Scope& parameters, Activation activation) {
        offset_.load(parameters["offset"], kIdentity);
        conv_.load(parameters, activation);
    }

    template <class Pass, class Value>
    Value forward(Pass& pass, Value in) const {
        return pass(conv_, in, Addition::offsets, pass(offset_, in));
    }

private:
    OffsetConv2d<Cin, K, Stride, kVersion> offset_;
    SteeredConv2d<Cin, Cout, K, Stride, kVersion> conv_;
};

}  // namespace layers
RETINAFACE_END_NAMESPACE
