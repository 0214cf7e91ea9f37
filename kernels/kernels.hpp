// The kernel sets of this build, and the look-up of one kernel. A program holds the kernels that it looks up, and no other.
#pragma once

#include "avx2.hpp"
#include "avx512.hpp"
#include "neon.hpp"
#include "portable.hpp"
#include "reference.hpp"
#include "types.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace kernels {

/// The kernel's functions of an instruction set, which must be available() and not `automatic`.
template <class Kernel>
Kernel find(Isa isa) {
    switch (isa) {
#if RETINAFACE_ISA_AVX512
        case Isa::avx512: return get(avx512::Tag<Kernel>{});
#endif
#if RETINAFACE_ISA_AVX2
        case Isa::avx2: return get(avx2::Tag<Kernel>{});
#endif
#if RETINAFACE_ISA_NEON
        case Isa::neon: return get(neon::Tag<Kernel>{});
#endif
#if RETINAFACE_ISA_PORTABLE
        case Isa::portable: return get(portable::Tag<Kernel>{});
#endif
        default: return get(reference::Tag<Kernel>{});
    }
}

}  // namespace kernels
RETINAFACE_END_NAMESPACE
