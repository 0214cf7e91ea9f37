#include <cstdint>
#include <cstdio>
#include <retinaface.hpp>
#include <vector>

int faces_of_black_image(const retinaface::Detector& detector);  // other.cpp: two translation units link

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    const retinaface::Detector detector{retinaface::Weights::load(argv[1])};
    const std::vector<std::uint8_t> pixels(64 * 48 * 3, 128);
    for (const retinaface::Face& face : detector.detect({pixels.data(), 64, 48, retinaface::PixelFormat::rgb8}))
        if (!(face.score > 0.5f)) return 1;
    if (faces_of_black_image(detector) < 0) return 1;
    std::printf("ran on %s\n", retinaface::to_string(detector.isa()));
    return 0;
}
