// The products of the NEON set, for `predict_a72.py --loops` to look at in assembler.
#include "../../kernels/kernels.hpp"

namespace kernels = retinaface::kernels;

extern "C" void pointwise(const kernels::GemmArgs& args) { kernels::neon::gemm_panels<false>(args); }
extern "C" void winograd(const kernels::GemmArgs& args) { kernels::neon::gemm_panels<true>(args); }
