#include "retinaface/weights/default_mesh.hpp"
#include "retinaface/weights/default_refiner.hpp"
#include "retinaface/weights/default_weights.hpp"
#include "shipped.hpp"

namespace cli {

namespace {

std::vector<std::uint8_t> decoded(const retinaface::embedded::EmbeddedFile& file) {
    std::vector<std::uint8_t> bytes;
    bytes.reserve(file.byte_size);
    for (std::size_t i = 0; i < file.chunk_count; ++i) retinaface::detail::decode_base64(file.chunks[i], bytes);
    return bytes;
}

}  // namespace

std::vector<std::uint8_t> shipped_weights() { return decoded(retinaface::embedded::kDefaultWeights); }
std::vector<std::uint8_t> shipped_mesh() { return decoded(retinaface::embedded::kDefaultMesh); }
std::vector<std::uint8_t> shipped_refiner() { return decoded(retinaface::embedded::kDefaultRefiner); }

}  // namespace cli
