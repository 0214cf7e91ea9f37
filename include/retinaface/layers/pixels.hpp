// The network's input: 8-bit pixels, read where they lie.
#pragma once

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

    /// Stages row y (any y: zeros outside) for a convolution of this kernel and stride.
    void load_row(const kernels::KernelTable& table, int y, int kernel, int stride, float* dst) const {
        const std::uint8_t* src = y >= 0 && y < image.height ? image.row(y) : nullptr;
        table.load_pixels({src, image.width, bytes_per_pixel(image.format), width, kernel, stride, mean, dst});
    }
};

}  // namespace layers
RETINAFACE_END_NAMESPACE
