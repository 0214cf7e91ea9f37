#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace cli {

/// SHA-256 (FIPS 180-4) of `size` bytes, as 64 lower-case hexadecimal digits.
std::string sha256(const std::uint8_t* data, std::size_t size);

}  // namespace cli
