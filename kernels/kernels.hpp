// The kernel sets of this build and the choice between them.
#pragma once

#include "avx2.hpp"
#include "avx512.hpp"
#include "neon.hpp"
#include "portable.hpp"
#include "reference.hpp"
#include "types.hpp"

RETINAFACE_BEGIN_NAMESPACE

/// Name of an instruction set as `--isa` and `RETINAFACE_ISA` spell it.
inline const char* to_string(Isa isa) {
    switch (isa) {
        case Isa::automatic: return "auto";
        case Isa::reference: return "reference";
        case Isa::portable: return "portable";
        case Isa::avx2: return "avx2";
        case Isa::avx512: return "avx512";
        case Isa::neon: return "neon";
    }
    return "unknown";
}

namespace kernels {

/// The table of `isa`, or nullptr where this build lacks it or this CPU cannot run it. `automatic` gives the best there is.
inline const KernelTable* select(Isa isa) {
#if RETINAFACE_ISA_AVX512
    if ((isa == Isa::avx512 || isa == Isa::automatic) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma"))
        return &avx512::table();
#endif
#if RETINAFACE_ISA_AVX2
    if ((isa == Isa::avx2 || isa == Isa::automatic) && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &avx2::table();
#endif
#if RETINAFACE_ISA_NEON
    if (isa == Isa::neon || isa == Isa::automatic) return &neon::table();
#endif
#if RETINAFACE_ISA_PORTABLE
    if (isa == Isa::portable || isa == Isa::automatic) return &portable::table();
#endif
    if (isa == Isa::reference) return &reference::table();
    return nullptr;
}

}  // namespace kernels

RETINAFACE_END_NAMESPACE
