#include <cstdio>
#include <retinaface.hpp>

int main() {
    const retinaface::SelfTest result = retinaface::Detector{}.self_test();
    std::printf("self-test off by %g\n", static_cast<double>(result.max_difference));
    return result.passed ? 0 : 1;
}
