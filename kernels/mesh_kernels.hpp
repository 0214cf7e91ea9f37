// The mesh's kernel sets of this build and the choice between them.
#pragma once

#include <cmath>

#include "kernels.hpp"
#include "mesh_reference.hpp"
#include "mesh_types.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace kernels {

#if RETINAFACE_ISA_AVX512
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#endif
namespace avx512 {
#define RETINAFACE_THIS_ISA avx512
#include "avx512/lanes.hpp"
#include "generic/mesh_kernels.inl"
#undef RETINAFACE_THIS_ISA
}  // namespace avx512
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif

#if RETINAFACE_ISA_AVX2
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
namespace avx2 {
#define RETINAFACE_THIS_ISA avx2
#include "avx2/lanes.hpp"
#include "generic/mesh_kernels.inl"
#undef RETINAFACE_THIS_ISA
}  // namespace avx2
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif

#if RETINAFACE_ISA_NEON
namespace neon {
#define RETINAFACE_THIS_ISA neon
#include "neon/lanes.hpp"
#include "generic/mesh_kernels.inl"
#undef RETINAFACE_THIS_ISA
}  // namespace neon
#endif

#if RETINAFACE_ISA_PORTABLE
namespace portable {
#define RETINAFACE_THIS_ISA portable
#include "portable/lanes.hpp"
#include "generic/mesh_kernels.inl"
#undef RETINAFACE_THIS_ISA
}  // namespace portable
#endif

/// The mesh's kernels of `isa`, or nullptr where this build lacks them or this CPU cannot run them.
inline const MeshKernels* select_mesh(Isa isa) {
    const KernelTable* const set = select(isa);
    if (set == nullptr) return nullptr;
    switch (set->isa) {
#if RETINAFACE_ISA_AVX512
        case Isa::avx512: return &avx512::mesh_kernels();
#endif
#if RETINAFACE_ISA_AVX2
        case Isa::avx2: return &avx2::mesh_kernels();
#endif
#if RETINAFACE_ISA_NEON
        case Isa::neon: return &neon::mesh_kernels();
#endif
#if RETINAFACE_ISA_PORTABLE
        case Isa::portable: return &portable::mesh_kernels();
#endif
        default: return &reference::mesh_kernels();
    }
}

}  // namespace kernels
RETINAFACE_END_NAMESPACE
