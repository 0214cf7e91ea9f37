// The mesh's kernels in every set of this build. Apart from kernels.hpp: only who draws or decodes meshes reads them.
#pragma once

#include <cmath>
#include <limits>
#include <utility>

#include "kernels.hpp"
#include "mesh_reference.hpp"
#include "mesh_types.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace kernels {

#if RETINAFACE_ISA_AVX512
RETINAFACE_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
namespace avx512 {
#include "avx2/eights.hpp"
#include "avx512/lanes.hpp"

#include "avx512/columns.inl"

#include "generic/cheb.inl"
#include "generic/raster.inl"

#include "generic/mesh_set.inl"
}  // namespace avx512
RETINAFACE_TARGET_END
#endif

#if RETINAFACE_ISA_AVX2
RETINAFACE_TARGET_BEGIN("avx2,fma")
namespace avx2 {
#include "avx2/eights.hpp"
#include "avx2/lanes.hpp"

#include "generic/columns.inl"

#include "generic/cheb.inl"
#include "generic/raster.inl"

#include "generic/mesh_set.inl"
}  // namespace avx2
RETINAFACE_TARGET_END
#endif

#if RETINAFACE_ISA_NEON
namespace neon {
#include "neon/lanes.hpp"

#include "generic/columns.inl"

#include "generic/cheb.inl"
#include "generic/raster.inl"

#include "generic/mesh_set.inl"
}  // namespace neon
#endif

#if RETINAFACE_ISA_PORTABLE
namespace portable {
#include "portable/lanes.hpp"

#include "generic/columns.inl"

#include "generic/cheb.inl"
#include "generic/raster.inl"

#include "generic/mesh_set.inl"
}  // namespace portable
#endif

}  // namespace kernels
RETINAFACE_END_NAMESPACE
