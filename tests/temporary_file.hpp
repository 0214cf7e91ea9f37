// Files that tests write.
#pragma once

#include <cstdint>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <system_error>
#include <vector>

#include "retinaface/weights/embedded.hpp"

namespace retinaface_test {

inline std::vector<unsigned char> bytes_of(const retinaface::embedded::EmbeddedFile& file) {
    return {file.bytes, file.bytes + file.size};
}

/// A file in the temporary folder, removed at the end.
struct TemporaryFile {
    std::filesystem::path path;
    explicit TemporaryFile(const std::vector<unsigned char>& bytes) {
        path = std::filesystem::temp_directory_path() /
               ("retinaface_test_" + std::to_string(std::hash<std::string>{}(
                                         std::to_string(reinterpret_cast<std::uintptr_t>(this)) + std::to_string(std::clock()))));
        std::ofstream(path, std::ios::binary)
            .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    }
    ~TemporaryFile() {
        std::error_code ignored;
        std::filesystem::remove(path, ignored);
    }
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;
};

}  // namespace retinaface_test
