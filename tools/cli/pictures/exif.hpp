// The one piece of metadata that matters here: how the camera was held.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cli {

/// Orientation (1..8, as EXIF counts) of a JPEG, PNG or WebP file in memory, by its EXIF data (of PNG also the "raw profile" that
/// ImageMagick writes), else its XMP packet; 1 (upright) where it has none or is malformed. Reads nothing outside
/// [data, data + size), whatever the bytes are.
int exif_orientation(const std::uint8_t* data, std::size_t size) noexcept;

}  // namespace cli
