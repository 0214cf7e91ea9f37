// Every kernel at every shape that the network has at VGA (or --size=WxH), for every instruction set of this CPU: kernel/layer/isa. An
// iteration is one layer of one frame. Counters: FLOP/s (of the cheapest algorithm: see Shape::macs), effective FLOP/s (of the direct
// computation), bytes/s, share of the measured peak, floor, and how often a frame runs the layer.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "context.hpp"
#include "shapes.hpp"

namespace {

using bench::Shape;
using retinaface::Isa;
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
        : size_(count(width, channels)),
          kept_(std::min(height, kept)),
          values_(random_values(size_ * static_cast<std::size_t>(kept_), -1, 1)) {}
    float* row(int y) { return values_.data() + static_cast<std::size_t>(y % kept_) * size_; }

private:
    std::size_t size_;
    int kept_;
    AlignedBuffer values_;
};

/// One layer of one frame, on memory as the network has it.
class Layer {
public:
    virtual ~Layer() = default;
    virtual void frame() = 0;
};

class LoadPixels final : public Layer {
public:
    LoadPixels(const Shape& s, Isa isa)
        : s_(s),
          kernel_(kernels::find<kernels::LoadPixels<3, 2, 8>>(isa)),
          image_(s.in.size(), 100),
          row_(kernel_.row_size(s.in.width)),
          dst_(3 * row_) {}
    void frame() override {
        for (int y = 0; y < s_.in.height; ++y)
            kernel_.run({image_.data() + count(y, s_.in.width, 3), s_.in.width, 3, s_.in.width, mean_,
                         dst_.data() + static_cast<std::size_t>(y % 3) * row_});
    }

private:
    Shape s_;
    kernels::LoadPixels<3, 2, 8> kernel_;
    std::vector<std::uint8_t> image_;
    std::size_t row_;
    AlignedBuffer dst_;
    float mean_[3] = {104, 117, 123};
};

class Stem final : public Layer {
public:
    Stem(const Shape& s, Isa isa)
        : s_(s),
          kernel_(kernels::find<kernels::Stem<3, 2, 8>>(isa)),
          weights_(random_values(27 * 8, -0.1f, 0.1f)),
          bias_(random_values(8, -1, 1)),
          dst_(s.out.width, s.out.height, 8, 4) {
        const auto load = kernels::find<kernels::LoadPixels<3, 2, 8>>(isa);
        const std::vector<std::uint8_t> line(count(s.in.width, 3), 100);
        const float mean[3] = {104, 117, 123};
        for (int i = 0; i < 3; ++i) {
            staged_[i] = AlignedBuffer(load.row_size(s.in.width));
            load.run({line.data(), s.in.width, 3, s.in.width, mean, staged_[i].data()});
            rows_[i] = staged_[i].data();
        }
    }
    void frame() override {
        for (int y = 0; y < s_.out.height; ++y)
            kernel_.run({rows_, s_.in.width, 3, weights_.data(), bias_.data(), kSlope, dst_.row(y)});
    }

private:
    Shape s_;
    kernels::Stem<3, 2, 8> kernel_;
    AlignedBuffer weights_, bias_, staged_[3];
    const float* rows_[3];
    Rows dst_;
};

class Depthwise final : public Layer {
public:
    Depthwise(const Shape& s, Isa isa)
        : s_(s),
          kernel_(kernels::find<kernels::DepthwiseConv3x3>(isa)),
          weights_(random_values(count(9, s.in.channels), -0.1f, 0.1f)),
          bias_(random_values(count(s.in.channels, 1), -1, 1)),
          zeros_(count(s.in.width, s.in.channels)),
          src_(s.in.width, s.in.height, s.in.channels, s.streamed ? 16 : s.in.height),
          band_(band_rows(s.out.width, s.in.channels)),
          dst_(s.out.width, s.out.height, s.in.channels, band_) {
        std::memset(zeros_.data(), 0, zeros_.size() * sizeof(float));
    }
    void frame() override {
        const auto row = [&](int y) -> const float* { return y < 0 || y >= s_.in.height ? zeros_.data() : src_.row(y); };
        for (int begin = 0; begin < s_.out.height; begin += band_) {
            const int end = std::min(begin + band_, s_.out.height);
            for (int y = begin; y < end; y += 2) {
                kernels::DepthwiseConv3x3Args args{{},        std::min(2, end - y), s_.in.width,  s_.out.width, s_.in.channels,
                                                   s_.stride, weights_.data(),      bias_.data(), kSlope,       dst_.row(y)};
                for (int i = 0; i < 3 + (args.rows_out - 1) * s_.stride; ++i) args.rows[i] = row(y * s_.stride - 1 + i);
                kernel_.run(args);
            }
        }
    }

private:
    Shape s_;
    kernels::DepthwiseConv3x3 kernel_;
    AlignedBuffer weights_, bias_, zeros_;
    Rows src_;
    int band_;
    Rows dst_;
};

