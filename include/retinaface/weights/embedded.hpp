// Weights files inside a program: what `tools/convert_weights.py --emit-hpp` writes, and how it is read.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "archive.hpp"

// Outside the inline namespace: generated headers define objects of this type, and programs may mix translation units.
namespace retinaface::embedded {

/// A weights file as base64 text in pieces (compilers limit the length of a string literal).
struct EmbeddedFile {
    const char* const* chunks;
    std::size_t chunk_count;
    std::size_t byte_size;  ///< of the decoded file
};

}  // namespace retinaface::embedded

RETINAFACE_BEGIN_NAMESPACE
namespace detail {

/// Appends the bytes that `text` encodes; false where it is not base64 in groups of four.
inline bool decode_base64(const char* text, std::vector<unsigned char>& out) {
    const auto digit = [](char c) -> int {
        if (c >= 'A' && c <= 'Z') return c - 'A';
        if (c >= 'a' && c <= 'z') return c - 'a' + 26;
        if (c >= '0' && c <= '9') return c - '0' + 52;
        return c == '+' ? 62 : c == '/' ? 63 : -1;
    };
    for (; text[0] != '\0'; text += 4) {
        const int a = digit(text[0]);
        const int b = a < 0 ? -1 : digit(text[1]);
        if (b < 0) return false;
        out.push_back(static_cast<unsigned char>(a << 2 | b >> 4));
        if (text[2] == '=') return text[3] == '=' && text[4] == '\0';
        const int c = digit(text[2]);
        if (c < 0) return false;
        out.push_back(static_cast<unsigned char>((b & 15) << 4 | c >> 2));
        if (text[3] == '=') return text[4] == '\0';
        const int d = digit(text[3]);
        if (d < 0) return false;
        out.push_back(static_cast<unsigned char>((c & 3) << 6 | d));
    }
    return true;
}

}  // namespace detail

inline Result<Weights> Weights::read_embedded(const embedded::EmbeddedFile& file) {
    std::vector<unsigned char> bytes;
    bytes.reserve(file.byte_size);
    for (std::size_t i = 0; i < file.chunk_count; ++i)
        if (!detail::decode_base64(file.chunks[i], bytes))
            return detail::bad_weights("embedded chunk " + std::to_string(i) + " is not base64");
    if (bytes.size() != file.byte_size)
        return detail::bad_weights("embedded file: expected " + std::to_string(file.byte_size) + " bytes, found " +
                                   std::to_string(bytes.size()));
    return read(bytes.data(), bytes.size(), Check::container);
}

RETINAFACE_END_NAMESPACE
