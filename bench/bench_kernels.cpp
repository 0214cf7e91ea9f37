// Every kernel at every shape that this network has at VGA (or --size=WxH), for every instruction set of this CPU:
// kernel/layer/isa. An iteration is one layer of one frame. Counters: FLOP/s (of the cheapest algorithm: see Shape::macs),
// effective FLOP/s (of the direct computation), bytes/s, share of the measured peak, floor, and how often a frame runs the layer.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "context.hpp"
#include "shapes.hpp"

namespace {

using bench::Shape;
using retinaface::detail::AlignedBuffer;
namespace kernels = retinaface::kernels;
namespace layers = retinaface::layers;

std::size_t count(int a, int b, int c = 1) {
    return static_cast<std::size_t>(a) * static_cast<std::size_t>(b) * static_cast<std::size_t>(c);
}

AlignedBuffer random_values(std::size_t size, float from, float to) {
    AlignedBuffer buffer(size);
    std::minstd_rand engine(1);
    std::uniform_real_distribution<float> values(from, to);
    for (std::size_t i = 0; i < size; ++i) buffer.data()[i] = values(engine);
    return buffer;
}

/// Rows that the network makes at a time in a depthwise-separable block.
int band_rows(int width_out, int channels) {
    switch (channels) {
        case 8: return layers::Separable<8, 16>::band_rows(width_out);
        case 16: return layers::Separable<16, 32>::band_rows(width_out);
        case 32: return layers::Separable<32, 32>::band_rows(width_out);
        case 64: return layers::Separable<64, 64>::band_rows(width_out);
        case 128: return layers::Separable<128, 128>::band_rows(width_out);
        default: return layers::Separable<256, 256>::band_rows(width_out);
    }
}

constexpr float kSlope = 0.1f;

/// A map, or as many rows of one as stay in the cache: row(y) is where the network has row y at that moment.
class Rows {
public:
    Rows(int width, int height, int channels, int kept)
        : size_(count(width, channels)), kept_(std::min(height, kept)), values_(random_values(size_ * static_cast<std::size_t>(kept_), -1, 1)) {}
    float* row(int y) { return values_.data() + static_cast<std::size_t>(y % kept_) * size_; }

private:
    std::size_t size_;
    int kept_;
    AlignedBuffer values_;
};

/// frame() is one layer of one frame; specialised for every parameter struct of kernel_list.inc. (A kernel without is named by
/// check_list.)
template <class Args>
class Layer {
public:
    Layer(const Shape&, const kernels::KernelTable&) {}
    void frame() {}
};

template <>
class Layer<kernels::LoadPixelsArgs> {
public:
    Layer(const Shape& s, const kernels::KernelTable& table)
        : s_(s), table_(table), image_(count(s.width, s.height, 3), 100), rows_(table.stem_row_size(s.width, 3, 2)), dst_(3 * rows_) {}
    void frame() {
        for (int y = 0; y < s_.height; ++y)
            table_.load_pixels({image_.data() + count(y, s_.width, 3), s_.width, 3, s_.width, 3, 2, mean_,
                                dst_.data() + static_cast<std::size_t>(y % 3) * rows_});
    }

private:
    Shape s_;
    const kernels::KernelTable& table_;
    std::vector<std::uint8_t> image_;
    std::size_t rows_;
    AlignedBuffer dst_;
    float mean_[3] = {104, 117, 123};
};

template <>
class Layer<kernels::StemArgs> {
public:
    Layer(const Shape& s, const kernels::KernelTable& table)
        : s_(s), table_(table), weights_(random_values(27 * 8, -0.1f, 0.1f)), bias_(random_values(8, -1, 1)),
          dst_(s.width_out(), s.height_out(), 8, 4) {
        const std::vector<std::uint8_t> line(count(s.width, 3), 100);
        const float mean[3] = {104, 117, 123};
        for (int i = 0; i < 3; ++i) {
            staged_[i] = AlignedBuffer(table.stem_row_size(s.width, 3, 2));
            table.load_pixels({line.data(), s.width, 3, s.width, 3, 2, mean, staged_[i].data()});
            rows_[i] = staged_[i].data();
        }
    }
    void frame() {
        for (int y = 0; y < s_.height_out(); ++y)
            table_.stem({rows_, s_.width, 3, 3, 2, 8, weights_.data(), bias_.data(), kSlope, dst_.row(y)});
    }

private:
    Shape s_;
    const kernels::KernelTable& table_;
    AlignedBuffer weights_, bias_, staged_[3];
    const float* rows_[3];
    Rows dst_;
};

template <>
class Layer<kernels::DepthwiseArgs> {
public:
    Layer(const Shape& s, const kernels::KernelTable& table)
        : s_(s), table_(table), weights_(random_values(count(9, s.channels_in), -0.1f, 0.1f)),
          bias_(random_values(count(s.channels_in, 1), -1, 1)), zeros_(count(s.width, s.channels_in)),
          src_(s.width, s.height, s.channels_in, s.streamed ? 16 : s.height), band_(band_rows(s.width_out(), s.channels_in)),
          dst_(s.width_out(), s.height_out(), s.channels_in, band_) {
        std::memset(zeros_.data(), 0, zeros_.size() * sizeof(float));
    }
    void frame() {
        const auto row = [&](int y) -> const float* { return y < 0 || y >= s_.height ? zeros_.data() : src_.row(y); };
        for (int begin = 0; begin < s_.height_out(); begin += band_) {
            const int end = std::min(begin + band_, s_.height_out());
            for (int y = begin; y < end; y += 2) {
                kernels::DepthwiseArgs args{{}, std::min(2, end - y), s_.width, s_.width_out(), s_.channels_in, s_.stride,
                                            weights_.data(), bias_.data(), kSlope, dst_.row(y)};
                for (int i = 0; i < 3 + (args.rows_out - 1) * s_.stride; ++i) args.rows[i] = row(y * s_.stride - 1 + i);
                table_.dwconv3x3(args);
            }
        }
    }

private:
    Shape s_;
    const kernels::KernelTable& table_;
    AlignedBuffer weights_, bias_, zeros_;
    Rows src_;
    int band_;
    Rows dst_;
};

template <>
class Layer<kernels::GemmArgs> {
public:
    Layer(const Shape& s, const kernels::KernelTable& table)
        : s_(s), table_(table), band_(s.banded ? band_rows(s.width, s.channels_in) : s.upsample ? 1 : s.height),
          weights_(table.gemm_packed_size(s.channels_in, s.channels_out)), bias_(random_values(count(s.channels_out, 1), -1, 1)),
          src_(s.width, s.height, s.channels_in, s.banded ? band_ : s.height),
          dst_(s.width, s.height, s.channels_out, s.streamed ? 3 * band_ : s.height),
          up_(layers::strided(s.width, 2), layers::strided(s.height, 2), s.upsample ? s.channels_out : 1, s.height) {
        const AlignedBuffer weights = random_values(count(s.channels_in, s.channels_out), -0.1f, 0.1f);
        table.gemm_pack(weights.data(), s.channels_in, s.channels_out, weights_.data());
    }
    void frame() {
        for (int y = 0; y < s_.height; y += band_) {
            const int rows = std::min(band_, s_.height - y);
            table_.gemm({src_.row(y), s_.channels_in, weights_.data(), bias_.data(), dst_.row(y), s_.channels_out, rows * s_.width,
                         s_.channels_in, s_.channels_out, kSlope, s_.upsample ? up_.row(y / 2) : nullptr, s_.channels_out});
        }
    }

private:
    Shape s_;
    const kernels::KernelTable& table_;
    int band_;
    AlignedBuffer weights_, bias_;
    Rows src_, dst_, up_;
};

template <>
class Layer<kernels::Conv3x3Args> {
public:
    Layer(const Shape& s, const kernels::KernelTable& table)
        : s_(s), table_(table), weights_(table.conv3x3_packed_size(s.channels_in, s.channels_out)),
          bias_(random_values(count(s.channels_out, 1), -1, 1)),
          scratch_(table.conv3x3_scratch(s.channels_in, s.channels_out)), src_(s.width, s.height, s.channels_in, s.height),
          // The network's first sink is a slice of a map of 64 channels, its second a map of its own.
          first_(s.width, s.height, 64, s.height), second_(s.width, s.height, std::max(16, s.channels_out - s.split), s.height) {
        const AlignedBuffer weights = random_values(count(9, s.channels_in, s.channels_out), -0.1f, 0.1f);
        table.conv3x3_pack(weights.data(), s.channels_in, s.channels_out, weights_.data());
    }
    void frame() {
        const int split = s_.split == 0 ? s_.channels_out : s_.split, rest = s_.channels_out - split;
        table_.conv3x3({src_.row(0), s_.channels_in, s_.height, s_.width, s_.channels_in, s_.channels_out, weights_.data(), bias_.data(),
                        {{first_.row(0), 64, split, rest > 0 ? 0.0f : kSlope}, {rest > 0 ? second_.row(0) : nullptr, rest, rest, kSlope}},
                        0, kernels::conv3x3_tiles(s_.height, s_.width), scratch_.data()});
    }

private:
    Shape s_;
    const kernels::KernelTable& table_;
    AlignedBuffer weights_, bias_, scratch_;
    Rows src_, first_, second_;
};

template <>
class Layer<kernels::ClassLogitsArgs> {
public:
    Layer(const Shape& s, const kernels::KernelTable& table)
        : s_(s), table_(table), weights_(random_values(count(4, s.channels_in), -0.1f, 0.1f)), bias_(random_values(4, -1, 1)),
          src_(s.width, s.height, s.channels_in, s.height), dst_(s.width, s.height, 4, s.height) {}
    void frame() {
        table_.class_logits({src_.row(0), s_.width * s_.height, s_.channels_in, weights_.data(), bias_.data(), dst_.row(0)});
    }

private:
    Shape s_;
    const kernels::KernelTable& table_;
    AlignedBuffer weights_, bias_;
    Rows src_, dst_;
};

template <class Args>
void run(benchmark::State& state, const Shape& shape, const kernels::KernelTable& table, double peak) {
    Layer<Args> layer(shape, table);
    layer.frame();
    for (auto _ : state) {
        layer.frame();
        benchmark::ClobberMemory();
    }
    using benchmark::Counter;
    const double flop = 2 * shape.macs();
    const auto rate = [&](double a_frame) { return Counter(a_frame, Counter::kIsIterationInvariantRate); };
    state.counters["FLOP/s"] = rate(flop);
    state.counters["effective_FLOP/s"] = rate(2 * shape.direct_macs());
    state.counters["bytes/s"] = rate(shape.bytes());
    state.counters["bytes"] = shape.bytes();
    state.counters["times"] = shape.times;
    if (peak > 0) {
        state.counters["peak_share"] = rate(flop / peak);
        state.counters["floor_ms"] = 1e3 * flop / peak;
    }
}

/// The kernels of the list that no shape uses: a hole in this bench.
void check_list(const std::vector<Shape>& shapes) {
#define RETINAFACE_KERNEL(name, Args)                                                                           \
    if (std::none_of(shapes.begin(), shapes.end(), [](const Shape& s) { return s.kernel == #name; }))           \
        std::fprintf(stderr, "bench_kernels: shapes.hpp has no shape of the kernel " #name "\n");
#include "../kernels/kernel_list.inc"
#undef RETINAFACE_KERNEL
}

}  // namespace

int main(int argc, char** argv) {
    int width = 640, height = 480;
    for (int i = 1; i < argc; ++i) {
        if (std::sscanf(argv[i], "--size=%dx%d", &width, &height) == 2) {
            std::rotate(argv + i, argv + i + 1, argv + argc);
            --argc;
            break;
        }
    }
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
    benchmark::AddCustomContext("size", std::to_string(width) + "x" + std::to_string(height));

    const std::vector<Shape> shapes = bench::shapes(width, height);
    check_list(shapes);
    for (const bench::IsaPeak& isa : bench::available_isas()) {
        const kernels::KernelTable& table = *kernels::select(isa.isa);
        for (const Shape& shape : shapes) {
            const std::string name = shape.kernel + "/" + shape.layer + "/" + table.name;
#define RETINAFACE_KERNEL(kernel_name, Args)                                                                          \
    if (shape.kernel == #kernel_name)                                                                                 \
        benchmark::RegisterBenchmark(name.c_str(), [shape, &table, peak = isa.flops](benchmark::State& state) {        \
            run<kernels::Args>(state, shape, table, peak);                                                            \
        })->Unit(benchmark::kMillisecond);
#include "../kernels/kernel_list.inc"
#undef RETINAFACE_KERNEL
        }
    }
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
}
