// Kernels of the set that the compiler's flags select, on data that stays in the L1 cache, one at a time: what
// `predict_a72.py --check-x86` predicts and times.
//
//   kernels_clock            names
//   kernels_clock NAME N     N calls
//   kernels_clock NAME 0     prints cycles a call (of a core that counts its time stamp at another rate: by a chain of additions)
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "../../include/retinaface/detail/aligned_buffer.hpp"
#include "../../kernels/kernels.hpp"

namespace {

using namespace retinaface;
using detail::AlignedBuffer;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// Core cycles a second: a chain of dependent multiplications does one in three cycles. (Some cores do additions of constants
/// in no time.)
double cycles_a_second() {
    constexpr int kSteps = 1'000'000;
    double best = 1e9;
    for (int run = 0; run < 20; ++run) {
        const auto start = Clock::now();
        std::size_t x = 3;
        for (int i = 0; i < kSteps / 4; ++i) asm volatile("imul %0, %0\nimul %0, %0\nimul %0, %0\nimul %0, %0" : "+r"(x));
        best = std::min(best, seconds_since(start));
    }
    return 3.0 * kSteps / best;
}

AlignedBuffer filled(std::size_t count) {
    AlignedBuffer buffer(count);
    for (std::size_t i = 0; i < count; ++i) buffer.data()[i] = static_cast<float>(static_cast<int>(i * 37 % 101) - 50) / 50.0f;
    return buffer;
}

}  // namespace

int main(int argc, char** argv) {
    const Isa isa = resolved(Isa::automatic);
    const auto gemm = kernels::find<kernels::Gemm>(isa);
    const auto conv3x3 = kernels::find<kernels::Conv3x3>(isa);
    const auto dwconv3x3 = kernels::find<kernels::DepthwiseConv3x3>(isa);
    const auto stem = kernels::find<kernels::Stem<3, 2, 8>>(isa);
    const auto load_pixels = kernels::find<kernels::LoadPixels<3, 2, 8>>(isa);
    const auto class_logits = kernels::find<kernels::ClassLogits<4>>(isa);
    const std::vector<float> plain(64 * 64 * 9, 0.01f);
    AlignedBuffer in = filled(1 << 16), out = filled(1 << 16), bias = filled(256), scratch = filled(1 << 20);

    AlignedBuffer gemm_weights(gemm.packed_size(64, 64));
    gemm.pack(plain.data(), 64, 64, gemm_weights.data());
    AlignedBuffer conv_weights(conv3x3.packed_size(16, 32));
    conv3x3.pack(plain.data(), 16, 32, conv_weights.data());
    const std::uint8_t pixels[3 * 512] = {};
    const float mean[3] = {104, 117, 123};
    const float* rows[3] = {in.data(), in.data() + 2048, in.data() + 4096};

    std::map<std::string, std::function<void()>> calls;
    calls["gemm_24x64x64"] = [&] {
        gemm.run({in.data(), 64, gemm_weights.data(), bias.data(), out.data(), 64, 24, 64, 64, 0.1f, nullptr, 0});
    };
    calls["dwconv3x3_s1_64"] = [&] {
        dwconv3x3.run({{in.data(), in.data() + 2048, in.data() + 4096, in.data() + 6144},
                       2,
                       32,
                       32,
                       64,
                       1,
                       plain.data(),
                       bias.data(),
                       0.1f,
                       out.data()});
    };
    calls["dwconv3x3_s2_32"] = [&] {
        dwconv3x3.run({{in.data(), in.data() + 2048, in.data() + 4096, in.data() + 6144, in.data() + 8192},
                       2,
                       64,
                       32,
                       32,
                       2,
                       plain.data(),
                       bias.data(),
                       0.1f,
                       out.data()});
    };
    calls["conv3x3_16x32"] = [&] {
        conv3x3.run({in.data(),
                     16,
                     16,
                     16,
                     16,
                     32,
                     conv_weights.data(),
                     bias.data(),
                     {{out.data(), 32, 32, 0.1f}, {}},
                     0,
                     16,
                     scratch.data()});
    };
    calls["stem_3x3_s2"] = [&] { stem.run({rows, 256, 3, plain.data(), bias.data(), 0.1f, out.data()}); };
    calls["load_pixels"] = [&] { load_pixels.run({pixels, 256, 3, 256, mean, in.data()}); };
    calls["class_logits_64"] = [&] { class_logits.run({in.data(), 64, 64, plain.data(), bias.data(), out.data()}); };

    if (argc < 3) {
        for (const auto& call : calls) std::printf("%s\n", call.first.c_str());
        return 0;
    }
    const std::function<void()>& call = calls.at(argv[1]);
    if (const int count = std::atoi(argv[2])) {
        for (int i = 0; i < count; ++i) call();
        return 0;
    }
    const double rate = cycles_a_second();
    double best = 1e9;
    for (int run = 0; run < 200; ++run) {
        constexpr int kCalls = 50;
        const auto start = Clock::now();
        for (int i = 0; i < kCalls; ++i) call();
        best = std::min(best, seconds_since(start) / kCalls);
    }
    std::printf("%.3f GHz %.1f\n", rate / 1e9, best * rate);
}
