// The weights that come with the tool: inside it (shipped_inside.cpp), or in a package that has them as files, beside it
// (shipped_beside.cpp).
#pragma once

#include <cstdint>
#include <vector>

namespace cli {

/// The bytes of the detector's weights file. Throws retinaface::Error where a package lacks it.
std::vector<std::uint8_t> shipped_weights();
/// Those of the mesh decoder's.
std::vector<std::uint8_t> shipped_mesh();
/// Those of the landmark refiner's.
std::vector<std::uint8_t> shipped_refiner();

}  // namespace cli
