// Gateway to the mesh's kernels, as config.hpp is to the others.
#pragma once

#include <string>

#include "../config.hpp"
#include "../error.hpp"

#if __has_include("../kernels/mesh_kernels.hpp")
#include "../kernels/mesh_kernels.hpp"
#else
#include "../../../kernels/mesh_kernels.hpp"
#endif

RETINAFACE_BEGIN_NAMESPACE
namespace kernels {

/// `isa`, or the best set where it is automatic; throws Error (unsupported) where this build or CPU lacks it.
inline Isa checked(Isa isa) {
    if (!available(isa))
        detail::raise(Error(ErrorCode::unsupported,
                            std::string("instruction set ") + to_string(isa) + " is not in this build or not on this CPU"));
    return resolved(isa);
}

}  // namespace kernels
RETINAFACE_END_NAMESPACE
