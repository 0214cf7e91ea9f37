// Words that the bindings use for the library's enumerations.
#pragma once

#include <retinaface.hpp>
#include <string>

namespace retinaface_bindings {

/// The name of an error code, as C and Python show it.
inline const char* error_name(retinaface::ErrorCode code) {
    switch (code) {
        case retinaface::ErrorCode::invalid_argument: return "invalid argument";
        case retinaface::ErrorCode::io: return "io";
        case retinaface::ErrorCode::bad_format: return "bad format";
        case retinaface::ErrorCode::mismatch: return "mismatch";
        case retinaface::ErrorCode::unsupported: return "unsupported";
        case retinaface::ErrorCode::out_of_memory: return "out of memory";
    }
    return "failed";
}

/// The instruction set of a name ("auto", "avx2", ...). Throws Error (invalid_argument).
inline retinaface::Isa isa_named(const std::string& name) {
    using retinaface::Isa;
    std::string known;
    for (const Isa isa : {Isa::automatic, Isa::reference, Isa::portable, Isa::avx2, Isa::avx512, Isa::neon}) {
        if (name == retinaface::to_string(isa)) return isa;
        known += std::string(known.empty() ? "" : ", ") + retinaface::to_string(isa);
    }
    throw retinaface::Error(retinaface::ErrorCode::invalid_argument,
                            "options: isa must be one of " + known + ", found '" + name + "'");
}

}  // namespace retinaface_bindings
