// Built by hand, without CMake and without a flag: g++ -O2 -Iinclude plain_app.cpp
#include <cstdio>
#include <retinaface.hpp>

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    const retinaface::Detector detector{retinaface::Weights::load(argv[1])};
    const retinaface::SelfTest result = detector.self_test();
    std::printf("%s: self-test %s, off by %g\n", retinaface::to_string(detector.isa()), result.passed ? "passed" : "failed",
                static_cast<double>(result.max_difference));
    return result.passed ? 0 : 1;
}
