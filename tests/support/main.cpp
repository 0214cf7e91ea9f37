// The runner of every test executable; see tests/CMakeLists.txt for its exit codes.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "support/isa_under_test.hpp"
#include "support/shared_files.hpp"

namespace {

constexpr int kSkipped = 77;

// True where everything that ran ran on the forced kernel set, and something did.
bool forced_isa_ran() {
    const char* forced = std::getenv(retinaface_test::kIsaVariable);
    if (forced == nullptr) return true;
    bool right = !retinaface_test::isas_that_ran().empty();
    if (!right) std::printf("no test said which kernel set ran (note_isa)\n");
    for (const retinaface::Isa isa : retinaface_test::isas_that_ran()) {
        if (std::string(retinaface::to_string(isa)) == forced) continue;
        std::printf("kernel set %s was forced, %s ran\n", forced, retinaface::to_string(isa));
        right = false;
    }
    return right;
}

}  // namespace

int main(int argc, char** argv) {
    if (std::getenv(retinaface_test::kIsaVariable) != nullptr) {
        bool known = false;
        const retinaface::Isa isa = retinaface_test::isa_under_test(&known);
        if (!known) {
            std::printf("%s names no kernel set\n", retinaface_test::kIsaVariable);
            return EXIT_FAILURE;
        }
        if (!retinaface::available(isa)) {
            std::printf("SKIPPED: this CPU or build lacks the kernel set %s\n", retinaface::to_string(isa));
            return kSkipped;
        }
    }

    doctest::Context context(argc, argv);
    const int failed = context.run();
    if (context.shouldExit() || failed != 0) return failed;
    if (retinaface_test::skips() > 0) return kSkipped;
    return forced_isa_ran() ? EXIT_SUCCESS : EXIT_FAILURE;
}
