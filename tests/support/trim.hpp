// Emulated and sanitized runs are slow: grids of sizes are cut there.
#pragma once

#include <cstdlib>
#include <string>

namespace retinaface_test {

inline bool trimmed() {
    const char* trim = std::getenv("RETINAFACE_TEST_TRIM");
    return trim != nullptr && std::string(trim) == "1";
}

}  // namespace retinaface_test