class Gemm final : public Layer {
public:
    Gemm(const Shape& s, Isa isa)
        : s_(s),
          kernel_(kernels::find<kernels::Gemm>(isa)),
          band_(s.banded      ? band_rows(s.in.width, s.in.channels)
                : s.upsampled ? 1
                              : s.in.height),
          weights_(kernel_.packed_size(s.in.channels, s.out.channels)),
          bias_(random_values(count(s.out.channels, 1), -1, 1)),
          src_(s.in.width, s.in.height, s.in.channels, s.banded ? band_ : s.in.height),
          dst_(s.in.width, s.in.height, s.out.channels, s.streamed ? 3 * band_ : s.in.height),
          up_(layers::strided(s.in.width, 2), layers::strided(s.in.height, 2), s.upsampled ? s.out.channels : 1, s.in.height) {
        const AlignedBuffer weights = random_values(count(s.in.channels, s.out.channels), -0.1f, 0.1f);
        kernel_.pack(weights.data(), s.in.channels, s.out.channels, weights_.data());
    }
    void frame() override {
        for (int y = 0; y < s_.in.height; y += band_) {
            const int rows = std::min(band_, s_.in.height - y);
            kernel_.run({src_.row(y), s_.in.channels, weights_.data(), bias_.data(), dst_.row(y), s_.out.channels,
                         rows * s_.in.width, s_.in.channels, s_.out.channels, kSlope, s_.upsampled ? up_.row(y / 2) : nullptr,
                         s_.out.channels});
        }
    }

private:
    Shape s_;
    kernels::Gemm kernel_;
    int band_;
    AlignedBuffer weights_, bias_;
    Rows src_, dst_, up_;
};

class Conv3x3 final : public Layer {
public:
    Conv3x3(const Shape& s, Isa isa)
        : s_(s),
          kernel_(kernels::find<kernels::Conv3x3>(isa)),
          weights_(kernel_.packed_size(s.in.channels, s.out.channels)),
          bias_(random_values(count(s.out.channels, 1), -1, 1)),
          scratch_(kernel_.scratch(s.in.channels, s.out.channels)),
          src_(s.in.width, s.in.height, s.in.channels, s.in.height),
          // The network's first sink is a slice of a map of 64 channels, its second a map of its own.
          first_(s.in.width, s.in.height, 64, s.in.height),
          second_(s.in.width, s.in.height, std::max(16, s.out.channels - s.first_channels), s.in.height) {
        const AlignedBuffer weights = random_values(count(9, s.in.channels, s.out.channels), -0.1f, 0.1f);
        kernel_.pack(weights.data(), s.in.channels, s.out.channels, weights_.data());
    }
    void frame() override {
        const int first = s_.first_channels == 0 ? s_.out.channels : s_.first_channels, rest = s_.out.channels - first;
        kernel_.run(
            {src_.row(0),
             s_.in.channels,
             s_.in.height,
             s_.in.width,
             s_.in.channels,
             s_.out.channels,
             weights_.data(),
             bias_.data(),
             {{first_.row(0), 64, first, rest > 0 ? 0.0f : kSlope}, {rest > 0 ? second_.row(0) : nullptr, rest, rest, kSlope}},
             0,
             kernels::conv3x3_tiles(s_.in.height, s_.in.width),
             scratch_.data()});
    }

private:
    Shape s_;
    kernels::Conv3x3 kernel_;
    AlignedBuffer weights_, bias_, scratch_;
    Rows src_, first_, second_;
};

class ClassLogits final : public Layer {
public:
    ClassLogits(const Shape& s, Isa isa)
        : s_(s),
          kernel_(kernels::find<kernels::ClassLogits<4>>(isa)),
          weights_(random_values(count(4, s.in.channels), -0.1f, 0.1f)),
          bias_(random_values(4, -1, 1)),
          src_(s.in.width, s.in.height, s.in.channels, s.in.height),
          dst_(s.in.width, s.in.height, 4, s.in.height) {}
    void frame() override {
        kernel_.run({src_.row(0), s_.in.pixels(), s_.in.channels, weights_.data(), bias_.data(), dst_.row(0)});
    }

private:
    Shape s_;
    kernels::ClassLogits<4> kernel_;
    AlignedBuffer weights_, bias_;
    Rows src_, dst_;
};

std::unique_ptr<Layer> make_layer(const Shape& shape, Isa isa) {
    if (shape.kernel == "load_pixels") return std::make_unique<LoadPixels>(shape, isa);
    if (shape.kernel == "stem") return std::make_unique<Stem>(shape, isa);
    if (shape.kernel == "dwconv3x3") return std::make_unique<Depthwise>(shape, isa);
    if (shape.kernel == "gemm") return std::make_unique<Gemm>(shape, isa);
    if (shape.kernel == "conv3x3") return std::make_unique<Conv3x3>(shape, isa);
    if (shape.kernel == "class_logits") return std::make_unique<ClassLogits>(shape, isa);
    throw std::runtime_error("bench_kernels does not know the network's kernel " + shape.kernel);
}

void run(benchmark::State& state, const Shape& shape, Isa isa, double peak) {
    const std::unique_ptr<Layer> layer = make_layer(shape, isa);
    layer->frame();
    for (auto _ : state) {
        layer->frame();
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

    const retinaface::Weights weights =
        retinaface::Weights::load(RETINAFACE_SOURCE_DIR "/tests/data/seeded_mobilenet025.safetensors");
    for (const bench::IsaPeak& isa : bench::available_isas()) {
        for (const Shape& shape : bench::shapes(weights, width, height)) {
            const std::string name = shape.kernel + "/" + shape.name + "/" + retinaface::to_string(isa.isa);
            benchmark::RegisterBenchmark(name.c_str(), [shape, isa](benchmark::State& state) {
                run(state, shape, isa.isa, isa.flops);
            })->Unit(benchmark::kMillisecond);
        }
    }
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
}
