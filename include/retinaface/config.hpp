// Gateway to the kernels folder and its configuration macros (documented in kernels/config.hpp). The kernels lie beside include/ in
// the source tree and inside include/retinaface/ once installed.
#pragma once

#if __has_include("kernels/kernels.hpp")
#include "kernels/kernels.hpp"
#else
#include "../../kernels/kernels.hpp"
#endif

static_assert(sizeof(float) == 4, "retinaface needs IEEE single precision");
