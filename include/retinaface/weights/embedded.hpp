// Weights files inside a program: what `tools/convert_weights.py --emit-hpp` writes, and how it is read.
#pragma once

#include <cstddef>

#include "archive.hpp"

// Outside the inline namespace: generated headers define objects of this type, and programs may mix translation units.
namespace retinaface::embedded {

/// A weights file where the compiler has put it: the bytes of a string literal.
struct EmbeddedFile {
    const char* bytes;
    std::size_t size;
};

}  // namespace retinaface::embedded

RETINAFACE_BEGIN_NAMESPACE

inline Result<Weights> Weights::read_embedded(const embedded::EmbeddedFile& file) {
    return read(reinterpret_cast<const unsigned char*>(file.bytes), file.size, Check::container);
}

RETINAFACE_END_NAMESPACE
