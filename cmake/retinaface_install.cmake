include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(retinaface_cmake_dir ${CMAKE_INSTALL_DATADIR}/cmake/retinaface)

# include/retinaface/config.hpp finds the kernels in either tree.
install(DIRECTORY include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT dev)
install(DIRECTORY kernels DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/retinaface COMPONENT dev
        FILES_MATCHING PATTERN "*.hpp" PATTERN "*.inl" PATTERN "*.inc")
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT dev)

install(TARGETS retinaface EXPORT retinaface-targets)
install(EXPORT retinaface-targets NAMESPACE retinaface:: DESTINATION ${retinaface_cmake_dir} COMPONENT dev)
configure_package_config_file(cmake/retinaface-config.cmake.in ${PROJECT_BINARY_DIR}/retinaface-config.cmake
                              INSTALL_DESTINATION ${retinaface_cmake_dir})
# Before 1.0 a minor version may change the interface. Headers alone have no architecture.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/retinaface-config-version.cmake COMPATIBILITY SameMinorVersion
                                 ARCH_INDEPENDENT)
install(FILES ${PROJECT_BINARY_DIR}/retinaface-config.cmake ${PROJECT_BINARY_DIR}/retinaface-config-version.cmake
        DESTINATION ${retinaface_cmake_dir} COMPONENT dev)

configure_file(cmake/retinaface.pc.in ${PROJECT_BINARY_DIR}/retinaface.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/retinaface.pc DESTINATION ${CMAKE_INSTALL_DATADIR}/pkgconfig COMPONENT dev)

if(TARGET retinaface_cli)
    install(TARGETS retinaface_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT tool)
endif()

if(retinaface_top_level)
    include(cmake/retinaface_package.cmake)
endif()
