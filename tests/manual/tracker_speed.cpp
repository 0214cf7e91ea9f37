// What following faces costs: microseconds a frame for some numbers of faces, tracking and smoothing together.
#include <chrono>
#include <cstdio>
#include <random>
#include <vector>

#include "video/tracker.hpp"

int main() {
    for (const int count : {1, 10, 100, 1000}) {
        std::mt19937 random(1);
        std::normal_distribution<float> tremble(0, 0.5f);
        cli::Tracker tracker;
        cli::Smoother smoother(30);
        std::vector<retinaface::Face> faces(static_cast<std::size_t>(count));
        const int frames = 20000 / count + 10;
        double seconds = 0;
        for (int frame = 0; frame < frames; ++frame) {
            for (int i = 0; i < count; ++i) {
                const float x = 50.0f * static_cast<float>(i % 40) + tremble(random),
                            y = 50.0f * static_cast<float>(i / 40) + tremble(random);
                faces[static_cast<std::size_t>(i)].box = {x, y, x + 40, y + 40};
            }
            const auto start = std::chrono::steady_clock::now();
            smoother.update(faces, tracker.update(faces));
            seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        }
        std::printf("%4d faces: %.1f microseconds a frame\n", count, 1e6 * seconds / frames);
    }
}
