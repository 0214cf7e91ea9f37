// A server's threads share one detector: it is immutable. Each has a workspace of its own; the kernels run on the calling thread.
//
//   ./many_threads a.ppm b.ppm c.ppm...
#include <atomic>
#include <retinaface.hpp>
#include <thread>

#include "ppm.hpp"

int main(int argc, char** argv) {
    const retinaface::Detector detector;  // threads = 1: as many pictures at a time as there are callers
    std::atomic<int> next{1};
    std::vector<std::size_t> faces(static_cast<std::size_t>(argc));
    const auto work = [&] {
        retinaface::Workspace workspace;
        for (int i = next++; i < argc; i = next++) {
            const Picture picture = read_ppm(argv[i]);
            if (picture.rgb.empty()) continue;
            // The try_ form: a picture that cannot be used does not end the thread.
            const auto found = detector.try_detect({picture.rgb.data(), picture.width, picture.height}, workspace);
            if (found) faces[static_cast<std::size_t>(i)] = (*found).size();
        }
    };
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < std::max(1u, std::thread::hardware_concurrency()); ++i) threads.emplace_back(work);
    for (std::thread& thread : threads) thread.join();
    for (int i = 1; i < argc; ++i) std::printf("%s: %zu faces\n", argv[i], faces[static_cast<std::size_t>(i)]);
}
