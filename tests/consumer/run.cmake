# Installs the library into WORK, then configures, builds and runs tests/consumer against it.
# cmake -D BUILD=... -D SOURCE=... -D WORK=... -D GENERATOR=... -D CXX=... -D TOOLCHAIN=... -D WEIGHTS=... -P run.cmake
function(run)
    execute_process(COMMAND ${ARGV} RESULT_VARIABLE result)
    if(NOT result EQUAL 0)
        list(JOIN ARGV " " command)
        message(FATAL_ERROR "failed (${result}): ${command}")
    endif()
endfunction()

file(REMOVE_RECURSE ${WORK})
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix)

if(TOOLCHAIN)
    # The toolchain looks for packages in the target's root only.
    set(compiler -DCMAKE_TOOLCHAIN_FILE=${TOOLCHAIN} -DCMAKE_FIND_ROOT_PATH=${WORK}/prefix
        -Dretinaface_DIR=${WORK}/prefix/share/cmake/retinaface)
else()
    set(compiler -DCMAKE_CXX_COMPILER=${CXX} -DCMAKE_PREFIX_PATH=${WORK}/prefix)
endif()
run(${CMAKE_COMMAND} -S ${SOURCE} -B ${WORK}/build -G ${GENERATOR} ${compiler} -DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_FLAGS=-O1
    -DRETINAFACE_TEST_WEIGHTS=${WEIGHTS})
run(${CMAKE_COMMAND} --build ${WORK}/build)
run(${CMAKE_COMMAND} -E chdir ${WORK}/build ${CMAKE_CTEST_COMMAND} --output-on-failure)
