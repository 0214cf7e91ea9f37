# Rockchip RK3399 (two Cortex-A72, four Cortex-A53): 64-bit ARM, scheduled for both cores.
include(${CMAKE_CURRENT_LIST_DIR}/aarch64.cmake)
set(CMAKE_CXX_FLAGS_INIT "-mcpu=cortex-a72.cortex-a53")
