// Which kernel set a test forces: one ctest entry a set (tests/CMakeLists.txt).
#pragma once

#include <cstdlib>
#include <set>
#include <string>

#include "retinaface/config.hpp"

namespace retinaface_test {

constexpr const char* kIsaVariable = "RETINAFACE_TEST_ISA";

/// The set that this run forces; `automatic` where it forces none. Give it to Options::isa or resolved().
inline retinaface::Isa isa_under_test(bool* known = nullptr) {
    retinaface::Isa isa = retinaface::Isa::automatic;
    const char* name = std::getenv(kIsaVariable);
    const bool found = name == nullptr || retinaface::parse_isa(name, isa);
    if (known != nullptr) *known = found;
    return isa;
}

inline std::set<retinaface::Isa>& isas_that_ran() {
    static std::set<retinaface::Isa> isas;
    return isas;
}

/// A test says which set really ran (Detector::isa()); the runner fails if it is not the forced one.
inline void note_isa(retinaface::Isa isa) { isas_that_ran().insert(isa); }

/// Both, where nothing but the kernels is tested: the set that this run forces (the best one where it forces none), and said to have run.
inline retinaface::Isa noted_isa_under_test() {
    const retinaface::Isa isa = retinaface::resolved(isa_under_test());
    note_isa(isa);
    return isa;
}

}  // namespace retinaface_test
