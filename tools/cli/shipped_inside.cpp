#include "retinaface/weights/default_mesh.hpp"
#include "retinaface/weights/default_refiner.hpp"
#include "retinaface/weights/default_weights.hpp"
#include "shipped.hpp"

namespace cli {

namespace {

std::vector<std::uint8_t> decoded(const retinaface::embedded::EmbeddedFile& file) {
    return retinaface::detail::bytes_of(file).value();
}

}  // namespace

std::vector<std::uint8_t> shipped_weights() { return decoded(retinaface::embedded::kDefaultWeights); }
std::vector<std::uint8_t> shipped_mesh() { return decoded(retinaface::embedded::kDefaultMesh); }
std::vector<std::uint8_t> shipped_refiner() { return decoded(retinaface::embedded::kDefaultRefiner); }

}  // namespace cli
