// Layers without sums over channels: maximum, and BatchNorm by itself.
#pragma once

#include <algorithm>

#include "../detail/wide_kernels.hpp"
#include "layer.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace layers {

/// 3 x 3 maximum, stride 2, padding 1 (the padding never wins).
template <int C>
class MaxPool2d : public Leaf {
    static_assert(C % 8 == 0, "channel counts are multiples of 8");

public:
    static constexpr const char* kKernel = "max_pool3x3";
    static constexpr int kChannelsIn = C;
    static constexpr int kChannelsOut = C;
    static constexpr int kStride = 2;

    /// Takes no tensor; `parameters` gives the name and the instruction set.
    void load(const Scope& parameters, Activation) {
        name_ = parameters.name();
        kernel_ = kernels::find<kernels::MaxPool3x3>(parameters.isa());
    }

    Shape output(const Shape& in) const { return {strided(in.height, 2), strided(in.width, 2), C}; }
    Work work(const Shape& in) const { return {strided(in.height, 2), 1, 0}; }
    static Rows made(const Shape&, int begin, int end) { return {begin, end}; }
    static Rows needed(Rows made) { return convolution_rows(made, 2, 1); }
    void run(const Io& io, int begin, int end, float*) const {
        for (int y = begin; y < end; ++y) {
            kernels::MaxPool3x3Args args{{}, 0, io.in.width, io.out.width, C, io.out.row(y)};
            for (int row = std::max(0, 2 * y - 1); row <= std::min(2 * y + 1, io.in.height - 1); ++row)
                args.rows[args.row_count++] = io.in.row(row);
            kernel_.run(args);
        }
    }
    Cost cost() const { return {0, 0, 3, 2}; }

private:
    kernels::MaxPool3x3 kernel_;
};

/// act(x * weight + bias) by channel: a BatchNorm that no convolution can take up. Tensors as of a 1 x 1 convolution of each channel by
/// itself: `weight` [C, 1, 1, 1], `bias` [C].
template <int C>
class BatchNorm2d : public Leaf {
    static_assert(C % 8 == 0, "channel counts are multiples of 8");

public:
    static constexpr const char* kKernel = "scale_shift";
    static constexpr int kChannelsIn = C;
    static constexpr int kChannelsOut = C;
    static constexpr int kStride = 1;

    void load(const Scope& parameters, Activation activation) {
        kernel_ = kernels::find<kernels::ScaleShift>(parameters.isa());
        const std::vector<float>& scale = begin_load(parameters, activation, C, 1, 1);
        weights_ = detail::AlignedBuffer(C);
        std::copy(scale.begin(), scale.end(), weights_.data());
    }

    Shape output(const Shape& in) const { return in; }
    Work work(const Shape& in) const { return {in.height, 1, 0}; }
    static Rows made(const Shape&, int begin, int end) { return {begin, end}; }
    static Rows needed(Rows made) { return made; }
    void run(const Io& io, int begin, int end, float*) const {
        kernel_.run({io.in.row(begin), (end - begin) * io.in.width, C, weights_.data(), bias_.data(), io.activation.slope,
                     io.out.row(begin)});
    }
    Cost cost() const { return {C, 2LL * C, 1, 1}; }

private:
    kernels::ScaleShift kernel_;
};

}  // namespace layers
RETINAFACE_END_NAMESPACE
