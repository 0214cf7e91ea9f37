# cmake -D CXX=COMPILER -D INCLUDE=DIR -P each_header.cmake: every public header compiles alone, whatever is included before it.
# Bridges to libraries that may not be here have tests of their own.
file(GLOB headers RELATIVE ${INCLUDE} ${INCLUDE}/retinaface/*.hpp)
list(FILTER headers EXCLUDE REGEX "/(opencv|eigen)[.]hpp$")
foreach(header IN LISTS headers)
    execute_process(COMMAND ${CXX} -std=c++17 -fsyntax-only -Wall -Wextra -Werror -I${INCLUDE} -include ${header} -x c++ /dev/null
                    RESULT_VARIABLE failed ERROR_VARIABLE errors)
    if(failed)
        message(SEND_ERROR "${header}, included alone:\n${errors}")
    endif()
endforeach()
