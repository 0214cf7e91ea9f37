// The first convolution, which reads 8-bit pixels where they lie.
#pragma once

#include "../image.hpp"
#include "conv2d.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace layers {

/// An image as the first convolution sees it: mean subtracted, zeros outside. The network's input may be larger than the image
/// (padding right and bottom with zeros after the mean is subtracted).
struct Pixels {
    ImageView image;
    int height = 0;        ///< of the network's input, >= image.height
    int width = 0;         ///< of the network's input, >= image.width
    float mean[3] = {};    ///< in the order of the image's bytes
    bool swapped = false;  ///< the image's colour order is the reverse of the network's

    Shape shape() const { return {height, width, 3}; }
};

/// K x K convolution of the image, padding K / 2. Weights are kept in both colour orders: an image's bytes are never swapped.
template <int K, int Stride, int Cout>
class Stem : public Leaf {
    static_assert(K % 2 == 1 && K <= 7, "a stem's kernel is 3, 5 or 7");
    static_assert(Cout % 8 == 0, "channel counts are multiples of 8");
    static_assert(Stride >= 1 && Stride <= 4, "a stem's stride is 1 to 4");

public:
    static constexpr const char* kKernel = "stem";
    static constexpr int kChannelsIn = 3;
    static constexpr int kChannelsOut = Cout;
    static constexpr int kKernelSize = K;
    static constexpr int kStride = Stride;
    static constexpr int kRadius = K / 2;

    void load(const Scope& parameters, Activation activation) {
        load_ = kernels::find<kernels::LoadPixels<K, Stride, Cout>>(parameters.isa());
        stem_ = kernels::find<kernels::Stem<K, Stride, Cout>>(parameters.isa());
        const std::vector<float>& weights = begin_load(parameters, activation, Cout, 3, K);
        for (int swapped = 0; swapped < 2; ++swapped) {
            AlignedBuffer& packed = swapped != 0 ? swapped_weights_ : weights_;
            packed = AlignedBuffer(weights.size());
            float* dst = packed.data();
            for (int tap = 0; tap < K * K; ++tap)
                for (int c = 0; c < 3; ++c)
                    for (int o = 0; o < Cout; ++o)
                        *dst++ = weights[static_cast<std::size_t>((o * 3 + (swapped != 0 ? 2 - c : c)) * K * K + tap)];
        }
    }

    Shape output(const Shape& in) const { return {strided(in.height, Stride), strided(in.width, Stride), Cout}; }
    Work work(const Shape& in) const { return {strided(in.height, Stride), 1, K * row_size(in.width)}; }
    static Rows made(const Shape&, int begin, int end) { return {begin, end}; }
    static Rows needed(Rows made) { return convolution_rows(made, Stride, kRadius); }

    void run(const Io& io, int begin, int end, float* scratch) const {
        const std::size_t staged = row_size(io.image->width);
        const auto slot = [&](int row) { return scratch + static_cast<std::size_t>(row % K) * staged; };  // rows from 0 on
        const int first = begin * Stride - kRadius;
        int next = first;
        for (int y = begin; y < end; ++y) {
            const int top = y * Stride - kRadius;
            for (next = std::max(next, top); next < top + K; ++next) load_row(*io.image, next, slot(next - first));
            const float* rows[std::size_t{K}];
            for (int k = 0; k < K; ++k) rows[k] = slot(top + k - first);
            row(*io.image, rows, io.activation, io.out.row(y));
        }
    }
    Cost cost() const { return {1LL * K * K * 3 * Cout, (3LL * K * K + 1) * Cout, K, Stride}; }

    // Row by row, for Fused.

    /// Floats of a staged row of a network's input of this width; 64-byte aligned in memory.
    std::size_t row_size(int width) const { return load_.row_size(width); }
    /// Stages row y of the image (any y: zeros outside).
    void load_row(const Pixels& pixels, int y, float* dst) const {
        const std::uint8_t* src = y >= 0 && y < pixels.image.height ? pixels.image.row(y) : nullptr;
        load_.run({src, pixels.image.width, bytes_per_pixel(pixels.image.format), pixels.width, pixels.mean, dst});
    }
    /// One output row from K staged rows.
    void row(const Pixels& pixels, const float* const* rows, Activation activation, float* dst) const {
        stem_.run({rows, pixels.width, bytes_per_pixel(pixels.image.format),
                   (pixels.swapped ? swapped_weights_ : weights_).data(), bias_.data(), activation.slope, dst});
    }

private:
    kernels::LoadPixels<K, Stride, Cout> load_;
    kernels::Stem<K, Stride, Cout> stem_;
    AlignedBuffer swapped_weights_;  ///< for images of the other colour order
};

}  // namespace layers
RETINAFACE_END_NAMESPACE
