// The one EXIF field that matters here: how the camera was held.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cli {

/// EXIF orientation (1..8) of a JPEG or PNG file in memory; 1 (upright) where it has none or is malformed. Reads nothing
/// outside [data, data + size), whatever the bytes are.
int exif_orientation(const std::uint8_t* data, std::size_t size) noexcept;

}  // namespace cli
