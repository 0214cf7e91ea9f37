// The mesh's kernels of one ISA, behind its vec.hpp, lanes.hpp and generic/common.inl.

#include "cheb.inl"
#include "raster.inl"

inline const MeshKernels& mesh_kernels() {
    static constexpr MeshKernels kKernels = {Isa::RETINAFACE_THIS_ISA, &cheb_term, &cheb_products, &clenshaw, &raster, &resolve, &shade, kWidth};
    return kKernels;
}
