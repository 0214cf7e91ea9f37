// An image as a network sees it, for tests that run networks without a detector.
#pragma once

#include "retinaface/layers/pixels.hpp"
#include "retinaface/profile.hpp"

namespace retinaface_test {

/// An rgb8 image as `profile`'s network sees it.
inline retinaface::layers::Pixels pixels_of(const retinaface::ImageView& image, const retinaface::Profile& profile) {
    retinaface::layers::Pixels pixels;
    pixels.image = image;
    const auto padded = [&](int side) { return (side + profile.size_multiple - 1) / profile.size_multiple * profile.size_multiple; };
    pixels.height = padded(image.height);
    pixels.width = padded(image.width);
    pixels.swapped = !profile.rgb;
    for (int c = 0; c < 3; ++c) pixels.mean[c] = profile.mean[pixels.swapped ? 2 - c : c];
    return pixels;
}

}  // namespace retinaface_test
