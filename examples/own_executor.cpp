// A program with threads of its own lends them to the detector: Options::executor.
//
//   ./own_executor photo.ppm
#include <retinaface.hpp>
#include <thread>

#include "ppm.hpp"

namespace {

/// Starts a thread a task: the shortest executor there is. A program would hand the tasks to its pool. Tasks of one call wait for each
/// other's results only in the order of their numbers, so that running them one after the other is right, too.
class ThreadPerTask final : public retinaface::Executor {
public:
    void run(int count, retinaface::TaskRef task) override {
        std::vector<std::thread> threads;
        for (int i = 1; i < count; ++i) threads.emplace_back([&task, i] { task(i); });
        task(0);
        for (std::thread& thread : threads) thread.join();
    }
};

}  // namespace

int main(int argc, char** argv) {
    const Picture picture = read_ppm(argc > 1 ? argv[1] : "");
    if (picture.rgb.empty()) {
        std::fprintf(stderr, "usage: %s photo.ppm\n", argv[0]);
        return 2;
    }
    ThreadPerTask executor;
    retinaface::Options options;
    options.threads = 2;  // tasks that a frame may have at a time
    options.executor = &executor;
    const retinaface::Detector detector(options);
    std::printf("%zu faces\n", detector.detect({picture.rgb.data(), picture.width, picture.height}).size());
}
