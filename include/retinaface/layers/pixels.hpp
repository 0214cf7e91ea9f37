// The network's input: 8-bit pixels, read where they lie.
#pragma once

#include <cstring>

#include "../image.hpp"
#include "map.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace layers {

/// An image as the first convolution sees it: mean subtracted, zeros outside. The network's input may be larger than the image
/// (padding right and bottom with zeros behind the mean).
struct Pixels {
    ImageView image;
    int height = 0;         ///< of the network's input, >= image.height
    int width = 0;          ///< of the network's input, >= image.width
    float mean[3] = {};     ///< in the order of the image's bytes
    bool swapped = false;   ///< the image's colour order is the reverse of the network's

    int pixel_stride() const noexcept { return bytes_per_pixel(image.format) == 3 ? 3 : 4; }

    /// Floats from row to row of converted pixels, with `margin` zero pixels left and right.
    std::size_t row_size(int margin) const noexcept {
        return (static_cast<std::size_t>(width + 2 * margin) * static_cast<std::size_t>(pixel_stride()) + 31) / 16 * 16;
    }

    /// Converts row y (any y: zeros outside) to `dst`, which has row_size(margin) floats.
    void load_row(const kernels::KernelTable& table, int y, int margin, float* dst) const {
        const auto stride = static_cast<std::size_t>(pixel_stride());
        const bool inside = y >= 0 && y < image.height;
        const std::size_t left = static_cast<std::size_t>(margin) * stride;
        const std::size_t right = inside ? left + static_cast<std::size_t>(image.width) * stride : 0;
        if (inside) {
            std::memset(dst, 0, left * sizeof(float));
            table.load_pixels({image.row(y), image.width, bytes_per_pixel(image.format), mean, dst + left});
        }
        std::memset(dst + right, 0, (row_size(margin) - right) * sizeof(float));
    }
};

}  // namespace layers
RETINAFACE_END_NAMESPACE
