# What this project's own programs (examples, tests, benches) are built with. Nothing here reaches a user of the library.

add_library(retinaface_program INTERFACE)
target_link_libraries(retinaface_program INTERFACE retinaface::retinaface)

target_compile_options(retinaface_program INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion
                                                    $<$<BOOL:${RETINAFACE_WARNINGS_AS_ERRORS}>:-Werror>)
# clang counts sign conversion under -Wconversion, GCC does not.
target_compile_options(retinaface_program INTERFACE $<$<CXX_COMPILER_ID:Clang,AppleClang>:-Wno-sign-conversion>)
if(RETINAFACE_SANITIZE)
    target_compile_options(retinaface_program INTERFACE -fsanitize=${RETINAFACE_SANITIZE} -fno-sanitize-recover=all
                                                        -fno-omit-frame-pointer -g)
    target_link_options(retinaface_program INTERFACE -fsanitize=${RETINAFACE_SANITIZE})
endif()
if(RETINAFACE_STATIC_EXECUTABLES)
    target_link_options(retinaface_program INTERFACE -static)
endif()

# retinaface_header_library(<target> <header> <Debian package>): an INTERFACE target for a header-only library, found by its
# header, which works for a cross compiler as well as for a native one and with every packaging of the library
# (CMAKE_PREFIX_PATH points at others). Extra arguments: folders under include/ to look in.
function(retinaface_header_library target header package)
    if(TARGET ${target})
        return()
    endif()
    string(TOUPPER ${target} prefix)
    find_path(${prefix}_INCLUDE_DIR ${header} PATH_SUFFIXES ${ARGN})
    mark_as_advanced(${prefix}_INCLUDE_DIR)
    if(NOT ${prefix}_INCLUDE_DIR)
        message(FATAL_ERROR "retinaface: <${header}> not found: install it (Debian: apt-get install ${package}), point "
                            "CMAKE_PREFIX_PATH at it, or switch off RETINAFACE_BUILD_CLI and RETINAFACE_BUILD_TESTS")
    endif()
    add_library(${target} INTERFACE IMPORTED GLOBAL)
    target_include_directories(${target} INTERFACE ${${prefix}_INCLUDE_DIR})
endfunction()
