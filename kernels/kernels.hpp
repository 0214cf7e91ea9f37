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
        case Isa::avx512: return avx512::get(Tag<Kernel>{});
#endif
#if RETINAFACE_ISA_AVX2
        case Isa::avx2: return avx2::get(Tag<Kernel>{});
#endif
#if RETINAFACE_ISA_NEON
        case Isa::neon: return neon::get(Tag<Kernel>{});
#endif
#if RETINAFACE_ISA_PORTABLE
        case Isa::portable: return portable::get(Tag<Kernel>{});
#endif
        default: return reference::get(Tag<Kernel>{});
    }
}

}  // namespace kernels
RETINAFACE_END_NAMESPACE
