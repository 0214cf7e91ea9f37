// Pictures from and to files: every format of pictures/decoders.cpp in, PNG out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "pictures/decoder.hpp"
#include "pictures/image.hpp"

namespace cli {

/// The bytes of a file of at most `limit` bytes. Throws retinaface::Error (io).
std::vector<std::uint8_t> read_file(const std::string& path, std::size_t limit);

/// Reads a picture of any format in decoders(), upright; grey files stay gray8, files with alpha may become rgba8. What a file's
/// header asks for is checked against the limits before anything is allocated for its pixels, and where the request allows it the
/// image has fewer pixels than the file. Throws retinaface::Error (invalid_argument, io) with a message of one printable line.
Image load_image(const std::string& path, const Request& request = {});

/// The same from a file's bytes; turned upright only if `turn_upright`. `extension` (".jpg"), where it is known, is for messages.
Image decode_image(const std::vector<std::uint8_t>& bytes, bool turn_upright = true, const Request& request = {},
                   const std::string& extension = "");

/// Turns an image clockwise.
void turn(Image& image, retinaface::Rotation rotation);

/// Largest picture file that is read.
constexpr std::size_t kMaxImageFile = std::size_t{1} << 29;

/// Writes a PNG. Throws retinaface::Error (io).
void save_png(const std::string& path, const Image& image);

}  // namespace cli
