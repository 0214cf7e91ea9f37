// Gateway to the kernels of the wide networks: only their layers include this.
#pragma once

#include "kernels.hpp"

#if __has_include("../kernels/wide.hpp")
#include "../kernels/wide.hpp"
#else
#include "../../../kernels/wide.hpp"
#endif
