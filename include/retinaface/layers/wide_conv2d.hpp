// Convolutions of wide maps: any kernel size and stride, residual and upsampled sums in the epilogue. One kernel for all of them.
#pragma once

#include "../detail/wide_kernels.hpp"
#include "conv2d.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace layers {
namespace impl {

/// How a convolution runs.
template <int Cin, int Cout, int K, int Stride>
class WideConv {
    static_assert(Cout % 8 == 0, "channel counts are multiples of 8");
    static_assert(K % 2 == 1 && K >= 1 && Stride >= 1, "a kernel's size is odd, a stride at least 1");

public:
    /// `weights` [Cout][Cin][K][K].
    AlignedBuffer pack(const std::vector<float>& weights, Isa isa) {
        kernel_ = kernels::find<kernels::WideConv>(isa);
        AlignedBuffer packed(kernel_.packed_size(K, Cin, Cout));
        kernel_.pack(weights.data(), K, Cin, Cout, packed.data());
        return packed;
    }

    Shape output(const Shape& in) const { return {strided(in.height, Stride), strided(in.width, Stride), Cout}; }
    /// Units are output pixels.
    Work work(const Shape& in) const { return {output(in).pixels(), kernels::kWideConvGrain, kernel_.scratch(K, Cin)}; }
    static Rows made(const Shape& in, int begin, int end) {
        const int width = strided(in.width, Stride);
        return {begin / width, (end - 1) / width + 1};
    }

    /// `offsets`: of a deformable convolution; an empty map for an ordinary one.
    void run(const Io& io, const float* weights, const float* bias, const Map& offsets, bool modulated, int begin, int end,
             float* scratch) const {
        kernels::WideConvArgs args{};
        args.src = io.in.data;
        args.height = io.in.height;
        args.width = io.in.width;
        args.channels = Cin;
        args.kernel = K;
        args.stride = Stride;
        args.width_out = io.out.width;
        args.offsets = offsets.data;
        args.offset_stride = offsets.pitch;
        args.modulated = modulated;
        args.outputs[0] = {weights, bias, io.out.data, io.out.pitch, Cout, io.activation.slope, nullptr, 0, nullptr, 0, 0};
        if (io.addition == Addition::residual) {
            args.outputs[0].residual = io.add.data;
            args.outputs[0].residual_stride = io.add.pitch;
        } else if (io.addition == Addition::upsampled) {
            args.outputs[0].up = io.add.data;
            args.outputs[0].up_stride = io.add.pitch;
            args.outputs[0].up_width = io.add.width;
        }
        args.pixel_begin = begin;
        args.pixel_end = end;
        args.scratch = scratch;
        kernel_.run(args);
    }

    static constexpr Cost kCost = {1LL * K * K * Cin * Cout, (1LL * K * K * Cin + 1) * Cout, K, Stride};

private:
    kernels::WideConv kernel_;
};

}  // namespace impl

/// K x K, padding K / 2, summed directly: for every shape but 3 x 3 stride 1 (Conv2d, SmallConv2d). The input map is dense. A call may add
/// a residual or an upsampled map.
template <int Cin, int Cout, int K, int Stride = 1>
class WideConv2d : public Leaf {
public:
    static constexpr const char* kKernel = "wide_conv";
    static constexpr int kChannelsIn = Cin;
    static constexpr int kChannelsOut = Cout;
    static constexpr int kStride = Stride;
    static constexpr bool kAddsInPlace = K * K * Cin <= kernels::kWideInPlace;

    void load(const Scope& parameters, Activation activation) {
        weights_ = conv_.pack(begin_load(parameters, activation, Cout, Cin, K), parameters.isa());
    }

    Shape output(const Shape& in) const { return conv_.output(in); }
    Work work(const Shape& in) const { return conv_.work(in); }
    static Rows made(const Shape& in, int begin, int end) { return impl::WideConv<Cin, Cout, K, Stride>::made(in, begin, end); }
    static Rows needed(Rows made) { return convolution_rows(made, Stride, K / 2); }
    void run(const Io& io, int begin, int end, float* scratch) const {
        conv_.run(io, weights_.data(), bias_.data(), {}, false, begin, end, scratch);
    }
    Cost cost() const { return conv_.kCost; }

private:
    impl::WideConv<Cin, Cout, K, Stride> conv_;
};

}  // namespace layers
RETINAFACE_END_NAMESPACE
