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
        case retinaface::ErrorCode::damaged: return "damaged";
        case retinaface::ErrorCode::no_threads: return "no threads";
        case retinaface::ErrorCode::unexpected: return "unexpected";
    }
    return "unexpected";
}

/// The instruction set of a name ("auto", "avx2", ...). Throws Error (invalid_argument).
inline retinaface::Isa isa_named(const std::string& name) {
    retinaface::Isa isa = retinaface::Isa::automatic;
    if (retinaface::parse_isa(name.c_str(), isa)) return isa;
    std::string known = retinaface::to_string(retinaface::Isa::automatic);
    for (const retinaface::Isa each : retinaface::kIsas) known += std::string(", ") + retinaface::to_string(each);
    throw retinaface::Error(retinaface::ErrorCode::invalid_argument,
                            "options: isa must be one of " + known + ", found '" + name + "'");
}

}  // namespace retinaface_bindings
