// Instruction sets: their names, which of them this build has and which this CPU runs.
#pragma once

#include <cstring>

#include "config.hpp"

RETINAFACE_BEGIN_NAMESPACE

/// Instruction set of the compute kernels. `automatic` takes the best set that was compiled and that this CPU runs.
enum class Isa { automatic, reference, portable, avx2, avx512, neon };

/// Every set but `automatic`, best last.
constexpr Isa kIsas[] = {Isa::reference, Isa::portable, Isa::neon, Isa::avx2, Isa::avx512};

/// Name of an instruction set, as the tools' `--isa` spells it.
constexpr const char* to_string(Isa isa) noexcept {
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

/// Whether this build has the set and this CPU runs it. `automatic` always is.
inline bool available(Isa isa) noexcept {
    switch (isa) {
        case Isa::automatic:
        case Isa::reference: return true;
        case Isa::portable: return RETINAFACE_ISA_PORTABLE != 0;
        case Isa::neon: return RETINAFACE_ISA_NEON != 0;
        case Isa::avx2:
#if RETINAFACE_ISA_AVX2
            return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
            return false;
#endif
        case Isa::avx512:
#if RETINAFACE_ISA_AVX512
            return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
#else
            return false;
#endif
    }
    return false;
}

/// The set that `isa` stands for: the best available one for `automatic`, else itself, available or not.
inline Isa resolved(Isa isa) noexcept {
    if (isa != Isa::automatic) return isa;
    for (const Isa candidate : kIsas)
        if (available(candidate)) isa = candidate;
    return isa;
}

/// Reads what to_string() writes. False, and `isa` as it was, for any other text.
inline bool parse_isa(const char* text, Isa& isa) noexcept {
    if (std::strcmp(text, to_string(Isa::automatic)) == 0) {
        isa = Isa::automatic;
        return true;
    }
    for (const Isa candidate : kIsas) {
        if (std::strcmp(text, to_string(candidate)) != 0) continue;
        isa = candidate;
        return true;
    }
    return false;
}

RETINAFACE_END_NAMESPACE
