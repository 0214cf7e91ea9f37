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

/// A picture of any format in decoders(), from its file's bytes, upright only if `turn_upright`; grey files stay gray8, files with alpha
/// may become rgba8. What a file's header asks for is checked against the limits before anything is allocated for its pixels, and where
/// the request allows it the image has fewer pixels than the file. `extension` (".jpg"), where it is known, is for messages. Throws
/// retinaface::Error (invalid_argument) with a message of one printable line.
Image decode_image(const std::vector<std::uint8_t>& bytes, bool turn_upright = true, const Request& request = {},
                   const std::string& extension = "");

/// Turns an image clockwise.
void turn(Image& image, retinaface::Rotation rotation);

/// Largest picture file that is read.
constexpr std::size_t kMaxImageFile = std::size_t{1} << 29;

/// The bytes of a PNG file.
std::vector<std::uint8_t> encode_png(const Image& image);

}  // namespace cli
