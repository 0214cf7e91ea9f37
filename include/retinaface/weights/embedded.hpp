// Weights files inside a program: what `tools/convert_weights.py --emit-hpp` writes, and how it is read.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <vector>

#include "archive.hpp"

// Outside the inline namespace: generated headers define objects of this type, and programs may mix translation units.
namespace retinaface::embedded {

/// A weights file as base85 text in pieces (compilers limit the length of a string literal).
struct EmbeddedFile {
    const char* const* chunks;
    std::size_t chunk_count;
    std::size_t byte_size;  ///< of the decoded file
};

}  // namespace retinaface::embedded

RETINAFACE_BEGIN_NAMESPACE
namespace detail {

/// Appends the bytes that `text` encodes: five characters are the digits of four bytes, the most significant first; of a last
/// group of n + 1 characters the first n bytes count. False for any other text.
inline bool decode_base85(const char* text, std::vector<unsigned char>& out) {
    static constexpr char kDigits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>,@^_`{|}~";
    unsigned char values[256];
    std::fill(std::begin(values), std::end(values), std::uint8_t{85});
    for (std::uint8_t i = 0; i < 85; ++i) values[static_cast<unsigned char>(kDigits[i])] = i;
    while (*text != '\0') {
        std::uint64_t group = 0;
        int count = 0;
        for (int i = 0; i < 5; ++i) {
            const bool past_end = text[count] == '\0';
            const unsigned digit = past_end ? 84 : values[static_cast<unsigned char>(text[count++])];
            if (digit == 85) return false;
            group = group * 85 + digit;
        }
        if (count == 1 || group > 0xFFFFFFFFu) return false;
        for (int i = 0; i < count - 1; ++i) out.push_back(static_cast<unsigned char>(group >> (24 - 8 * i)));
        text += count;
    }
    return true;
}

/// The weights file itself. Error (bad_format).
inline Result<std::vector<unsigned char>> bytes_of(const embedded::EmbeddedFile& file) {
    std::vector<unsigned char> bytes;
    bytes.reserve(file.byte_size);
    for (std::size_t i = 0; i < file.chunk_count; ++i)
        if (!decode_base85(file.chunks[i], bytes))
            return bad_weights("embedded chunk " + std::to_string(i) +
                               " is not base85 (made by a converter of another version?)");
    if (bytes.size() != file.byte_size)
        return bad_weights("embedded file: expected " + std::to_string(file.byte_size) + " bytes, found " +
                           std::to_string(bytes.size()) + " (made by a converter of another version?)");
    return bytes;
}

}  // namespace detail

inline Result<Weights> Weights::read_embedded(const embedded::EmbeddedFile& file) {
    const Result<std::vector<unsigned char>> bytes = detail::bytes_of(file);
    if (!bytes) return bytes.error();
    return read((*bytes).data(), (*bytes).size(), Check::container);
}

RETINAFACE_END_NAMESPACE
