// Bilinear sampling of an 8-bit image along straight lines, and its reduction by whole factors. Fixed point, so that every instruction set
// gives the same bytes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "../image.hpp"
#include "kernels.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace detail {

/// Rows [0, height) of `width` pixels, three bytes each, packed: pixel (x, y) from origin + x * step + y * (-step.y, step.x), a turned
/// and scaled grid. `dst` has four bytes to spare.
inline void warp(const kernels::WarpRow& kernel, const kernels::WarpSource& source, kernels::WarpPosition origin,
                 kernels::WarpPosition step, int width, int height, std::uint8_t* dst) {
    origin.x += kernels::kWarpHalf;
    origin.y += kernels::kWarpHalf;
    for (int y = 0; y < height; ++y, dst += std::ptrdiff_t{3} * width)
        kernel.run({&source, {origin.x - y * step.y, origin.y + y * step.x}, step, width, dst});
}

/// Means of squares of `factor` x `factor` pixels: what a crop much smaller than the face is sampled from. Keeps its buffers from call to
/// call.
class Reducer {
public:
    /// `isa` must be available.
    explicit Reducer(Isa isa)
        : add_bytes_(kernels::find<kernels::AddBytes>(resolved(isa))),
          mean_row_(kernels::find<kernels::MeanRow>(resolved(isa))) {}

    /// Squares number `first_x`, `first_y` on, of a grid whose square (0, 0) begins at pixel (0, 0); what lies outside the source counts as
    /// zero. factor 2..kMostFactor. Valid until the next call.
    kernels::WarpSource reduce(const kernels::WarpSource& source, int factor, int first_x, int first_y, int width, int height) {
        const auto bytes = static_cast<std::size_t>(source.bytes);
        const auto row = static_cast<std::size_t>(width) * 4;
        pixels_.resize(row * static_cast<std::size_t>(height));
        const std::int64_t left = std::int64_t{first_x} * factor, right = left + std::int64_t{width} * factor;
        const int begin = static_cast<int>(std::clamp<std::int64_t>(left, 0, source.width));
        const int end = static_cast<int>(std::clamp<std::int64_t>(right, begin, source.width));
        const float scale = 1.0f / (static_cast<float>(factor) * static_cast<float>(factor));
        sums_.resize(static_cast<std::size_t>(width) * static_cast<std::size_t>(factor) * bytes + 3);
        const std::size_t before = static_cast<std::size_t>(begin - left) * bytes;  // sums of pixels left of the source
        const std::size_t inside = static_cast<std::size_t>(end - begin) * bytes;
        for (int y = 0; y < height; ++y) {
            std::fill(sums_.begin(), sums_.end(), std::uint16_t{0});
            const std::int64_t top = (std::int64_t{first_y} + y) * factor;
            const std::int64_t last = std::min<std::int64_t>(top + factor, source.height);
            if (inside > 0)
                for (std::int64_t r = std::max<std::int64_t>(top, 0); r < last; ++r)
                    add_bytes_.run(
                        {source.data + r * source.stride + std::ptrdiff_t{begin} * source.bytes, inside, sums_.data() + before});
            mean_row_.run({sums_.data(), source.bytes, factor, width, scale, pixels_.data() + static_cast<std::size_t>(y) * row});
        }
        return {pixels_.data(),
                static_cast<std::ptrdiff_t>(row),
                width,
                height,
                4,
                {source.order[0], source.order[1], source.order[2]}};
    }

    /// Sums of that many bytes fit 16 bits.
    static constexpr int kMostFactor = 256;

private:
    kernels::AddBytes add_bytes_;
    kernels::MeanRow mean_row_;
    std::vector<std::uint8_t> pixels_;
    std::vector<std::uint16_t> sums_;
};

}  // namespace detail
RETINAFACE_END_NAMESPACE
