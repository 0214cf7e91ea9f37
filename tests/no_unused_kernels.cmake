# Fails where the quickstart holds a kernel or a network that it does not use.
#   cmake -D NM=nm -D PROGRAM=quickstart -P no_unused_kernels.cmake
execute_process(COMMAND ${NM} -C ${PROGRAM} OUTPUT_VARIABLE symbols RESULT_VARIABLE failed)
if(failed)
    message(FATAL_ERROR "${NM} ${PROGRAM}: ${failed}")
endif()
if(NOT symbols MATCHES "dwconv3x3" OR NOT symbols MATCHES "MobileNet025")
    message(FATAL_ERROR "${PROGRAM} has no symbols: stripped?")
endif()
# The 7 x 7 stem is the light variant's, sampling and means are align's, deformable and graph convolutions are other headers'.
foreach(unused IN ITEMS "Stem<7" "interleaved_stem<7" "load_interleaved<7" "MobileNet025Light" "models::Mnet12" warp_row mean_row add_bytes "passes::Trace" "passes::Describe"
                        deform cheb ResNet Raster)
    if(symbols MATCHES "retinaface[^\n]*${unused}")
        message(FATAL_ERROR "${PROGRAM} holds '${unused}', which it does not use")
    endif()
endforeach()
