// A picture in memory.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "retinaface/face.hpp"
#include "retinaface/image.hpp"
#include "retinaface/options.hpp"

namespace cli {

/// Pixels in memory, packed rows, top row first. They may be fewer than those of the picture in the file: `source` says so.
struct Image {
    int width = 0;
    int height = 0;
    retinaface::PixelFormat format = retinaface::PixelFormat::rgb8;
    std::vector<std::uint8_t> pixels;

    /// The picture in the file, turned as this image is, and where this image lies in it: pixel edge x at scale_x * x + x0.
    struct Source {
        int width = 0;
        int height = 0;
        float scale_x = 1, scale_y = 1;
        float x0 = 0, y0 = 0;
        bool clip = false;  ///< boxes end at its edges
    };
    Source source;
    retinaface::Rotation rotation = retinaface::Rotation::none;  ///< made after the file was read
    std::string warning;  ///< one line about a file that was read although something is wrong with it; empty: none

    Image() = default;
    Image(int width_, int height_, retinaface::PixelFormat format_, std::vector<std::uint8_t> pixels_)
        : width(width_), height(height_), format(format_), pixels(std::move(pixels_)) {}

    retinaface::ImageView view() const { return {pixels.data(), width, height, format}; }
};

/// A face in pixels of the image, in pixels of the picture that it was read from.
inline retinaface::Face in_source(const Image& image, retinaface::Face face) {
    const Image::Source& s = image.source;
    const auto x = [&](float& v) { v = s.scale_x * v + s.x0; };
    const auto y = [&](float& v) { v = s.scale_y * v + s.y0; };
    x(face.box.x1), x(face.box.x2), y(face.box.y1), y(face.box.y2);
    if (s.clip) {
        const auto clip = [](float& v, int most) { v = std::min(std::max(v, 0.0f), static_cast<float>(most)); };
        clip(face.box.x1, s.width), clip(face.box.x2, s.width), clip(face.box.y1, s.height), clip(face.box.y2, s.height);
    }
    for (retinaface::Point& point : face.landmarks) x(point.x), y(point.y);
    return face;
}

}  // namespace cli
