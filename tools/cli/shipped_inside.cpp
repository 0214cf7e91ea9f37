#include "retinaface/weights/default_mesh.hpp"
#include "retinaface/weights/default_refiner.hpp"
#include "retinaface/weights/default_weights.hpp"
#include "shipped.hpp"

namespace cli {

namespace {

std::vector<std::uint8_t> copied(const retinaface::embedded::EmbeddedFile& file) { return {file.bytes, file.bytes + file.size}; }

}  // namespace

std::vector<std::uint8_t> shipped_weights() { return copied(retinaface::embedded::kDefaultWeights); }
std::vector<std::uint8_t> shipped_mesh() { return copied(retinaface::embedded::kDefaultMesh); }
std::vector<std::uint8_t> shipped_refiner() { return copied(retinaface::embedded::kDefaultRefiner); }

}  // namespace cli
