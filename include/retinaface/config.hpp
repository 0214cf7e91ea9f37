// Configuration macros and the inline namespace (kernels/config.hpp), and the instruction sets' names (kernels/isa.hpp). The kernels lie
// beside include/ in the source tree and inside include/retinaface/ once installed. No kernel comes with this.
#pragma once

#if __has_include("kernels/config.hpp")
#include "kernels/config.hpp"
#include "kernels/isa.hpp"
#else
#include "../../kernels/config.hpp"
#include "../../kernels/isa.hpp"
#endif

static_assert(sizeof(float) == 4, "retinaface needs IEEE single precision");
