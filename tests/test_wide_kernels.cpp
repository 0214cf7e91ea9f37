// The kernels of wide networks against the reference over a grid of shapes, and deformable convolution against torchvision's. One ctest
// entry a set.

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <string>
#include <vector>

#include "buffers.hpp"
#include "retinaface/detail/aligned_buffer.hpp"
#include "retinaface/detail/wide_kernels.hpp"
#include "retinaface/weights/archive.hpp"
#include "support/isa_under_test.hpp"
#include "support/trim.hpp"

namespace {

using namespace retinaface_test;
using namespace retinaface;

Isa isa() {
    const Isa chosen = resolved(isa_under_test());
    REQUIRE(available(chosen));
    note_isa(chosen);
    return chosen;
}

constexpr float kRel = 1e-6f;
constexpr float kEps = 4e-6f;          // of sum |w * x|: sums here have thousands of terms
constexpr float kWinogradEps = 2e-5f;  // its transforms cancel

// One function a line of the kernel list: a kernel without a test does not link.
#define RETINAFACE_KERNEL(name, ...) void test_##name();
#include "../kernels/wide_kernel_list.inc"
#undef RETINAFACE_KERNEL

enum class Steering { none, v1, v2 };

struct Shape {
    int height, width;
    int channels_in, channels_out;
    int kernel, stride;
    Steering steering = Steering::none;
    bool residual = false, up = false;
    int second = 0;  ///< channels of a second output
};

/// What one call needs, filled at random: the same for both sets.
struct Case {
    Shape shape;
    int height_out, width_out, offset_channels;
    std::vector<float> src, weights[2], bias[2], offsets, residual, up;

    Case(Random& random, const Shape& s) : shape(s) {
        height_out = (s.height + s.stride - 1) / s.stride;
        width_out = (s.width + s.stride - 1) / s.stride;
        const auto pixels = static_cast<std::size_t>(height_out * width_out);
        src = random.values(static_cast<std::size_t>(s.height * s.width * s.channels_in));
        const int channels[2] = {s.channels_out, s.second};
        for (int i = 0; i < 2; ++i) {
            weights[i] = random.values(static_cast<std::size_t>(channels[i] * s.channels_in * s.kernel * s.kernel));
            bias[i] = random.values(static_cast<std::size_t>(channels[i]));
        }
        const int taps = s.kernel * s.kernel;
        offset_channels = s.steering == Steering::none ? 0 : ((s.steering == Steering::v1 ? 2 : 3) * taps + 7) / 8 * 8;
        // Inside, on the border, around it and far beyond; some that are no number.
        offsets = random.values(pixels * static_cast<std::size_t>(offset_channels), -6, 6);
        for (float& v : offsets) {
            const int kind = random.below(40);
            if (kind < 4) v = std::round(v);
            if (kind == 4) v *= 1e6f;
            if (kind == 5) v = std::numeric_limits<float>::quiet_NaN();
            if (kind == 6) v = std::numeric_limits<float>::infinity();
        }
        if (s.residual) residual = random.values(pixels * static_cast<std::size_t>(s.channels_out));
        if (s.up) up = random.values(static_cast<std::size_t>(((height_out + 1) / 2) * ((width_out + 1) / 2) * s.channels_out));
    }

