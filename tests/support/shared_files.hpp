// Files that tests read: the repository's own, and reference material outside it that may be missing.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace retinaface_test {

/// A file of this repository, named from its root.
inline std::string source_file(const std::string& name) { return RETINAFACE_SOURCE_DIR "/" + name; }

/// Test cases skipped so far.
inline int& skips() {
    static int count = 0;
    return count;
}

/// Reports that a test case does not run. The executable's ctest entry shows as skipped.
inline void skip(const std::string& reason) {
    std::printf("SKIPPED: %s\n", reason.c_str());
    ++skips();
}

/// The path of `name` in the folder of reference material ($RETINAFACE_SHARED, or `shared` beside the repository); where it is
/// missing, counts a skip and returns "". Keep cases that need it in executables of their own: a skip marks the whole entry.
///
///     const std::string path = shared_file("golden/biubug6/tiny.npz");
///     if (path.empty()) return;
inline std::string shared_file(const std::string& name) {
    const char* variable = std::getenv("RETINAFACE_SHARED");
    const std::string path = std::string(variable != nullptr ? variable : RETINAFACE_SHARED_DIR) + "/" + name;
    if (std::filesystem::exists(path)) return path;
    skip(path + " is not there");
    return "";
}

}  // namespace retinaface_test
