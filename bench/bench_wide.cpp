// The wide networks' kernels.
//
//   bench_wide network FILE [--size WxH] [--isa NAME]    where a frame's time goes: each operation in the frame, one thread, against the
//                                                        measured peak; FILE is a weights file of any architecture
//   bench_wide deform [--isa NAME]                       deformable 3 x 3, 256 channels, 80 x 80, against our own direct 3 x 3
//   bench_wide memory FILE [--size WxH]                  what loading the file, and then a detection, take at their peak
//
// The floor of an operation is the multiply-adds of its cheapest algorithm (Winograd F(4 x 4) for a 3 x 3 of stride 1, whichever form
// it runs in) at the measured peak.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "peak.hpp"
#include "retinaface/passes/describe.hpp"
#include "retinaface/resnet.hpp"

namespace rf = retinaface;
using Clock = std::chrono::steady_clock;

namespace {

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

struct Arguments {
    std::string file;
    int width = 640, height = 480;
    rf::Isa isa = rf::Isa::automatic;
};

std::vector<std::uint8_t> synthetic_image(int width, int height) {
    std::vector<std::uint8_t> bytes(3 * static_cast<std::size_t>(width) * static_cast<std::size_t>(height));
    std::uint32_t state = 1;
    for (std::uint8_t& byte : bytes) {
        state = state * 1664525u + 1013904223u;
        byte = static_cast<std::uint8_t>(state >> 24);
    }
    return bytes;
}

/// Multiply-adds of the cheapest algorithm.
double cheapest(const rf::passes::Description& d) {
    const bool winograd = d.kernel_size == 3 && d.stride == 1 && (d.kernel == "conv3x3" || d.kernel == "small_conv3x3");
    return static_cast<double>(d.multiply_adds) / (winograd ? 4 : 1);
}

template <class Architecture>
int network(const rf::Weights& weights, const Arguments& arguments) {
    rf::Options options;
    options.isa = arguments.isa;
    const rf::BasicDetector<Architecture> detector(weights, options);
    const rf::models::RetinaFace<Architecture> net(weights, detector.profile(), detector.isa());
    const std::vector<std::uint8_t> bytes = synthetic_image(arguments.width, arguments.height);
    const rf::ImageView image{bytes.data(), arguments.width, arguments.height};
    const rf::InputSize input =
        rf::detail::input_size(image.width, image.height, rf::SizePolicy::original(), detector.profile().size_multiple).value();
    const rf::layers::Pixels pixels = rf::stages::pixels_of(image, input, detector.profile());
    rf::passes::Plan plan;
    static_cast<const rf::models::Network&>(net).plan(pixels.shape(), 1, plan);
    rf::detail::AlignedArray<std::byte> arena;
    arena.reserve(plan.size);

    std::vector<rf::passes::Description> list;
    for (const rf::passes::Description& d : rf::passes::describe(net, pixels.shape().width, pixels.shape().height))
        if (!d.on_demand) list.push_back(d);
    if (list.size() != plan.operations.size()) throw std::runtime_error("this network has fused layers: see bench_kernels");

    std::vector<std::vector<double>> times(list.size());
    std::vector<double> whole;
    const auto begin = Clock::now();
    for (int frame = 0; frame < 4 || (seconds_since(begin) < 20 && frame < 30); ++frame) {
        const auto start = Clock::now();
        for (std::size_t i = 0; i < list.size(); ++i) {
            const auto before = Clock::now();
            rf::passes::run_units(plan, plan.operations[i], 0, plan.operations[i].work.units, pixels, arena.data(), 0);
            if (frame > 0) times[i].push_back(seconds_since(before));
        }
        if (frame > 0) whole.push_back(seconds_since(start));
    }
    const double peak = bench::measured_peak(detector.isa());

    std::printf("%s, %d x %d, %s, one thread, measured peak %.0f GFLOP/s; median of %zu frames: %.1f ms; arena %.1f MB\n\n",
                Architecture::kName, arguments.width, arguments.height, rf::to_string(detector.isa()), peak / 1e9, whole.size(),
                1e3 * median(whole), static_cast<double>(plan.size) / 1e6);
    std::printf(
        "| kernel | layer | in | out | ms | floor ms | GFLOP/s (direct) | share of peak |\n|---|---|---|---|---|---|---|---|\n");
    struct Sum {
        int count = 0;
        double ms = 0, floor = 0;
    };
    std::map<std::string, Sum> sums;
    Sum all;
    for (std::size_t i = 0; i < list.size(); ++i) {
        const rf::passes::Description& d = list[i];
        const double ms = 1e3 * median(times[i]), floor = 1e3 * 2 * cheapest(d) / peak;
        std::printf("| %s | %s | %dx%dx%d | %dx%dx%d | %.3f | %.3f | %.0f | %.0f %% |\n", d.kernel.c_str(), d.name.c_str(),
                    d.in.width, d.in.height, d.in.channels, d.out.width, d.out.height, d.out.channels, ms, floor,
                    2e-6 * static_cast<double>(d.multiply_adds) / ms, 100 * floor / ms);
        const std::string kind = d.kernel == "wide_conv" || d.kernel == "deform_conv"
                                     ? d.kernel + " " + std::to_string(d.kernel_size) + "x" + std::to_string(d.kernel_size) +
                                           " s" + std::to_string(d.stride)
                                     : d.kernel;
        for (Sum* sum : {&sums[kind], &all}) {
            ++sum->count;
            sum->ms += ms;
            sum->floor += floor;
        }
    }
    std::printf(
        "\n| kernel | operations | ms a frame | floor ms | share of peak | share of the frame |\n|---|---|---|---|---|---|\n");
    for (const auto& [kind, sum] : sums)
        std::printf("| %s | %d | %.1f | %.1f | %.0f %% | %.0f %% |\n", kind.c_str(), sum.count, sum.ms, sum.floor,
                    100 * sum.floor / sum.ms, 100 * sum.ms / all.ms);
    std::printf("| **sum** | %d | **%.1f** | **%.1f** | %.0f %% | |\n", all.count, all.ms, all.floor, 100 * all.floor / all.ms);
    return 0;
}

int network(const Arguments& arguments) {
    const rf::Weights weights = rf::Weights::load(arguments.file);
    const std::string& architecture = weights.metadata("architecture");
    using namespace rf::models;
    if (architecture == ResNet50::kName) return network<ResNet50>(weights, arguments);
    if (architecture == ResNet50Preactivation::kName) return network<ResNet50Preactivation>(weights, arguments);
    if (architecture == ResNet152Deformable::kName) return network<ResNet152Deformable>(weights, arguments);
    throw std::runtime_error("architecture " + architecture + " is not a wide network: see bench_kernels");
}

rf::detail::AlignedBuffer random_values(std::size_t size, float from, float to) {
    rf::detail::AlignedBuffer buffer(size);
    std::uint32_t state = 1;
    for (std::size_t i = 0; i < size; ++i) {
        state = state * 1664525u + 1013904223u;
        buffer.data()[i] = from + (to - from) * static_cast<float>(state >> 8) / 16777216.0f;
    }
    return buffer;
}

/// Deformable 3 x 3 (version 2, offsets up to +-`reach` pixels) and the direct 3 x 3 of the same shape, in turns.
int deform(const Arguments& arguments) {
    constexpr int kSide = 80, kChannels = 256, kTaps = 9, kPitch = 32;
    const rf::Isa isa = rf::resolved(arguments.isa);
    const auto kernel = rf::kernels::find<rf::kernels::WideConv>(isa);
    const std::size_t map = std::size_t{kSide} * kSide * kChannels;
    const rf::detail::AlignedBuffer source = random_values(map, -1, 1), bias = random_values(kChannels, -1, 1);
    const rf::detail::AlignedBuffer weights = random_values(std::size_t{kTaps} * kChannels * kChannels, -0.1f, 0.1f);
    rf::detail::AlignedBuffer packed(kernel.packed_size(3, kChannels, kChannels)), scratch(kernel.scratch(3, kChannels));
    rf::detail::AlignedBuffer result(map);
    kernel.pack(weights.data(), 3, kChannels, kChannels, packed.data());
    rf::kernels::WideConvArgs args{};
    args.src = source.data();
    args.height = args.width = args.width_out = kSide;
    args.channels = kChannels;
    args.kernel = 3;
    args.stride = 1;
    args.outputs[0] = {packed.data(), bias.data(), result.data(), kChannels, kChannels, 0.0f, nullptr, 0, nullptr, 0, 0};
    args.pixel_end = kSide * kSide;
    args.scratch = scratch.data();

    const double flop = 2.0 * kTaps * kChannels * kChannels * kSide * kSide, peak = bench::measured_peak(isa);
    std::printf("3 x 3, %d channels, %d x %d, %s, one thread, measured peak %.0f GFLOP/s\n\n", kChannels, kSide, kSide,
                rf::to_string(isa), peak / 1e9);
    std::printf(
        "| offsets | direct ms | deformable ms | ratio (median of rounds) | share of peak, direct | deformable "
        "|\n|---|---|---|---|---|---|\n");
    for (const float reach : {1.0f, 6.0f}) {
        // Offsets, then logits.
        rf::detail::AlignedBuffer offsets = random_values(std::size_t{kSide} * kSide * kPitch, -reach, reach);
        for (std::size_t i = 0; i < std::size_t{kSide} * kSide; ++i)
            for (std::size_t j = 2 * kTaps; j < kPitch; ++j) offsets.data()[i * kPitch + j] *= 2 / reach;
        std::vector<double> direct, deformed, ratios;
        for (int round = 0; round < 21; ++round) {
            const auto timed = [&](const float* with) {
                args.offsets = with;
                args.offset_stride = kPitch;
                args.modulated = with != nullptr;
                const auto start = Clock::now();
                kernel.run(args);
                return seconds_since(start);
            };
            const double a = timed(nullptr), b = timed(offsets.data());
            if (round == 0) continue;
            direct.push_back(a);
            deformed.push_back(b);
            ratios.push_back(b / a);
        }
        std::printf("| up to +-%g px | %.1f | %.1f | %.2f | %.0f %% | %.0f %% |\n", static_cast<double>(reach),
                    1e3 * median(direct), 1e3 * median(deformed), median(ratios), 100 * flop / peak / median(direct),
                    100 * flop / peak / median(deformed));
    }
    return 0;
}

/// A value in KiB of /proc/self/status, or -1.
long status_kib(const std::string& key) {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);)
        if (line.compare(0, key.size() + 1, key + ":") == 0) return std::strtol(line.c_str() + key.size() + 1, nullptr, 10);
    return -1;
}

