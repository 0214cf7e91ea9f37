// Which kernel set a test forces: one ctest entry a set (tests/CMakeLists.txt).
#pragma once

#include <cstdlib>
#include <set>
#include <string>

#include "retinaface/config.hpp"

namespace retinaface_test {

constexpr const char* kIsaVariable = "RETINAFACE_TEST_ISA";

/// The set that this run forces; `automatic` where it forces none. Give it to Options::isa or kernels::select().
inline retinaface::Isa isa_under_test(bool* known = nullptr) {
    using retinaface::Isa;
    const char* name = std::getenv(kIsaVariable);
    if (known != nullptr) *known = true;
    if (name == nullptr) return Isa::automatic;
    for (const Isa isa : {Isa::automatic, Isa::reference, Isa::portable, Isa::avx2, Isa::avx512, Isa::neon})
        if (std::string(retinaface::to_string(isa)) == name) return isa;
    if (known != nullptr) *known = false;
    return Isa::automatic;
}

inline std::set<retinaface::Isa>& isas_that_ran() {
    static std::set<retinaface::Isa> isas;
    return isas;
}

/// A test says which set really ran (KernelTable::isa, Detector::isa()); the runner fails if it is not the forced one.
inline void note_isa(retinaface::Isa isa) { isas_that_ran().insert(isa); }

}  // namespace retinaface_test
