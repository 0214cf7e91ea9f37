// What every bench says about where it ran.
#pragma once

#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "peak.hpp"

namespace bench {

inline const char* compiler() {
#if defined(__clang__)
    return "clang " __clang_version__;
#elif defined(__GNUC__)
    return "gcc " __VERSION__;
#else
    return "unknown";
#endif
}

struct IsaPeak {
    retinaface::Isa isa;
    double flops;  ///< measured FLOP/s of one core
};

/// The instruction sets of this build and this CPU, best first, with their peaks, which also go into the context.
inline std::vector<IsaPeak> available_isas() {
    using retinaface::Isa;
    std::vector<IsaPeak> isas;
    for (const Isa isa : {Isa::avx512, Isa::avx2, Isa::neon, Isa::portable}) {
        if (!retinaface::available(isa)) continue;
        isas.push_back({isa, measured_peak(isa)});
        benchmark::AddCustomContext(std::string("peak_gflops_") + retinaface::to_string(isa),
                                    std::to_string(isas.back().flops / 1e9));
    }
    benchmark::AddCustomContext("isa", isas.empty() ? "none" : retinaface::to_string(isas.front().isa));
    benchmark::AddCustomContext("compiler", compiler());
    return isas;
}

}  // namespace bench
