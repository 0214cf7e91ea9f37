#pragma once

#include <cstddef>

#include "../config.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace layers {

struct Shape {
    int height = 0;
    int width = 0;
    int channels = 0;

    int pixels() const noexcept { return height * width; }
    /// Values.
    std::size_t size() const noexcept {
        return static_cast<std::size_t>(height) * static_cast<std::size_t>(width) * static_cast<std::size_t>(channels);
    }
};

/// A feature map: [height][width][channels], channels last. Rows follow each other; a map that is a slice of another one's channels
/// has a `pitch` greater than its channels.
template <class T>
struct MapOf : Shape {
    T* data = nullptr;
    std::ptrdiff_t pitch = 0;  ///< values from pixel to pixel

    MapOf() = default;
    MapOf(T* data_, const Shape& shape) : MapOf(data_, shape, shape.channels) {}
    MapOf(T* data_, const Shape& shape, std::ptrdiff_t pitch_) : Shape(shape), data(data_), pitch(pitch_) {}

    std::ptrdiff_t row_size() const noexcept { return width * pitch; }
    T* row(int y) const noexcept { return data + y * row_size(); }
};

using Map = MapOf<float>;

/// Size of a map after a convolution of this stride ("same" padding).
constexpr int strided(int size, int stride) { return (size + stride - 1) / stride; }

}  // namespace layers
RETINAFACE_END_NAMESPACE
