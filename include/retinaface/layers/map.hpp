#pragma once

#include <cstddef>

#include "../config.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace layers {

/// A feature map in the arena: [height][width][channels], dense.
struct Map {
    float* data = nullptr;
    int height = 0;
    int width = 0;
    int channels = 0;

    int pixels() const noexcept { return height * width; }
    std::ptrdiff_t row_size() const noexcept { return static_cast<std::ptrdiff_t>(width) * channels; }
    float* row(int y) const noexcept { return data + y * row_size(); }
    std::size_t size() const noexcept {
        return static_cast<std::size_t>(height) * static_cast<std::size_t>(width) * static_cast<std::size_t>(channels);
    }
};

/// Size of a map behind a convolution of this stride ("same" padding).
constexpr int strided(int size, int stride) { return (size + stride - 1) / stride; }

}  // namespace layers
RETINAFACE_END_NAMESPACE
