# An overlay port of the tree that it lies in: vcpkg install retinaface --overlay-ports=packaging/vcpkg/ports
get_filename_component(SOURCE_PATH "${CURRENT_PORT_DIR}/../../../.." ABSOLUTE)

vcpkg_check_features(OUT_FEATURE_OPTIONS FEATURE_OPTIONS FEATURES c RETINAFACE_BUILD_C)
if(NOT "c" IN_LIST FEATURES)
    set(VCPKG_BUILD_TYPE release)  # headers alone
endif()

vcpkg_cmake_configure(
    SOURCE_PATH "${SOURCE_PATH}"
    OPTIONS ${FEATURE_OPTIONS} -DRETINAFACE_BUILD_CLI=OFF -DRETINAFACE_BUILD_EXAMPLES=OFF -DRETINAFACE_BUILD_TESTS=OFF
            -DRETINAFACE_BUILD_BENCH=OFF
)
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(PACKAGE_NAME retinaface CONFIG_PATH share/cmake/retinaface)
vcpkg_fixup_pkgconfig()

if("c" IN_LIST FEATURES)
    file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/debug/include" "${CURRENT_PACKAGES_DIR}/debug/share")
    # Both kinds are built; vcpkg's triplets want one.
    if(VCPKG_LIBRARY_LINKAGE STREQUAL static)
        file(GLOB other "${CURRENT_PACKAGES_DIR}/lib/*.so*" "${CURRENT_PACKAGES_DIR}/debug/lib/*.so*")
        file(REMOVE ${other})
    endif()
else()
    file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/lib" "${CURRENT_PACKAGES_DIR}/debug")
endif()

vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
file(INSTALL "${CURRENT_PORT_DIR}/usage" DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}")
