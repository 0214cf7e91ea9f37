// Pictures from and to files: JPEG, PNG, BMP and PNM in (upright, as their EXIF orientation says), PNG out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "retinaface/image.hpp"

namespace cli {

/// Pixels in memory, packed rows, top row first.
struct Image {
    int width = 0;
    int height = 0;
    retinaface::PixelFormat format = retinaface::PixelFormat::rgb8;
    std::vector<std::uint8_t> pixels;

    retinaface::ImageView view() const { return {pixels.data(), width, height, format}; }
};

/// The bytes of a file of at most `limit` bytes. Throws retinaface::Error (io).
std::vector<std::uint8_t> read_file(const std::string& path, std::size_t limit);

/// Reads a picture; grey files stay gray8, files with alpha become rgba8. Nothing is allocated for the pixels of a file whose
/// header asks for more than retinaface::kMaxSide or kMaxPixels. Throws retinaface::Error with a message of one line.
Image load_image(const std::string& path);

/// The same from a file's bytes; pixels as stored unless `turn_upright`.
Image decode_image(const std::vector<std::uint8_t>& bytes, bool turn_upright = true);

/// Largest picture file that is read.
constexpr std::size_t kMaxImageFile = std::size_t{1} << 29;

/// Writes a PNG. Throws retinaface::Error (io).
void save_png(const std::string& path, const Image& image);

}  // namespace cli
