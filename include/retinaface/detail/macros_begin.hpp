// Sets aside macros that some system headers define and no C++ header survives; macros_end.hpp brings them back. What programs include
// (retinaface.hpp, mesh.hpp, resnet.hpp) begins and ends with these two. No include guard: each inclusion counts.
#pragma push_macro("min")
#pragma push_macro("max")
#undef min
#undef max
