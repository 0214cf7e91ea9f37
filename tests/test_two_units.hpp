// What the two translation units of test_two_units show each other: no type of the library, which differs between them.
#pragma once

#include <string>
#include <vector>

struct UnitReport {
    std::string scope;         ///< the library's namespace as this unit sees it
    std::string isa;           ///< kernels that ran
    std::vector<float> faces;  ///< of a fixed picture
};

/// From the unit compiled for AVX2, with static dispatch and without default weights.
UnitReport report_of_unit_b(const std::string& weights_path, const unsigned char* rgb, int width, int height);
