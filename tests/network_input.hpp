// An image as a network sees it, for tests that run networks without a detector.
#pragma once

#include "retinaface/stages/preprocess.hpp"

namespace retinaface_test {

/// An image at its own size as `profile`'s network sees it.
inline retinaface::layers::Pixels pixels_of(const retinaface::ImageView& image, const retinaface::Profile& profile) {
    using namespace retinaface;
    const InputSize input = detail::input_size(image.width, image.height, SizePolicy::original(), profile.size_multiple).value();
    return stages::pixels_of(image, input, profile);
}

}  // namespace retinaface_test
