# The ways into the library other than its headers as they lie here: C, one header, installed, Python (tests/doors/*.py).

# The C interface from a C99 program, shared and static; the programs in examples/c; what the shared library exports.
if(TARGET c_detect AND NOT RETINAFACE_STATIC_EXECUTABLES)
    list(JOIN CMAKE_CROSSCOMPILING_EMULATOR " " emulator)
    foreach(kind IN ITEMS c c_static)
        add_executable(test_api_${kind} doors/c_api.c)
        target_link_libraries(test_api_${kind} PRIVATE retinaface_program retinaface::${kind})
        set_target_properties(test_api_${kind} PROPERTIES C_STANDARD 99 C_EXTENSIONS OFF)
    endforeach()
    if("doors_c" MATCHES "${RETINAFACE_TEST_ONLY}")
        add_dependencies(retinaface_tests test_api_c test_api_c_static c_detect quickstart)
    endif()
    retinaface_add_python_test(doors_c doors/test_c.py ENVIRONMENT
                               "RETINAFACE_C_PROGRAMS=${emulator} $<TARGET_FILE:test_api_c>,${emulator} $<TARGET_FILE:test_api_c_static>"
                               "RETINAFACE_C_DETECT=${emulator} $<TARGET_FILE:c_detect>"
                               "RETINAFACE_QUICKSTART=${emulator} $<TARGET_FILE:quickstart>"
                               RETINAFACE_C_LIBRARY=$<TARGET_FILE:retinaface_c> RETINAFACE_NM=${CMAKE_NM})
endif()

# Bridges to other libraries' types, where those are installed (headers of this machine: not for a cross compiler).
if(NOT CMAKE_CROSSCOMPILING)
    find_path(RETINAFACE_EIGEN_INCLUDE_DIR Eigen/Core PATH_SUFFIXES eigen3)
    if(RETINAFACE_EIGEN_INCLUDE_DIR)
        retinaface_add_test(eigen SOURCES test_eigen.cpp)
        target_include_directories(test_eigen SYSTEM PRIVATE ${RETINAFACE_EIGEN_INCLUDE_DIR})
    endif()
    find_path(RETINAFACE_OPENCV_INCLUDE_DIR opencv2/core.hpp PATH_SUFFIXES opencv4)
    find_library(RETINAFACE_OPENCV_CORE opencv_core)
    if(RETINAFACE_OPENCV_INCLUDE_DIR AND RETINAFACE_OPENCV_CORE)
        retinaface_add_test(opencv SOURCES test_opencv.cpp)
        target_include_directories(test_opencv SYSTEM PRIVATE ${RETINAFACE_OPENCV_INCLUDE_DIR})
        target_link_libraries(test_opencv PRIVATE ${RETINAFACE_OPENCV_CORE})
    endif()
endif()

# What follows tests the source tree, not the build: once, with everything built, is enough.
if(CMAKE_CROSSCOMPILING OR RETINAFACE_SANITIZE OR NOT retinaface_python OR NOT TARGET c_detect)
    return()
endif()

# The single header: the detector's tests against it, and the tests of the tool that makes it.
set(retinaface_single_dir ${CMAKE_CURRENT_BINARY_DIR}/single_header)
file(GLOB_RECURSE retinaface_headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/*.hpp ${PROJECT_SOURCE_DIR}/kernels/*)
add_custom_command(OUTPUT ${retinaface_single_dir}/retinaface.hpp
                   COMMAND ${retinaface_python} -B ${CMAKE_CURRENT_SOURCE_DIR}/doors/single_header.py ${retinaface_single_dir}
                   DEPENDS ${retinaface_headers} ${PROJECT_SOURCE_DIR}/tools/amalgamate.py doors/single_header.py)
retinaface_add_test(detector_single_header SOURCES test_detector.cpp ${retinaface_single_dir}/retinaface.hpp)
target_include_directories(test_detector_single_header BEFORE PRIVATE ${retinaface_single_dir})
retinaface_add_python_test(doors_single_header doors/test_single_header.py ENVIRONMENT CXX=${CMAKE_CXX_COMPILER}
                           RETINAFACE_QUICKSTART=$<TARGET_FILE:quickstart>)

# Debian package, pkg-config, add_subdirectory, FetchContent; what packaging/ says.
if(RETINAFACE_INSTALL)
    retinaface_add_python_test(doors_ways doors/test_ways.py ENVIRONMENT CXX=${CMAKE_CXX_COMPILER} CC=${CMAKE_C_COMPILER}
                               CMAKE=${CMAKE_COMMAND} CTEST=${CMAKE_CTEST_COMMAND} RETINAFACE_BUILD=${PROJECT_BINARY_DIR}
                               RETINAFACE_QUICKSTART=$<TARGET_FILE:quickstart>)
endif()

# The Python package, built once as a wheel, and the code blocks of docs/.
if(RETINAFACE_BUILD_CLI)
    set_target_properties(retinaface_cli_packaged PROPERTIES EXCLUDE_FROM_ALL OFF)
    retinaface_add_script_test(doors_python COMMAND ${retinaface_python} -B -m pytest -q -rs -p no:cacheprovider
                                                    ${CMAKE_CURRENT_SOURCE_DIR}/doors/test_python_package.py
                                                    ${CMAKE_CURRENT_SOURCE_DIR}/doors/test_docs.py
                               ENVIRONMENT CXX=${CMAKE_CXX_COMPILER} CC=${CMAKE_C_COMPILER} CMAKE=${CMAKE_COMMAND}
                               RETINAFACE_CLI=$<TARGET_FILE:retinaface_cli> RETINAFACE_PACKAGED_CLI=$<TARGET_FILE:retinaface_cli_packaged>
                               RETINAFACE_C_LIBRARY=$<TARGET_FILE:retinaface_c>)
endif()
