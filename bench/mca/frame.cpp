// One detector on one picture, several times: what predict_a72.py counts, and the clock where it runs natively.
//
//   frame WEIGHTS WIDTH HEIGHT FRAMES [THREADS [ISA [PICTURE]]]
//
// PICTURE: a safetensors file with a tensor `image` U8 [H, W, 3], repeated to fill the frame; without it, blocks of colour.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "retinaface.hpp"

int main(int argc, char** argv) {
    using namespace retinaface;
    if (argc < 5) return 2;
    const int width = std::atoi(argv[2]), height = std::atoi(argv[3]), frames = std::atoi(argv[4]);
    Options options;
    if (argc > 5) options.threads = std::atoi(argv[5]);
    if (argc > 6)
        for (const Isa isa : {Isa::portable, Isa::avx2, Isa::avx512, Isa::neon})
            if (std::string(to_string(isa)) == argv[6]) options.isa = isa;

    std::vector<std::uint8_t> pixels(static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * 3);
    if (argc > 7) {
        const Weights file = Weights::load(argv[7]);
        const Tensor& image = *file.find("image");
        const auto h = static_cast<std::size_t>(image.shape[0]), w = static_cast<std::size_t>(image.shape[1]);
        for (std::size_t i = 0; i < pixels.size(); ++i) {
            const std::size_t x = i / 3 % static_cast<std::size_t>(width), y = i / 3 / static_cast<std::size_t>(width);
            pixels[i] = image.bytes[((y % h) * w + x % w) * 3 + i % 3];
        }
    } else {
        for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>((i / 60 * 37) ^ (i / 19200 * 11));
    }
    const Detector detector(Weights::load(argv[1]), options);
    Workspace workspace;
    std::vector<double> times;
    std::size_t faces = 0;
    for (int i = 0; i < frames; ++i) {
        const auto start = std::chrono::steady_clock::now();
        faces = detector.detect({pixels.data(), width, height}, workspace).size();
        times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
    }
    if (times.empty()) return 0;
    std::sort(times.begin(), times.end());
    std::printf("%s %dx%d threads %d: %zu faces, median %.3f ms, best %.3f ms\n", to_string(detector.isa()), width, height,
                options.threads, faces, times[times.size() / 2], times[0]);
}