int memory(const Arguments& arguments) {
    const double file = static_cast<double>(std::ifstream(arguments.file, std::ios::binary | std::ios::ate).tellg()) / 1e6;
    const auto mb = [](long kib) { return static_cast<double>(kib) * 1024 / 1e6; };
    const std::vector<std::uint8_t> bytes = synthetic_image(arguments.width, arguments.height);
    rf::Options options;
    options.isa = arguments.isa;
    const long base = status_kib("VmRSS");
    const auto start = Clock::now();
    const rf::AnyNetworkDetector detector(rf::Weights::open(arguments.file), options);
    const double loading = seconds_since(start);
    const double peak = mb(status_kib("VmHWM") - base), kept = mb(status_kib("VmRSS") - base);
    std::printf("file %.1f MB; loading %.2f s, peak %.1f MB (%.2f x the file), kept %.1f MB (%.2f x)\n", file, loading, peak,
                peak / file, kept, kept / file);
    rf::Workspace workspace;
    std::vector<double> times;
    for (int i = 0; i < 4; ++i) {
        const auto before = Clock::now();
        detector.detect({bytes.data(), arguments.width, arguments.height}, workspace);
        times.push_back(seconds_since(before));
    }
    std::printf("detection at %d x %d, one thread: %.0f ms; peak %.1f MB in all\n", arguments.width, arguments.height,
                1e3 * median(std::vector<double>(times.begin() + 1, times.end())), mb(status_kib("VmHWM") - base));
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        Arguments arguments;
        const std::string command = argc > 1 ? argv[1] : "";
        int at = 2;
        if (command != "deform") {
            if (argc < 3)
                throw std::runtime_error("usage: bench_wide network FILE | deform | memory FILE [--size WxH] [--isa NAME]");
            arguments.file = argv[at++];
        }
        for (; at + 1 < argc; at += 2) {
            const std::string option = argv[at];
            const bool fits = option == "--size"  ? std::sscanf(argv[at + 1], "%dx%d", &arguments.width, &arguments.height) == 2
                              : option == "--isa" ? rf::parse_isa(argv[at + 1], arguments.isa)
                                                  : false;
            if (!fits) throw std::runtime_error("no such option or value: " + option + " " + argv[at + 1]);
        }
        if (command == "network") return network(arguments);
        if (command == "deform") return deform(arguments);
        if (command == "memory") return memory(arguments);
        throw std::runtime_error("no such command: " + command);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "bench_wide: %s\n", error.what());
        return 1;
    }
}
