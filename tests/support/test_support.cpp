#include <doctest/doctest.h>

#include "support/isa_under_test.hpp"
#include "support/shared_files.hpp"

using namespace retinaface_test;

TEST_CASE("files of the repository are found") { CHECK(std::filesystem::exists(source_file("tests/CMakeLists.txt"))); }

TEST_CASE("without the environment variable no kernel set is forced") {
    if (std::getenv(kIsaVariable) == nullptr) CHECK(isa_under_test() == retinaface::Isa::automatic);
}
