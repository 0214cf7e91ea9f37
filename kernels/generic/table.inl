// The table of one ISA's kernels. The including header defines RETINAFACE_THIS_ISA, the Isa's and the namespace's common name.

inline const KernelTable& table() {
#define RETINAFACE_STRING_(x) #x
#define RETINAFACE_STRING(x) RETINAFACE_STRING_(x)
    static constexpr KernelTable kTable = {Isa::RETINAFACE_THIS_ISA, RETINAFACE_STRING(RETINAFACE_THIS_ISA),
#define RETINAFACE_KERNEL(name, Args) &name,
#include "../kernel_list.inc"
#undef RETINAFACE_KERNEL
                                           &stem_row_size, &gemm_packed_size, &gemm_pack, &conv3x3_packed_size, &conv3x3_pack, &conv3x3_scratch};
#undef RETINAFACE_STRING
#undef RETINAFACE_STRING_
    return kTable;
}
