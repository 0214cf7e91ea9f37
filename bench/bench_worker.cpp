// The worker process of compare.py: one detector, one image, commands on standard input, one line of JSON a command on standard
// output. Timing happens here, so that pipes and the other engines stay out of it.
//
//   bench_worker --model F --image RAW --width W --height H [--threads N] [--isa I] [--threshold T]
//
//   run network N    times N forward passes: every raw output, as the other engines compute
//   run detector N   times N whole detections: 8-bit pixels in, faces out
//   outputs FILE     writes class logits, boxes and landmarks of all anchors, one after the other, as floats
//   memory           peak memory of loading the weights and the first detection, and what to subtract from it
//   quit
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <retinaface.hpp>
#include <retinaface/resnet.hpp>

namespace {

using Detector = retinaface::AnyNetworkDetector;
using retinaface::ImageView;
using retinaface::Isa;
using retinaface::Options;
using retinaface::Weights;
using retinaface::Workspace;

Isa parse_isa(const std::string& name) {
    Isa isa = Isa::automatic;
    if (!retinaface::parse_isa(name.c_str(), isa)) throw std::runtime_error("unknown instruction set " + name);
    return isa;
}

/// A value in KiB of /proc/self/status, or -1.
long status_kib(const char* key) {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);)
        if (line.compare(0, std::string(key).size() + 1, std::string(key) + ":") == 0)
            return std::strtol(line.c_str() + std::string(key).size() + 1, nullptr, 10);
    return -1;
}

/// Sets the peak (VmHWM) back to the present use.
void reset_peak() { std::ofstream("/proc/self/clear_refs") << "5"; }

template <class Body>
double milliseconds(Body&& body) {
    const auto start = std::chrono::steady_clock::now();
    body();
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

int work(std::map<std::string, std::string> arguments) {
    const auto argument = [&](const char* name, const char* fallback) {
        const auto found = arguments.find(name);
        if (found != arguments.end()) return found->second;
        if (fallback == nullptr) throw std::runtime_error(std::string(name) + " is missing");
        return std::string(fallback);
    };
    const std::string model = argument("--model", nullptr);
    const int width = std::stoi(argument("--width", nullptr)), height = std::stoi(argument("--height", nullptr));
    // Read in one piece: what a growing buffer leaves behind would hide memory of ours.
    std::vector<char> bytes(3 * static_cast<std::size_t>(width) * static_cast<std::size_t>(height));
    std::ifstream file(argument("--image", nullptr), std::ios::binary);
    if (!file.read(bytes.data(), static_cast<std::streamsize>(bytes.size())))
        throw std::runtime_error("the image is not width x height x 3 bytes");
    const ImageView image(reinterpret_cast<const unsigned char*>(bytes.data()), width, height);

    Options options;
    options.threads = std::stoi(argument("--threads", "1"));
    options.isa = parse_isa(argument("--isa", "auto"));
    options.score_threshold = std::stof(argument("--threshold", "0.5"));

    // Before anything of ours is touched: the image is there, weights and detector are not.
    const long base_kib = status_kib("VmRSS");
    reset_peak();
    const Detector detector(Weights::load(model), options);
    auto workspace = std::make_unique<Workspace>();
    const std::size_t faces = detector.detect(image, *workspace).size();
    const long peak_kib = status_kib("VmHWM");
    const long weights_kib = static_cast<long>(std::ifstream(model, std::ios::binary | std::ios::ate).tellg() / 1024);

    std::printf(
        "{\"engine\": \"retinaface\", \"version\": \"%d.%d.%d\", \"isa\": \"%s\", \"faces\": %zu, \"compiler\": \"%s\"}\n",
        RETINAFACE_VERSION_MAJOR, RETINAFACE_VERSION_MINOR, RETINAFACE_VERSION_PATCH, retinaface::to_string(detector.isa()),
        faces,
#if defined(__clang__)
        "clang " __clang_version__
#else
        "gcc " __VERSION__
#endif
    );
    std::fflush(stdout);

    for (std::string line; std::getline(std::cin, line);) {
        std::istringstream words(line);
        std::string command, what;
        words >> command >> what;
        if (command == "quit") break;
        if (command == "run") {
            int count = 0;
            words >> count;
            std::string times;
            // One run warms the caches up again: another engine ran meanwhile.
            for (int i = -1; i < count; ++i) {
                const double ms = what == "network" ? milliseconds([&] { detector.forward(image, *workspace); })
                                                    : milliseconds([&] { detector.detect(image, *workspace); });
                if (i >= 0) times += (times.empty() ? "" : ", ") + std::to_string(ms);
            }
            std::printf("{\"times\": [%s]}\n", times.c_str());
        } else if (command == "outputs") {
            const retinaface::RawOutputs raw = detector.forward(image, *workspace);
            std::ofstream out(what, std::ios::binary);
            for (const retinaface::Span<const float> values : {raw.class_logits, raw.boxes, raw.landmarks})
                out.write(reinterpret_cast<const char*>(values.data()),
                          static_cast<std::streamsize>(values.size() * sizeof(float)));
            std::printf("{\"anchors\": %d}\n", raw.anchors.size());
        } else if (command == "memory") {
            std::printf("{\"peak_kib\": %ld, \"base_kib\": %ld, \"weights_kib\": %ld}\n", peak_kib, base_kib, weights_kib);
        } else {
            std::printf("{\"error\": \"unknown command\"}\n");
        }
        std::fflush(stdout);
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        std::map<std::string, std::string> arguments;
        for (int i = 1; i + 1 < argc; i += 2) arguments[argv[i]] = argv[i + 1];
        return work(arguments);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "bench_worker: %s\n", error.what());
        return 1;
    }
}
