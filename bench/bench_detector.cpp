// The whole detector at QVGA, VGA, HD and 4K x threads x instruction set: detector/size/threads/isa. An iteration is one frame,
// 8-bit pixels in, faces out. Counters split its median: pre_ms (pixels staged as floats: part of the network's first pass, so
// timed apart, on one thread), post_ms (selection, decoding and suppression, timed on finished outputs), network_ms
// (what is left); and the number of faces.
//
// batch/size/how/threads/isa: 32 pictures, given to detect() together or one by one; compare with --benchmark_repetitions=9
// --benchmark_enable_random_interleaving=true.
//
// RETINAFACE_BENCH_MODEL names the weights file (default: the tests' seeded network), RETINAFACE_BENCH_IMAGE a binary PPM that is
// repeated over the input (default: a synthetic image). RETINAFACE_BENCH_THREADS lists the numbers of threads (default: 1,2).
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "context.hpp"
#include "shapes.hpp"

namespace {

using namespace retinaface;
using Clock = std::chrono::steady_clock;

std::string environment(const char* name, const std::string& fallback) {
    const char* value = std::getenv(name);
    return value != nullptr ? value : fallback;
}

struct Picture {
    int width = 0, height = 0;
    std::vector<std::uint8_t> rgb;
};

Picture read_ppm(const std::string& path) {
    Picture picture;
    std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
    int maximum = 0;
    if (file != nullptr && std::fscanf(file.get(), "P6 %d %d %d", &picture.width, &picture.height, &maximum) == 3 &&
        maximum == 255 && picture.width > 0 && picture.height > 0 && std::fgetc(file.get()) != EOF) {
        picture.rgb.resize(3 * static_cast<std::size_t>(picture.width) * static_cast<std::size_t>(picture.height));
        if (std::fread(picture.rgb.data(), 1, picture.rgb.size(), file.get()) == picture.rgb.size()) return picture;
    }
    std::fprintf(stderr, "bench_detector: %s is no binary PPM\n", path.c_str());
    std::exit(1);
}

/// The picture of the environment repeated over width x height, or waves.
std::vector<std::uint8_t> make_image(int width, int height) {
    static const std::string path = environment("RETINAFACE_BENCH_IMAGE", "");
    static const Picture picture = path.empty() ? Picture{} : read_ppm(path);
    std::vector<std::uint8_t> rgb;
    rgb.reserve(3 * static_cast<std::size_t>(width) * static_cast<std::size_t>(height));
    for (int y = 0; y < height; ++y) {
        for (int x = 0; x < width; ++x) {
            for (int c = 0; c < 3; ++c) {
                if (!picture.rgb.empty())
                    rgb.push_back(
                        picture.rgb[static_cast<std::size_t>((y % picture.height * picture.width + x % picture.width) * 3 + c)]);
                else
                    rgb.push_back(static_cast<std::uint8_t>(127 + 60 * std::sin(x / (17.0 + 6 * c) + c) +
                                                            60 * std::cos(y / (23.0 - 5 * c))));
            }
        }
    }
    return rgb;
}

const Weights& weights() {
    static const Weights loaded =
        Weights::load(environment("RETINAFACE_BENCH_MODEL", RETINAFACE_SOURCE_DIR "/tests/data/seeded_mobilenet025.safetensors"));
    return loaded;
}

/// Median of some calls, in milliseconds.
template <class Body>
double median_ms(int calls, Body&& body) {
    std::vector<double> times;
    for (int i = 0; i < calls; ++i) {
        const auto start = Clock::now();
        body();
        times.push_back(std::chrono::duration<double, std::milli>(Clock::now() - start).count());
    }
    std::nth_element(times.begin(), times.begin() + calls / 2, times.end());
    return times[static_cast<std::size_t>(calls / 2)];
}

void run(benchmark::State& state, const bench::Size& size, int threads, Isa isa) {
    const std::vector<std::uint8_t> rgb = make_image(size.width, size.height);
    const ImageView image(rgb.data(), size.width, size.height);
    Options options;
    options.threads = threads;
    options.isa = isa;
    const Detector detector(weights(), options);
    Workspace workspace, outputs_workspace, decode_workspace;
    const RawOutputs outputs = detector.forward(image, outputs_workspace);
    std::size_t faces = detector.detect(image, workspace).size();

    for (auto _ : state) {
        faces = detector.detect(image, workspace).size();
        benchmark::DoNotOptimize(faces);
    }

    const int calls = std::clamp(static_cast<int>(state.iterations()), 3, 31);
    const double total_ms = median_ms(calls, [&] { detector.detect(image, workspace); });
    const double post_ms = median_ms(calls, [&] { detector.decode(outputs, decode_workspace); });
    const auto load = kernels::find<kernels::LoadPixels<3, 2, 8>>(isa);
    detail::AlignedBuffer staged(load.row_size(size.width));
    const float mean[3] = {104, 117, 123};
    const double staging_ms = median_ms(calls, [&] {
        for (int y = 0; y < size.height; ++y) load.run({image.row(y), size.width, 3, size.width, mean, staged.data()});
    });
    const double pre_ms = staging_ms / threads;
    state.counters["pre_ms"] = pre_ms;
    state.counters["network_ms"] = total_ms - pre_ms - post_ms;
    state.counters["post_ms"] = post_ms;
    state.counters["total_ms"] = total_ms;
    state.counters["faces"] = static_cast<double>(faces);
    state.counters["fps"] = benchmark::Counter(1, benchmark::Counter::kIsIterationInvariantRate);
}

/// A batch of 32: an iteration is all of them, side by side or one after the other.
void run_batch(benchmark::State& state, const bench::Size& size, int threads, bool side_by_side, Isa isa) {
    const std::vector<std::uint8_t> rgb = make_image(size.width, size.height);
    const std::vector<ImageView> images(32, ImageView(rgb.data(), size.width, size.height));
    Options options;
    options.threads = threads;
    options.isa = isa;
    const Detector detector(weights(), options);
    std::size_t faces = 0;
    for (auto _ : state) {
        if (side_by_side)
            faces = detector.detect(Span<const ImageView>(images)).size();
        else
            for (const ImageView& image : images) faces = detector.detect(image).size();
        benchmark::DoNotOptimize(faces);
    }
    state.counters["fps"] = benchmark::Counter(32, benchmark::Counter::kIsIterationInvariantRate);
}

void run_camera(benchmark::State& state, PixelFormat format, Rotation rotation, Isa isa) {
    constexpr int kWidth = 640, kHeight = 480;
    const std::vector<std::uint8_t> bytes = make_image(kWidth, kHeight);  // more than a frame has
    const ImageView frame = format == PixelFormat::nv12 ? nv12_view(bytes.data(), kWidth, kHeight, YuvRange::video)
                                                        : yuyv_view(bytes.data(), kWidth, kHeight, YuvRange::video);
    const detail::YuvKernels yuv(isa);
    detail::Upright upright;
    for (auto _ : state) benchmark::DoNotOptimize(upright.convert(frame, rotation, {nullptr, 1}, yuv).data);
}

}  // namespace

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
    benchmark::AddCustomContext("model", environment("RETINAFACE_BENCH_MODEL", "tests/data/seeded_mobilenet025.safetensors"));
    std::vector<int> thread_counts;
    std::istringstream list(environment("RETINAFACE_BENCH_THREADS", "1,2"));
    for (std::string word; std::getline(list, word, ',');) thread_counts.push_back(std::atoi(word.c_str()));
    for (const bench::IsaPeak& isa : bench::available_isas()) {
        for (const bench::Size& size : bench::kSizes) {
            for (const int threads : thread_counts) {
                const std::string name =
                    std::string("detector/") + size.name + "/threads:" + std::to_string(threads) + "/" + to_string(isa.isa);
                benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) { run(state, size, threads, isa.isa); })
                    ->Unit(benchmark::kMillisecond)
                    ->UseRealTime();
            }
        }
        for (const int threads : thread_counts) {
            for (const bool side_by_side : {true, false}) {
                const std::string name = std::string("batch/vga/") + (side_by_side ? "detect_all" : "one_by_one") +
                                         "/threads:" + std::to_string(threads) + "/" + to_string(isa.isa);
                benchmark::RegisterBenchmark(
                    name.c_str(),
                    [=](benchmark::State& state) { run_batch(state, bench::kSizes[1], threads, side_by_side, isa.isa); })
                    ->Unit(benchmark::kMillisecond)
                    ->UseRealTime();
            }
        }
        for (const PixelFormat format : {PixelFormat::nv12, PixelFormat::yuyv}) {
            for (const Rotation rotation : {Rotation::none, Rotation::clockwise_90}) {
                const std::string name = std::string("camera/") + (format == PixelFormat::nv12 ? "nv12/" : "yuyv/") +
                                         std::to_string(static_cast<int>(rotation)) + "/" + to_string(isa.isa);
                benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
                    run_camera(state, format, rotation, isa.isa);
                })->Unit(benchmark::kMillisecond);
            }
        }
    }
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
}
