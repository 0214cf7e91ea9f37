// See macros_begin.hpp.
#pragma pop_macro("max")
#pragma pop_macro("min")
