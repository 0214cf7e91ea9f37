// Images of the tests: random pictures, and one picture in every pixel format and row order.
#pragma once

#include <vector>

#include "buffers.hpp"
#include "retinaface/image.hpp"

namespace retinaface_test {

/// A picture and where its rows lie.
struct Picture {
    std::vector<std::uint8_t> bytes;
    std::ptrdiff_t first = 0;  ///< index of the top left pixel
    int width = 0, height = 0;
    retinaface::PixelFormat format = retinaface::PixelFormat::rgb8;
    std::ptrdiff_t stride = 0;

    retinaface::ImageView view() const { return {bytes.data() + first, width, height, format, stride}; }
};

/// Coloured blocks of random size with noise on top: edges for the network, no two rows alike.
inline Picture random_picture(int width, int height, std::uint64_t seed) {
    Random random(seed);
    Picture picture;
    picture.width = width;
    picture.height = height;
    picture.bytes.resize(static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * 3);
    const int block = 5 + random.below(11);
    std::vector<std::uint8_t> colours = random.bytes(static_cast<std::size_t>((width / block + 1) * (height / block + 1) * 3));
    for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x)
            for (int c = 0; c < 3; ++c) {
                const int colour = colours[static_cast<std::size_t>((y / block * (width / block + 1) + x / block) * 3 + c)];
                picture.bytes[static_cast<std::size_t>((y * width + x) * 3 + c)] =
                    static_cast<std::uint8_t>((colour * 7 + random.below(256)) / 8);
            }
    return picture;
}

/// An rgb8 picture of the caller's bytes.
inline Picture rgb_picture(int width, int height, std::vector<std::uint8_t> bytes) {
    Picture picture;
    picture.width = width;
    picture.height = height;
    picture.bytes = std::move(bytes);
    return picture;
}

/// The packed rgb8 picture in another format, `padding` bytes (never 0) after each row, upside down in memory on demand. Memory
/// ends with the last pixel.
inline Picture converted(const Picture& rgb, retinaface::PixelFormat format, int padding, bool bottom_up) {
    using retinaface::PixelFormat;
    const int channels = retinaface::bytes_per_pixel(format);
    Picture out;
    out.width = rgb.width;
    out.height = rgb.height;
    out.format = format;
    const std::ptrdiff_t pitch = static_cast<std::ptrdiff_t>(rgb.width) * channels + padding;
    out.bytes.assign(static_cast<std::size_t>(pitch * (rgb.height - 1) + rgb.width * channels), 0xEE);
    out.stride = bottom_up ? -pitch : padding == 0 ? 0 : pitch;
    out.first = bottom_up ? pitch * (rgb.height - 1) : 0;
    Random random(99);
    for (int y = 0; y < rgb.height; ++y) {
        for (int x = 0; x < rgb.width; ++x) {
            const std::uint8_t* from = rgb.bytes.data() + (static_cast<std::ptrdiff_t>(y) * rgb.width + x) * 3;
            std::uint8_t* to =
                out.bytes.data() + out.first + y * (bottom_up ? -pitch : pitch) + static_cast<std::ptrdiff_t>(x) * channels;
            const bool swapped = format == PixelFormat::bgr8 || format == PixelFormat::bgra8;
            for (int c = 0; c < channels && c < 3; ++c) to[c] = from[swapped ? 2 - c : c];
            if (channels == 4) to[3] = static_cast<std::uint8_t>(random.below(256));
        }
    }
    return out;
}

}  // namespace retinaface_test
