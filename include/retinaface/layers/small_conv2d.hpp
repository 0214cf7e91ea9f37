// 3 x 3 convolution of stride 1 for maps of few tiles: Winograd's form, its weights transformed on the way.
#pragma once

#include "../detail/wide_kernels.hpp"
#include "conv2d.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace layers {

/// As Conv2d<Cin, Cout, 3>, but holds the file's nine weights a pair of channels instead of 36: as fast where a map has a few hundred tiles
/// of 4 x 4 pixels, faster where it has few. Threads share output channels, so that the last maps keep all of them busy. The input map
/// is dense.
template <int Cin, int Cout>
class SmallConv2d : public Leaf {
    static_assert(Cin % 8 == 0 && Cout % 8 == 0, "channel counts are multiples of 8");

public:
    static constexpr const char* kKernel = "small_conv3x3";
    static constexpr int kChannelsIn = Cin;
    static constexpr int kChannelsOut = Cout;

    void load(const Scope& parameters, Activation activation) {
        kernel_ = kernels::find<kernels::SmallConv3x3>(parameters.isa());
        const std::vector<float>& weights = begin_load(parameters, activation, Cout, Cin, 3);
        weights_ = AlignedBuffer(kernel_.packed_size(Cin, Cout));
        kernel_.pack(weights.data(), Cin, Cout, weights_.data());
    }

    Shape output(const Shape& in) const { return {in.height, in.width, Cout}; }
    /// Units are groups of output channels, block of tiles by block. Every range transforms its block's input: as few ranges as threads.
    Work work(const Shape& in) const {
        const int tiles = kernels::conv3x3_tiles(in.height, in.width), block = kernels::small_conv_block(tiles);
        return {(tiles + block - 1) / block * kGroups, 1, kernel_.scratch(tiles, Cin), true};
    }
    static Rows made(const Shape& in, int begin, int end) {
        const int tiles = kernels::conv3x3_tiles(in.height, in.width), block = kernels::small_conv_block(tiles);
        const int last = std::min(tiles, ((end - 1) / kGroups + 1) * block);
        return impl::TiledConv3x3<Cin, Cout>::made(in, begin / kGroups * block, last);
    }
    static Rows needed(Rows made) { return convolution_rows(made, 1, 1); }
    void run(const Io& io, int begin, int end, float* scratch) const {
        kernel_.run({io.in.data, io.in.height, io.in.width, Cin, Cout, weights_.data(), bias_.data(), io.out.data, io.out.pitch,
                     io.activation.slope, begin, end, scratch});
    }
    Cost cost() const { return {9LL * Cin * Cout, (9LL * Cin + 1) * Cout, 3, 1}; }

private:
    static constexpr int kGroups = kernels::small_conv_groups(Cout);

    kernels::SmallConv3x3 kernel_;
};

}  // namespace layers
RETINAFACE_END_NAMESPACE
