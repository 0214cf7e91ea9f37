// Gateway to the mesh's kernels, as config.hpp is to the others.
#pragma once

#include "../config.hpp"
#include "../error.hpp"

#if __has_include("../kernels/mesh_kernels.hpp")
#include "../kernels/mesh_kernels.hpp"
#else
#include "../../../kernels/mesh_kernels.hpp"
#endif

RETINAFACE_BEGIN_NAMESPACE
namespace kernels {

/// The kernels of a set; throws Error (unsupported) where this build or CPU lacks it.
inline const MeshKernels* mesh_kernels_for(Isa isa) {
    const MeshKernels* const set = select_mesh(isa);
    if (set == nullptr)
        throw Error(ErrorCode::unsupported, std::string("instruction set ") + to_string(isa) + " is not in this build or not on this CPU");
    return set;
}

}  // namespace kernels
RETINAFACE_END_NAMESPACE