    kernels::WideConvArgs args(const kernels::WideConv& kernel, detail::AlignedBuffer (&packed)[2],
                               detail::AlignedBuffer& scratch, const std::vector<float> (&w)[2], float slope,
                               Output (&out)[2]) const {
        kernels::WideConvArgs a{};
        a.src = src.data();
        a.height = shape.height;
        a.width = shape.width;
        a.channels = shape.channels_in;
        a.kernel = shape.kernel;
        a.stride = shape.stride;
        a.width_out = width_out;
        if (shape.steering != Steering::none) a.offsets = offsets.data();
        a.offset_stride = offset_channels;
        a.modulated = shape.steering == Steering::v2;
        const int channels[2] = {shape.channels_out, shape.second};
        for (int i = 0; i < 2; ++i) {
            if (channels[i] == 0) continue;
            packed[i] = detail::AlignedBuffer(kernel.packed_size(shape.kernel, shape.channels_in, channels[i]));
            kernel.pack(w[i].data(), shape.kernel, shape.channels_in, channels[i], packed[i].data());
            // Rows are 8 floats longer than they need to be: canaries between them.
            a.outputs[i] = {
                packed[i].data(), bias[i].data(), out[i].data(), channels[i] + 8, channels[i], slope, nullptr, 0, nullptr, 0, 0};
        }
        if (shape.residual) a.outputs[0].residual = residual.data(), a.outputs[0].residual_stride = shape.channels_out;
        if (shape.up)
            a.outputs[0].up = up.data(), a.outputs[0].up_stride = shape.channels_out, a.outputs[0].up_width = (width_out + 1) / 2;
        scratch = detail::AlignedBuffer(kernel.scratch(shape.kernel, shape.channels_in) + 1);
        a.scratch = scratch.data();
        a.pixel_end = height_out * width_out;
        return a;
    }
};

/// Runs `kernel` in ranges of `step` pixels (0: all at once).
void run(const kernels::WideConv& kernel, const Case& c, const std::vector<float> (&weights)[2], float slope, int step,
         Output (&out)[2]) {
    detail::AlignedBuffer packed[2], scratch;
    kernels::WideConvArgs a = c.args(kernel, packed, scratch, weights, slope, out);
    const int end = a.pixel_end;
    for (int begin = 0; begin < end; begin = a.pixel_end) {
        a.pixel_begin = begin;
        a.pixel_end = step == 0 ? end : std::min(end, begin + step);
        kernel.run(a);
    }
}

void check(Random& random, const Shape& s, float slope) {
    CAPTURE(s.height);
    CAPTURE(s.width);
    CAPTURE(s.channels_in);
    CAPTURE(s.channels_out);
    CAPTURE(s.kernel);
    CAPTURE(s.stride);
    CAPTURE(static_cast<int>(s.steering));
    CAPTURE(s.residual);
    CAPTURE(s.up);
    CAPTURE(slope);
    const Case c(random, s);
    const auto pixels = static_cast<std::size_t>(c.height_out * c.width_out);
    const std::size_t sizes[2] = {pixels * static_cast<std::size_t>(s.channels_out + 8),
                                  s.second == 0 ? 0 : pixels * static_cast<std::size_t>(s.second + 8)};
    Output found[2] = {{sizes[0], 3}, {sizes[1], 3}}, split[2] = {{sizes[0], 0}, {sizes[1], 0}};
    Output expected[2] = {{sizes[0], 0}, {sizes[1], 0}}, magnitude[2] = {{sizes[0], 0}, {sizes[1], 0}};
    const kernels::WideConv tested = kernels::find<kernels::WideConv>(isa()),
                            reference = kernels::find<kernels::WideConv>(Isa::reference);
    run(tested, c, c.weights, slope, 0, found);
    run(tested, c, c.weights, slope, 7, split);
    run(reference, c, c.weights, slope, 0, expected);
    // Sum of |w x|: the same convolution of absolute values.
    Case absolutes = c;
    absolutes.src = absolute(c.src);
    absolutes.residual = absolute(c.residual);
    absolutes.up = absolute(c.up);
    for (std::vector<float>& bias : absolutes.bias) bias = absolute(bias);
    const std::vector<float> weights[2] = {absolute(c.weights[0]), absolute(c.weights[1])};
    run(reference, absolutes, weights, 1.0f, 0, magnitude);

    const int channels[2] = {s.channels_out, s.second};
    for (int i = 0; i < 2; ++i) {
        if (channels[i] == 0) continue;
        const auto row = static_cast<std::size_t>(channels[i] + 8);
        Comparison comparison(kRel, kEps);
        bool same = true;
        for (std::size_t p = 0; p < pixels; ++p) {
            for (std::size_t j = 0; j < static_cast<std::size_t>(channels[i]); ++j) {
                const std::size_t at = p * row + j;
                comparison.add(at, found[i][at], expected[i][at], magnitude[i][at]);
                same = same && same_bits(found[i][at], split[i][at]);
            }
        }
        CAPTURE(comparison.worst_index);
        CAPTURE(comparison.found);
        CAPTURE(comparison.expected);
        CHECK(comparison.worst <= 1.0);
        CHECK(same);  // however the pixels are grouped
        CHECK(found[i].overwritten([&](std::size_t at) { return at % row < static_cast<std::size_t>(channels[i]); }) ==
              Output::kNone);
    }
}

void test_wide_conv() {
    Random random(17);
    // A sum of one k block, of several, of one that ends inside a tap; panels of every width; pixels short of a tile.
    const std::vector<std::pair<int, int>> channels =
        trimmed() ? std::vector<std::pair<int, int>>{{8, 8}, {72, 40}}
                  : std::vector<std::pair<int, int>>{{8, 8}, {3, 64}, {24, 16}, {64, 72}, {72, 40}, {200, 104}};
    for (const auto& [in, out] : channels) {
        for (const int kernel : {1, 3, 5, 7}) {
            if (kernel > 3 && in > 24) continue;
            for (const int stride : {1, 2}) {
                check(random, {7, 9, in, out, kernel, stride}, 0.0f);
                check(random, {5, 6, in, out, kernel, stride, Steering::none, true}, 0.1f);
                check(random, {5, 7, in, out, kernel, stride, Steering::none, false, true}, 0.0f);
                check(random, {1, 1, in, out, kernel, stride}, 1.0f);
                if (in % 8 != 0) continue;
                check(random, {6, 9, in, out, kernel, stride, Steering::v1}, 1.0f);
                check(random, {7, 5, in, out, kernel, stride, Steering::v2}, 0.0f);
            }
        }
    }
    check(random, {1, 13, 1024, 64, 1, 1}, 0.0f);
    check(random, {4, 12, 256, 128, 1, 1, Steering::none, false, false, 64}, 0.0f);  // multiplied where it lies, two outputs
    check(random, {4, 12, 256, 256, 3, 1, Steering::v2}, 0.0f);
}

void test_small_conv3x3() {
    Random random(18);
    const kernels::SmallConv3x3 tested = kernels::find<kernels::SmallConv3x3>(isa()),
                                reference = kernels::find<kernels::SmallConv3x3>(Isa::reference);
    // One chunk of k and several, the last one short; groups of outputs, the last one short; whole tiles and less; two blocks of tiles.
    const std::vector<std::array<int, 4>> shapes = {{7, 9, 8, 8},      {1, 1, 16, 40},  {4, 4, 40, 32}, {12, 5, 136, 72},
                                                    {15, 20, 256, 32}, {3, 50, 24, 64}, {44, 41, 8, 40}};
    for (const std::array<int, 4>& shape : shapes) {
        const int height = shape[0], width = shape[1], in = shape[2], out = shape[3];
        if (trimmed() && in > 64) continue;
        CAPTURE(height);
        CAPTURE(width);
        CAPTURE(in);
        CAPTURE(out);
        const auto size = [](int a, int b, int c) {
            return static_cast<std::size_t>(a) * static_cast<std::size_t>(b) * static_cast<std::size_t>(c);
        };
        const std::vector<float> src = random.values(size(height, width, in)), bias = random.values(size(out, 1, 1)),
                                 weights = random.values(size(9, in, out));
        const int tiles = kernels::conv3x3_tiles(height, width), block = kernels::small_conv_block(tiles),
                  units = (tiles + block - 1) / block * kernels::small_conv_groups(out), pitch = out + 8;
        const auto run = [&](const kernels::SmallConv3x3& kernel, const std::vector<float>& x, const std::vector<float>& w,
                             const std::vector<float>& b, float slope, int step, Output& to) {
            detail::AlignedBuffer packed(kernel.packed_size(in, out)), scratch(kernel.scratch(tiles, in) + 1);
            kernel.pack(w.data(), in, out, packed.data());
            std::fill_n(scratch.data(), scratch.size(), std::numeric_limits<float>::quiet_NaN());
            for (int begin = 0; begin < units; begin += step)
                kernel.run({x.data(), height, width, in, out, packed.data(), b.data(), to.data(), pitch, slope, begin,
                            std::min(units, begin + step), scratch.data()});
        };
        const std::size_t count = size(height, width, pitch);
        Output found(count, 3), split(count, 0), expected(count, 0), magnitude(count, 0);
        run(tested, src, weights, bias, 0.1f, units, found);
        run(tested, src, weights, bias, 0.1f, 1, split);
        run(reference, src, weights, bias, 0.1f, units, expected);
        run(reference, absolute(src), absolute(weights), absolute(bias), 1.0f, units, magnitude);
        Comparison comparison(kRel, kWinogradEps);
        bool same = true;
        const auto row = static_cast<std::size_t>(pitch);
        for (std::size_t i = 0; i < count; ++i) {
            if (i % row >= static_cast<std::size_t>(out)) continue;
            comparison.add(i, found[i], expected[i], magnitude[i]);
            same = same && same_bits(found[i], split[i]);
        }
        CAPTURE(comparison.found);
        CAPTURE(comparison.expected);
        CHECK(comparison.worst <= 1.0);
        CHECK(same);  // however the groups are shared out
        CHECK(found.overwritten([&](std::size_t at) { return at % row < static_cast<std::size_t>(out); }) == Output::kNone);
    }
}

void test_max_pool3x3() {
    Random random(3);
    const kernels::MaxPool3x3 tested = kernels::find<kernels::MaxPool3x3>(isa()),
                              reference = kernels::find<kernels::MaxPool3x3>(Isa::reference);
    for (const int channels : {8, 24, 64}) {
        for (const int width : {1, 2, 7, 18}) {
            for (const int rows : {1, 2, 3}) {
                CAPTURE(channels);
                CAPTURE(width);
                CAPTURE(rows);
                const int width_out = (width + 1) / 2;
                std::vector<Input> inputs;
                for (int i = 0; i < rows; ++i) inputs.emplace_back(random.values(static_cast<std::size_t>(width * channels)), 5);
                Output found(static_cast<std::size_t>(width_out * channels), 3),
                    expected(static_cast<std::size_t>(width_out * channels), 0);
                kernels::MaxPool3x3Args args{{}, rows, width, width_out, channels, found.data()};
                for (int i = 0; i < rows; ++i) args.rows[i] = inputs[static_cast<std::size_t>(i)].data();
                tested.run(args);
                args.dst = expected.data();
                reference.run(args);
                for (std::size_t i = 0; i < found.size(); ++i) REQUIRE(same_bits(found[i], expected[i]));
                CHECK(found.overwritten() == Output::kNone);
            }
        }
    }
}

void test_scale_shift() {
    Random random(4);
    const kernels::ScaleShift tested = kernels::find<kernels::ScaleShift>(isa()),
                              reference = kernels::find<kernels::ScaleShift>(Isa::reference);
    for (const int channels : {8, 24, 64}) {
        for (const int pixels : {1, 5}) {
            const auto count = static_cast<std::size_t>(pixels * channels);
            const Input src(random.values(count), 5), scale(random.values(static_cast<std::size_t>(channels)), 1),
                shift(random.values(static_cast<std::size_t>(channels)), 2);
            Output found(count, 3), expected(count, 0);
            tested.run({src.data(), pixels, channels, scale.data(), shift.data(), 0.0f, found.data()});
            reference.run({src.data(), pixels, channels, scale.data(), shift.data(), 0.0f, expected.data()});
            for (std::size_t i = 0; i < count; ++i) REQUIRE(std::abs(found[i] - expected[i]) <= 3e-7f);
            CHECK(found.overwritten() == Output::kNone);
        }
    }
}

#define RETINAFACE_KERNEL(name, ...) \
    TEST_CASE(#name) { test_##name(); }
#include "../kernels/wide_kernel_list.inc"
#undef RETINAFACE_KERNEL

// tests/data/golden_deform_conv.safetensors (tools/oracle/deform_conv.py): cases of torchvision.ops.deform_conv2d, v1 and v2.
TEST_CASE("deformable convolution is torchvision's") {
    const Weights golden = Weights::load(RETINAFACE_SOURCE_DIR "/tests/data/golden_deform_conv.safetensors");
    const kernels::WideConv kernel = kernels::find<kernels::WideConv>(isa());
    const int cases = std::stoi(golden.metadata("cases"));
    double worst = 0;
    for (int i = 0; i < cases; ++i) {
        CAPTURE(i);
        const auto tensor = [&](const char* name) -> const Tensor& { return *golden.find(std::to_string(i) + "." + name); };
        const Tensor &src = tensor("src"), &weight = tensor("weight"), &offsets = tensor("offsets"), &expected = tensor("out");
        const auto side = [](const Tensor& t, std::size_t axis) { return static_cast<int>(t.shape[axis]); };
        const int out_channels = side(weight, 0), channels = side(weight, 1), size = side(weight, 2);
        std::vector<float> out(expected.values.size());
        detail::AlignedBuffer packed(kernel.packed_size(size, channels, out_channels)),
            scratch(kernel.scratch(size, channels) + 1);
        kernel.pack(weight.values.data(), size, channels, out_channels, packed.data());
        kernels::WideConvArgs args{};
        args.src = src.values.data();
        args.height = side(src, 0);
        args.width = side(src, 1);
        args.channels = channels;
        args.kernel = size;
        args.stride = (args.height + side(expected, 0) - 1) / side(expected, 0) > 1 ? 2 : 1;
        args.width_out = side(expected, 1);
        args.offsets = offsets.values.data();
        args.offset_stride = side(offsets, 2);
        args.modulated = side(offsets, 2) == 3 * size * size;
        args.outputs[0] = {
            packed.data(), tensor("bias").values.data(), out.data(), out_channels, out_channels, 1.0f, nullptr, 0, nullptr, 0, 0};
        args.pixel_end = side(expected, 0) * side(expected, 1);
        args.scratch = scratch.data();
        kernel.run(args);
        double peak = 0, difference = 0;
        for (std::size_t k = 0; k < out.size(); ++k) {
            peak = std::max(peak, std::abs(static_cast<double>(expected.values[k])));
            difference = std::max(difference, std::abs(static_cast<double>(out[k]) - static_cast<double>(expected.values[k])));
        }
        CHECK(difference <= 1e-4 * peak);
        worst = std::max(worst, difference / peak);
    }
    std::printf("deformable convolution, %s: %d cases, largest difference %.2g of the peak\n", to_string(isa()), cases, worst);
}

}  // namespace
