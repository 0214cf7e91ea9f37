"""Conan 2 recipe: the headers; with `-o c_interface=True` libretinaface too.

    conan create packaging/conan
"""

import re
from pathlib import Path

from conan import ConanFile
from conan.tools.cmake import CMake, CMakeToolchain, cmake_layout
from conan.tools.files import copy

ROOT = Path(__file__).resolve().parents[2]


class RetinafaceConan(ConanFile):
    name = "retinaface"
    description = "Faces and five landmarks in pictures: RetinaFace on the CPU, header-only C++17, weights included"
    license = "MIT"
    topics = ("face-detection", "computer-vision", "header-only", "simd")
    settings = "os", "arch", "compiler", "build_type"
    options = {"shared": [True, False], "c_interface": [True, False]}
    default_options = {"shared": False, "c_interface": False}

    def set_version(self):
        config = (ROOT / "kernels" / "config.hpp").read_text(encoding="utf-8")
        self.version = ".".join(re.findall(r"define RETINAFACE_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", config))

    def export_sources(self):
        for folder in ("include", "kernels", "cmake", "bindings/c"):
            copy(self, f"{folder}/*", src=str(ROOT), dst=self.export_sources_folder)
        for file in ("CMakeLists.txt", "LICENSE", "bindings/names.hpp"):
            copy(self, file, src=str(ROOT), dst=self.export_sources_folder)

    def configure(self):
        if self.options.c_interface:
            self.package_type = "shared-library" if self.options.shared else "static-library"
        else:
            self.package_type = "header-library"
            self.options.rm_safe("shared")

    def layout(self):
        cmake_layout(self)

    def package_id(self):
        if not self.info.options.c_interface:
            self.info.clear()  # headers alone have no architecture

    def generate(self):
        toolchain = CMakeToolchain(self)
        for program in ("CLI", "EXAMPLES", "TESTS", "BENCH"):
            toolchain.cache_variables[f"RETINAFACE_BUILD_{program}"] = False
        toolchain.cache_variables["RETINAFACE_BUILD_C"] = bool(self.options.c_interface)
        toolchain.generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        cmake.build()

    def package(self):
        CMake(self).install()
        copy(self, "LICENSE", src=self.source_folder, dst=str(Path(self.package_folder) / "licenses"))

    def package_info(self):
        self.cpp_info.set_property("cmake_file_name", "retinaface")
        headers = self.cpp_info.components["headers"]
        headers.set_property("cmake_target_name", "retinaface::retinaface")
        headers.set_property("pkg_config_name", "retinaface")
        headers.bindirs, headers.libdirs = [], []
        if self.settings.os in ("Linux", "FreeBSD"):
            headers.system_libs = ["pthread"]
        if self.options.c_interface:
            interface = self.cpp_info.components["c"]
            interface.libs = ["retinaface"]
            interface.set_property("cmake_target_name", "retinaface::c" if self.options.shared else "retinaface::c_static")
            interface.set_property("pkg_config_name", "retinaface-c")
            if self.settings.os in ("Linux", "FreeBSD"):
                interface.system_libs = ["pthread", "m"] if self.options.shared else ["pthread", "m", "stdc++"]
