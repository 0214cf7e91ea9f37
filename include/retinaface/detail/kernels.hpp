// Gateway to the kernels: what computes includes this, value types do not.
#pragma once

#include "../config.hpp"

#if __has_include("../kernels/kernels.hpp")
#include "../kernels/kernels.hpp"
#else
#include "../../../kernels/kernels.hpp"
#endif
