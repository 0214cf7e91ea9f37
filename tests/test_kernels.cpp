// Every kernel of a set against the reference over a grid of shapes. One ctest entry a set.
//
// Sizes are those of the house's grid; channels are multiples of 8, the only ones that kernels/types.hpp allows (the image's aside).

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>

#include "buffers.hpp"
#include "retinaface/detail/aligned_buffer.hpp"
#include "retinaface/detail/kernels.hpp"
#include "support/isa_under_test.hpp"
#include "support/trim.hpp"

namespace {

using namespace retinaface_test;
using namespace retinaface;
using kernels::Sink;

Isa isa() {
    const Isa chosen = resolved(isa_under_test());
    REQUIRE(available(chosen));
    note_isa(chosen);
    return chosen;
}

/// The kernel of the set under test, and the reference's.
template <class Kernel>
Kernel tested() {
    return kernels::find<Kernel>(isa());
}
template <class Kernel>
Kernel reference() {
    return kernels::find<Kernel>(Isa::reference);
}

// What rounding may add, as a share of sum |w * x|: a few units in the last place for sums of up to a few hundred products, more
// for Winograd, whose transforms cancel.
constexpr float kRel = 1e-6f;
constexpr float kEps = 2e-6f;
constexpr float kWinogradEps = 2e-5f;

constexpr float kSlopes[] = {0.0f, 0.1f, 1.0f};

std::vector<int> grid(std::initializer_list<int> full, std::initializer_list<int> trimmed_grid) {
    return trimmed() ? trimmed_grid : full;
}

std::vector<int> sizes() { return grid({1, 2, 7, 15, 18, 25, 33}, {1, 2, 7, 18}); }
std::vector<int> channel_counts() { return grid({8, 16, 24, 32, 48, 64, 128}, {8, 16, 24, 48, 64}); }

// One function a line of the kernel list: a kernel without a test does not link.
#define RETINAFACE_KERNEL(name, ...) void test_##name();
#include "../kernels/kernel_list.inc"
#undef RETINAFACE_KERNEL

/// Stages K rows of bytes (row 0 outside the image) with a set's own LoadPixels and convolves them with its own Stem: the layout
/// of staged rows is the set's affair.
template <int K, int Stride, int ChannelsOut>
struct StemRun {
    int channels;
    int width;
    int width_padded;
    int offset;  ///< of weights, bias and output
    float slope;
    const std::vector<std::vector<std::uint8_t>>& rows;
    const std::vector<float>& weights;
    const std::vector<float>& bias;

    static constexpr float kMean[3] = {104, 117.5f, 123};

    int width_out() const { return (width_padded + Stride - 1) / Stride; }

    /// Runs on a set; `overrun` is set if a staged row was overrun.
    Output run(Isa set, bool& overrun) const {
        const auto load = kernels::find<kernels::LoadPixels<K, Stride, ChannelsOut>>(set);
        const auto stem = kernels::find<kernels::Stem<K, Stride, ChannelsOut>>(set);
        const std::size_t row_size = load.row_size(width_padded);
        std::vector<detail::AlignedBuffer> staged;
        std::vector<const float*> pointers;
        for (int k = 0; k < K; ++k) {
            staged.emplace_back(row_size + 16);
            float* const row = staged.back().data();
            for (std::size_t i = 0; i < row_size; ++i) row[i] = std::numeric_limits<float>::quiet_NaN();  // stale memory
            for (std::size_t i = row_size; i < row_size + 16; ++i) row[i] = 12345.0f;
            load.run({k == 0 ? nullptr : rows[static_cast<std::size_t>(k)].data(), width, channels, width_padded, kMean, row});
            for (std::size_t i = row_size; i < row_size + 16; ++i) overrun = overrun || row[i] != 12345.0f;
            pointers.push_back(row);
        }
        const Input w(weights, offset), b(bias, offset);
        Output out(static_cast<std::size_t>(width_out() * ChannelsOut), offset);
        stem.run({pointers.data(), width_padded, channels, w.data(), b.data(), slope, out.data()});
        return out;
    }

    /// Sum of |w x| of output o of pixel x.
    float magnitude(int x, int o) const {
        double sum = std::abs(bias[static_cast<std::size_t>(o)]);
        for (int ky = 1; ky < K; ++ky) {
            for (int kx = 0; kx < K; ++kx) {
                const int column = x * Stride + kx - K / 2;
                if (column < 0 || column >= width) continue;
                for (int c = 0; c < 3; ++c) {
                    const int byte =
                        rows[static_cast<std::size_t>(ky)][static_cast<std::size_t>(column * channels + (channels == 1 ? 0 : c))];
                    const float weight = weights[static_cast<std::size_t>(((ky * K + kx) * 3 + c) * ChannelsOut + o)];
                    sum += std::abs(static_cast<double>(weight) * (byte - static_cast<double>(kMean[c])));
                }
            }
        }
        return static_cast<float>(sum);
    }
};

template <int K, int Stride, int ChannelsOut>
void check_stem(Random& random, int channels, int width, int width_padded, int offset, float slope) {
    CAPTURE(K);
    CAPTURE(channels);
    CAPTURE(width);
    CAPTURE(width_padded);
    CAPTURE(offset);
    CAPTURE(slope);
    std::vector<std::vector<std::uint8_t>> rows;  // of exactly the bytes that may be read
    for (int k = 0; k < K; ++k) rows.push_back(random.bytes(static_cast<std::size_t>(width * channels)));
    const std::vector<float> weights = random.values(static_cast<std::size_t>(K * K * 3) * ChannelsOut);
    const std::vector<float> bias = random.values(ChannelsOut);
    const StemRun<K, Stride, ChannelsOut> run{channels, width, width_padded, offset, slope, rows, weights, bias};
    bool overrun = false;
    const Output found = run.run(isa(), overrun), expected = run.run(Isa::reference, overrun);
    Comparison comparison(kRel, kEps);
    for (int x = 0; x < run.width_out(); ++x)
        for (int o = 0; o < ChannelsOut; ++o) {
            const auto i = static_cast<std::size_t>(x * ChannelsOut + o);
            comparison.add(i, found[i], expected[i], run.magnitude(x, o));
        }
    CAPTURE(comparison.worst_index);
    CAPTURE(comparison.found);
    CAPTURE(comparison.expected);
    CHECK(comparison.worst <= 1.0);
    CHECK(found.overwritten() == Output::kNone);
    CHECK_FALSE(overrun);
}

/// Every width up to two blocks of pixels, every number of bytes a pixel, with and without padding after the image.
template <int K, int Stride, int ChannelsOut>
void check_load_pixels() {
    Random random(1);
    for (const int channels : {1, 3, 4})
        for (int width = 1; width <= (trimmed() ? 36 : 70); ++width)
            for (const int padding : {0, 1, 31, 64})
                check_stem<K, Stride, ChannelsOut>(random, channels, width, width + padding, 0, 1.0f);
}

template <int K, int Stride, int ChannelsOut>
void check_stems() {
    Random random(2);
    for (const int channels : {1, 3, 4})
        for (const int width : sizes())
            for (const float slope : kSlopes)
                for (const int offset : {0, 1}) check_stem<K, Stride, ChannelsOut>(random, channels, width, width, offset, slope);
}

void test_load_pixels_3x3_s2() { check_load_pixels<3, 2, 8>(); }
void test_load_pixels_7x7_s4() { check_load_pixels<7, 4, 16>(); }
void test_stem_3x3_s2_to_8() { check_stems<3, 2, 8>(); }
void test_stem_3x3_s2_to_16() { check_stems<3, 2, 16>(); }
void test_stem_7x7_s4_to_16() { check_stems<7, 4, 16>(); }

void check_dwconv3x3(Random& random, int channels, int stride, int rows_out, int width_in, float slope, int offset) {
    CAPTURE(channels);
    CAPTURE(stride);
    CAPTURE(rows_out);
    CAPTURE(width_in);
    CAPTURE(slope);
    CAPTURE(offset);
    const auto c = static_cast<std::size_t>(channels);
    const int width_out = (width_in + stride - 1) / stride, rows_in = 3 + (rows_out - 1) * stride;
    const std::vector<float> raw_weights = random.values(9 * c), raw_bias = random.values(c);
    const Input weights(raw_weights, offset), bias(raw_bias, offset);
    const std::vector<float> abs_weights = absolute(raw_weights), abs_bias = absolute(raw_bias);
    const std::size_t count = static_cast<std::size_t>(rows_out * width_out) * c;
    Output found(count, offset), expected(count, 0), magnitude(count, 0);
    kernels::DepthwiseConv3x3Args args{{},     rows_out,       width_in,    width_out, channels,
                                       stride, weights.data(), bias.data(), slope,     found.data()};
    kernels::DepthwiseConv3x3Args magnitudes = args;
    magnitudes.weights = abs_weights.data();
    magnitudes.bias = abs_bias.data();
    magnitudes.slope = 1.0f;
    magnitudes.dst = magnitude.data();
    std::vector<Input> rows, abs_rows;  // an Input's memory stays where it is when it moves
    for (int k = 0; k < rows_in; ++k) {
        const std::vector<float> values = random.values(static_cast<std::size_t>(width_in) * c);
        rows.emplace_back(values, offset);
        abs_rows.emplace_back(absolute(values), 0);
        args.rows[k] = rows.back().data();
        magnitudes.rows[k] = abs_rows.back().data();
    }
    tested<kernels::DepthwiseConv3x3>().run(args);
    args.dst = expected.data();
    reference<kernels::DepthwiseConv3x3>().run(args);
    reference<kernels::DepthwiseConv3x3>().run(magnitudes);
    Comparison comparison(kRel, kEps);
    for (std::size_t i = 0; i < count; ++i) comparison.add(i, found[i], expected[i], magnitude[i]);
    CAPTURE(comparison.worst_index);
    CAPTURE(comparison.found);
    CAPTURE(comparison.expected);
    CHECK(comparison.worst <= 1.0);
    CHECK(found.overwritten() == Output::kNone);
}

void test_dwconv3x3() {
    Random random(3);
    for (const int channels : channel_counts())
        for (const int stride : {1, 2})
            for (const int rows_out : {1, 2})
                for (const int width_in : grid({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 18, 25, 33}, {1, 2, 3, 7, 10, 18}))
                    for (const float slope : kSlopes)
                        for (const int offset : {0, 1})
                            check_dwconv3x3(random, channels, stride, rows_out, width_in, slope, offset);
}

/// A product's operands, packed for a set and for the reference.
struct Product {
    int m, k, n;
    std::vector<float> raw_a, raw_weights, raw_bias, raw_add;
    detail::AlignedBuffer packed;

    Product(Random& random, int m_, int k_, int n_) : m(m_), k(k_), n(n_) {
        const auto size = [](int a, int b) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); };
        raw_a = random.values(size(m, k));
        raw_weights = random.values(size(n, k));
        raw_bias = random.values(static_cast<std::size_t>(n));
        raw_add = random.values(size((m + 1) / 2, n));
        packed = detail::AlignedBuffer(tested<kernels::Gemm>().packed_size(k, n));
        tested<kernels::Gemm>().pack(raw_weights.data(), k, n, packed.data());
    }
};

/// Rows of `width` values `pitch` apart, the last one not padded.
std::vector<float> padded(const std::vector<float>& dense, int width, int pitch) {
    const std::size_t rows = dense.size() / static_cast<std::size_t>(width);
    std::vector<float> out((rows - 1) * static_cast<std::size_t>(pitch) + static_cast<std::size_t>(width), 1e30f);
    for (std::size_t r = 0; r < rows; ++r)
        std::copy_n(dense.begin() + static_cast<std::ptrdiff_t>(r) * width, width,
                    out.begin() + static_cast<std::ptrdiff_t>(r) * pitch);
    return out;
}

void check_gemm(Random& random, int m, int k, int n) {
    const Product product(random, m, k, n);
    const std::vector<float> abs_a = absolute(product.raw_a), abs_weights = absolute(product.raw_weights);
    const std::vector<float> abs_bias = absolute(product.raw_bias), abs_add = absolute(product.raw_add);
    const std::size_t count = static_cast<std::size_t>(m) * static_cast<std::size_t>(n);
    for (const bool with_add : {false, true}) {
        Output magnitude(count, 0);
        reference<kernels::Gemm>().run({abs_a.data(), k, abs_weights.data(), abs_bias.data(), magnitude.data(), n, m, k, n, 1.0f,
                                        with_add ? abs_add.data() : nullptr, n});
        for (const float slope : kSlopes) {
            Output expected(count, 0);
            reference<kernels::Gemm>().run({product.raw_a.data(), k, product.raw_weights.data(), product.raw_bias.data(),
                                            expected.data(), n, m, k, n, slope, with_add ? product.raw_add.data() : nullptr, n});
            for (const int padding : {0, 5}) {  // 5: rows of A, C and the added map are padded, and start unaligned
                CAPTURE(m);
                CAPTURE(k);
                CAPTURE(n);
                CAPTURE(slope);
                CAPTURE(with_add);
                CAPTURE(padding);
                const int lda = k + padding, ldc = n + 2 * padding, ld_add = n + 3 * padding, offset = padding == 0 ? 0 : 1;
                const Input a(padded(product.raw_a, k, lda), offset), bias(product.raw_bias, offset);
                const Input add(padded(product.raw_add, n, ld_add), offset);
                Output found(static_cast<std::size_t>((m - 1) * ldc + n), offset);
                tested<kernels::Gemm>().run({a.data(), lda, product.packed.data(), bias.data(), found.data(), ldc, m, k, n, slope,
                                             with_add ? add.data() : nullptr, ld_add});
                Comparison comparison(kRel, kEps);
                for (std::size_t i = 0; i < count; ++i) {
                    const std::size_t pixel = i / static_cast<std::size_t>(n), channel = i % static_cast<std::size_t>(n);
                    comparison.add(i, found[pixel * static_cast<std::size_t>(ldc) + channel], expected[i], magnitude[i]);
                }
                CAPTURE(comparison.worst_index);
                CAPTURE(comparison.found);
                CAPTURE(comparison.expected);
                CHECK(comparison.worst <= 1.0);
                CHECK(found.overwritten([&](std::size_t i) {
                    return i % static_cast<std::size_t>(ldc) < static_cast<std::size_t>(n);
                }) == Output::kNone);
            }
        }
    }
}

void test_gemm() {
    Random random(4);
    const std::vector<int> pixels = grid({1, 2, 3, 5, 6, 7, 8, 9, 11, 12, 13, 15, 18, 24, 25, 33}, {1, 2, 7, 12, 18});
    for (const int k : channel_counts())
        for (const int n : channel_counts())
            for (const int m : pixels) check_gemm(random, m, k, n);
    // The widest of the network.
    for (const int m : {1, 4, 13, 40}) {
        check_gemm(random, m, 128, 256);
        check_gemm(random, m, 256, 256);
        check_gemm(random, m, 256, 64);
    }
}

// A result does not depend on the pixels it is computed with: bands of any height, and a cell's regression on its own, give the
// same bits.
void test_gemm_grouping() {
    Random random(5);
    for (const int k : {8, 64, 256}) {
        for (const int n : channel_counts()) {
            for (const float slope : {0.1f, 1.0f}) {
                const int m = 37;
                CAPTURE(k);
                CAPTURE(n);
                CAPTURE(slope);
                const Product product(random, m, k, n);
                const auto run = [&](int from, int count, float* c, bool add) {
                    tested<kernels::Gemm>().run({product.raw_a.data() + from * k, k, product.packed.data(),
                                                 product.raw_bias.data(), c + from * n, n, count, k, n, slope,
                                                 add ? product.raw_add.data() + from / 2 * n : nullptr, n});
                };
                for (const bool add : {false, true}) {
                    const std::size_t count = static_cast<std::size_t>(m) * static_cast<std::size_t>(n);
                    Output whole(count, 0);
                    run(0, m, whole.data(), add);
                    for (const int group : {1, 2, 3, 4, 5, 7, 8, 11, 12, 13, 14, 24, 36}) {
                        if (add && group % 2 != 0) continue;  // added pixels are shared by pairs
                        CAPTURE(group);
                        CAPTURE(add);
                        Output pieces(count, 0);
                        for (int from = 0; from < m; from += group) run(from, std::min(group, m - from), pieces.data(), add);
                        std::size_t different = count;
                        for (std::size_t i = count; i-- > 0;)
                            if (!same_bits(whole[i], pieces[i])) different = i;
                        CHECK_MESSAGE(different == count, "pixel " << different / static_cast<std::size_t>(n) << ", channel "
                                                                   << different % static_cast<std::size_t>(n));
                    }
                }
            }
        }
    }
}

/// A 3x3 convolution with its weights packed for a set.
struct Convolution {
    int height, width, channels_in, channels_out;
    std::vector<float> raw_src, raw_weights, raw_bias;

    Convolution(Random& random, int height_, int width_, int channels_in_, int channels_out_)
        : height(height_), width(width_), channels_in(channels_in_), channels_out(channels_out_) {
        raw_src = random.values(pixels() * static_cast<std::size_t>(channels_in));
        raw_weights = random.values(static_cast<std::size_t>(channels_out * channels_in * 9));
        raw_bias = random.values(static_cast<std::size_t>(channels_out));
    }

    std::size_t pixels() const { return static_cast<std::size_t>(height) * static_cast<std::size_t>(width); }
    int tiles() const { return kernels::conv3x3_tiles(height, width); }

    detail::AlignedBuffer pack(const kernels::Conv3x3& kernel) const {
        detail::AlignedBuffer packed(kernel.packed_size(channels_in, channels_out));
        kernel.pack(raw_weights.data(), channels_in, channels_out, packed.data());
        return packed;
    }

    /// The whole convolution into one dense map.
    Output reference_output(float slope, bool magnitude) const {
        Output out(pixels() * static_cast<std::size_t>(channels_out), 0);
        const std::vector<float> src = magnitude ? absolute(raw_src) : raw_src, bias = magnitude ? absolute(raw_bias) : raw_bias;
        const std::vector<float> weights = magnitude ? absolute(raw_weights) : raw_weights;
        reference<kernels::Conv3x3>().run({src.data(),
                                           channels_in,
                                           height,
                                           width,
                                           channels_in,
                                           channels_out,
                                           weights.data(),
                                           bias.data(),
                                           {{out.data(), channels_out, channels_out, slope}, {}},
                                           0,
                                           tiles(),
                                           nullptr});
        return out;
    }
};

/// Written without the reference kernel's help: every input value adds to the outputs it reaches.
std::vector<double> scattered_conv3x3(const Convolution& c) {
    std::vector<double> out(c.pixels() * static_cast<std::size_t>(c.channels_out));
    for (int y = 0; y < c.height; ++y) {
        for (int x = 0; x < c.width; ++x) {
            for (int ky = 0; ky < 3; ++ky) {
                for (int kx = 0; kx < 3; ++kx) {
                    const int oy = y + 1 - ky, ox = x + 1 - kx;
                    if (oy < 0 || ox < 0 || oy >= c.height || ox >= c.width) continue;
                    for (int o = 0; o < c.channels_out; ++o) {
                        double& sum = out[static_cast<std::size_t>((oy * c.width + ox) * c.channels_out + o)];
                        for (int i = 0; i < c.channels_in; ++i)
                            sum +=
                                static_cast<double>(c.raw_src[static_cast<std::size_t>((y * c.width + x) * c.channels_in + i)]) *
                                static_cast<double>(
                                    c.raw_weights[static_cast<std::size_t>(((o * c.channels_in + i) * 3 + ky) * 3 + kx)]);
                    }
                }
            }
        }
    }
    for (std::size_t i = 0; i < out.size(); ++i)
        out[i] += static_cast<double>(c.raw_bias[i % static_cast<std::size_t>(c.channels_out)]);
    return out;
}

/// Runs tiles [0, cut) and then [cut, tiles) into two sinks with padded pixels.
void check_conv3x3(Random& random, int height, int width, int channels_in, int first, int second, float slope) {
    const Convolution conv(random, height, width, channels_in, first + second);
    const detail::AlignedBuffer packed = conv.pack(tested<kernels::Conv3x3>());
    const float second_slope = slope == 0.0f ? 0.1f : 0.0f;
    const Output expected = conv.reference_output(1.0f, false), magnitude = conv.reference_output(1.0f, true);
    const auto activated = [](float v, float s) { return std::max(v, v * s); };

    const int padding = (height + width) % 2 == 0 ? 0 : 3;  // of source pixels; sinks are padded more
    CAPTURE(height);
    CAPTURE(width);
    CAPTURE(channels_in);
    CAPTURE(first);
    CAPTURE(second);
    CAPTURE(slope);
    CAPTURE(padding);
    const int offset = padding == 0 ? 0 : 1, pixel_stride = channels_in + padding;
    const int strides[2] = {first + 2 * padding, second + 3 * padding};
    const Input src(padded(conv.raw_src, channels_in, pixel_stride), offset), bias(conv.raw_bias, offset);
    const auto sink_size = [&](int s, int channels) {
        return channels == 0 ? 0
                             : (conv.pixels() - 1) * static_cast<std::size_t>(strides[s]) + static_cast<std::size_t>(channels);
    };
    const int channels[2] = {first, second};
    std::vector<Output> results;
    const std::size_t scratch_size = tested<kernels::Conv3x3>().scratch(channels_in, first + second);
    for (const int cut : {conv.tiles(), conv.tiles() / 2, 1}) {
        CAPTURE(cut);
        Output outputs[2] = {Output(sink_size(0, first), offset), Output(sink_size(1, second), offset)};
        // Scratch has no contents to rely on; canaries after it.
        detail::AlignedBuffer scratch(scratch_size + 64);
        std::fill_n(scratch.data(), scratch_size + 64, std::numeric_limits<float>::quiet_NaN());
        for (std::size_t i = 0; i < 64; ++i) scratch.data()[scratch_size + i] = 42.0f;
        for (const auto& range : {std::array<int, 2>{0, cut}, std::array<int, 2>{cut, conv.tiles()}})
            tested<kernels::Conv3x3>().run(
                {src.data(),
                 pixel_stride,
                 height,
                 width,
                 channels_in,
                 first + second,
                 packed.data(),
                 bias.data(),
                 {{outputs[0].data(), strides[0], first, slope}, {outputs[1].data(), strides[1], second, second_slope}},
                 range[0],
                 range[1],
                 scratch.data()});
        Comparison comparison(kRel, isa() == Isa::reference ? kEps : kWinogradEps);
        for (int s = 0; s < 2; ++s) {
            for (std::size_t pixel = 0; pixel < conv.pixels(); ++pixel) {
                for (int o = 0; o < channels[s]; ++o) {
                    const std::size_t i =
                        pixel * static_cast<std::size_t>(first + second) + static_cast<std::size_t>(s * first + o);
                    comparison.add(i, outputs[s][pixel * static_cast<std::size_t>(strides[s]) + static_cast<std::size_t>(o)],
                                   activated(expected[i], s == 0 ? slope : second_slope), magnitude[i]);
                }
            }
            CAPTURE(s);
            CHECK(outputs[s].overwritten([&](std::size_t i) {
                return i % static_cast<std::size_t>(strides[s]) < static_cast<std::size_t>(channels[s]);
            }) == Output::kNone);
        }
        CAPTURE(comparison.worst_index);
        CAPTURE(comparison.found);
        CAPTURE(comparison.expected);
        CHECK(comparison.worst <= 1.0);
        CHECK(std::all_of(scratch.data() + scratch_size, scratch.data() + scratch_size + 64, [](float v) { return v == 42.0f; }));

        // However the tiles are split, the bits are the same.
        results.push_back(outputs[0]);
        bool equal = true;
        for (std::size_t i = 0; i < outputs[0].size(); ++i) equal = equal && same_bits(results[0][i], results.back()[i]);
        CHECK(equal);
    }
}

void test_conv3x3() {
    Random random(6);
    // Every size on the shapes of the context module; odd ones and neighbours of the tile in both directions.
    const std::vector<int> sides = grid({1, 2, 3, 4, 5, 7, 8, 9, 15, 18, 25, 33}, {1, 2, 5, 7, 9});
    for (const int height : sides)
        for (const int width : sides)
            for (const float slope : kSlopes) {
                if (trimmed() && slope != 0.1f && height != 7) continue;
                check_conv3x3(random, height, width, 16, 16, 16, slope);
            }
    // Every channel count.
    for (const int channels_in : channel_counts()) {
        for (const int channels_out : channel_counts()) {
            check_conv3x3(random, 7, 10, channels_in, channels_out, 0, 0.1f);
            if (channels_out > 8) check_conv3x3(random, 6, 5, channels_in, channels_out - 8, 8, 0.0f);
        }
    }
    // The network's own, on more tiles than a block.
    const int side = trimmed() ? 18 : 33;
    check_conv3x3(random, side, 25, 64, 64, 0, 0.1f);
    check_conv3x3(random, side, 25, 64, 32, 16, 0.0f);
    check_conv3x3(random, 25, side, 16, 16, 0, 0.0f);
}

template <int Outputs>
void check_class_logits() {
    Random random(7);
    for (const int channels : channel_counts()) {
        for (const int pixels : sizes()) {
            for (const int offset : {0, 1}) {
                CAPTURE(channels);
                CAPTURE(pixels);
                CAPTURE(offset);
                const auto c = static_cast<std::size_t>(channels);
                const std::vector<float> raw_src = random.values(static_cast<std::size_t>(pixels) * c),
                                         raw_weights = random.values(Outputs * c);
                const std::vector<float> raw_bias = random.values(Outputs);
                const std::vector<float> abs_src = absolute(raw_src), abs_weights = absolute(raw_weights),
                                         abs_bias = absolute(raw_bias);
                const Input src(raw_src, offset), weights(raw_weights, offset), bias(raw_bias, offset);
                const std::size_t count = Outputs * static_cast<std::size_t>(pixels);
                Output found(count, offset), expected(count, 0), magnitude(count, 0), alone(count, 0);
                tested<kernels::ClassLogits<Outputs>>().run(
                    {src.data(), pixels, channels, weights.data(), bias.data(), found.data()});
                reference<kernels::ClassLogits<Outputs>>().run(
                    {src.data(), pixels, channels, weights.data(), bias.data(), expected.data()});
                reference<kernels::ClassLogits<Outputs>>().run(
                    {abs_src.data(), pixels, channels, abs_weights.data(), abs_bias.data(), magnitude.data()});
                for (int i = 0; i < pixels; ++i)
                    tested<kernels::ClassLogits<Outputs>>().run(
                        {src.data() + i * channels, 1, channels, weights.data(), bias.data(), alone.data() + Outputs * i});
                Comparison comparison(kRel, kEps);
                bool equal = true;
                for (std::size_t i = 0; i < count; ++i) {
                    comparison.add(i, found[i], expected[i], magnitude[i]);
                    equal = equal && same_bits(found[i], alone[i]);
                }
                CAPTURE(comparison.worst_index);
                CAPTURE(comparison.found);
                CAPTURE(comparison.expected);
                CHECK(comparison.worst <= 1.0);
                CHECK(found.overwritten() == Output::kNone);
                CHECK_MESSAGE(equal, "a pixel's logits depend on the pixels they are computed with");
            }
        }
    }
}

void test_class_logits() { check_class_logits<4>(); }
void test_class_logits_of_3() { check_class_logits<6>(); }

// Kernels over 8-bit pixels give the reference's bytes.

void test_yuv_blend() {
    Random random(9);
    for (int count = 1; count <= 70; ++count) {
        CAPTURE(count);
        const auto n = static_cast<std::size_t>(count);
        const std::vector<std::uint8_t> own = random.bytes(n), other = random.bytes(n);
        std::vector<std::int16_t> found(n + 1, 4242), expected(n + 1, 4242);
        tested<kernels::YuvBlend>().run({own.data(), other.data(), count, found.data()});
        reference<kernels::YuvBlend>().run({own.data(), other.data(), count, expected.data()});
        CHECK(found == expected);
    }
}

constexpr kernels::YuvMatrix kMatrices[] = {{0, 8192, 11485, 2819, 5850, 14516}, {16, 9539, 13075, 3209, 6660, 16525}};

void test_yuv_blocks() {
    Random random(10);
    for (const kernels::YuvMatrix& matrix : kMatrices) {
        for (int width = 1; width <= 70; ++width) {
            for (const int u : {0, 1}) {
                CAPTURE(width);
                CAPTURE(u);
                const auto even = static_cast<std::size_t>(width + width % 2);
                const std::vector<std::uint8_t> y = random.bytes(static_cast<std::size_t>(width));
                std::vector<std::int16_t> pairs(even + 4);
                for (std::int16_t& value : pairs) value = static_cast<std::int16_t>(random.below(4 * 255 + 1));
                const std::size_t bytes = 3 * static_cast<std::size_t>(width);
                std::vector<std::uint8_t> found(bytes + 1, 77), expected(bytes + 1, 77);
                tested<kernels::YuvBlocks>().run({matrix, {y.data(), pairs.data() + 2, width, u}, found.data()});
                reference<kernels::YuvBlocks>().run({matrix, {y.data(), pairs.data() + 2, width, u}, expected.data()});
                CHECK(found == expected);
            }
        }
    }
}

void test_yuv_pairs() {
    Random random(11);
    for (const kernels::YuvMatrix& matrix : kMatrices) {
        for (int width = 1; width <= 70; ++width) {
            CAPTURE(width);
            const std::vector<std::uint8_t> row = random.bytes(2 * static_cast<std::size_t>(width + width % 2));
            const std::size_t bytes = 3 * static_cast<std::size_t>(width);
            std::vector<std::uint8_t> found(bytes + 1, 77), expected(bytes + 1, 77);
            tested<kernels::YuvPairs>().run({matrix, row.data(), width, found.data()});
            reference<kernels::YuvPairs>().run({matrix, row.data(), width, expected.data()});
            CHECK(found == expected);
        }
    }
}

void test_warp_row() {
    Random random(12);
    for (const int bytes : {1, 3, 4}) {
        for (int run = 0; run < (trimmed() ? 100 : 400); ++run) {
            const int width = 1 + random.below(40), height = 1 + random.below(30), count = 1 + random.below(40);
            CAPTURE(bytes);
            CAPTURE(width);
            CAPTURE(height);
            CAPTURE(count);
            const std::vector<std::uint8_t> pixels = random.bytes(static_cast<std::size_t>(width * height * bytes));
            kernels::WarpSource source{pixels.data(), width * bytes, width,
                                       height,        bytes,         {0, bytes == 1 ? 0 : 1, bytes == 1 ? 0 : 2}};
            const auto position = [&](float low, float high) {
                return static_cast<std::int64_t>(static_cast<double>(random.uniform(low, high)) * 4294967296.0);
            };
            const auto side = static_cast<float>(width), rise = static_cast<float>(height);
            const kernels::WarpPosition start{position(-3, side), position(-3, rise)}, step{position(-2, 2), position(-1, 1)};
            const std::size_t row = 3 * static_cast<std::size_t>(count);
            std::vector<std::uint8_t> found(row + 5, 77), expected(row + 5, 77);
            tested<kernels::WarpRow>().run({&source, start, step, count, found.data()});
            reference<kernels::WarpRow>().run({&source, start, step, count, expected.data()});
            CHECK(std::equal(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(row), expected.begin()));
            CHECK(found.back() == 77);
        }
    }
}

void test_add_bytes() {
    Random random(13);
    for (std::size_t count = 1; count <= 70; ++count) {
        CAPTURE(count);
        const std::vector<std::uint8_t> src = random.bytes(count);
        std::vector<std::uint16_t> found(count + 1), expected;
        for (std::uint16_t& value : found) value = static_cast<std::uint16_t>(random.below(60000));
        expected = found;
        tested<kernels::AddBytes>().run({src.data(), count, found.data()});
        reference<kernels::AddBytes>().run({src.data(), count, expected.data()});
        CHECK(found == expected);
    }
}

void test_mean_row() {
    Random random(14);
    for (const std::ptrdiff_t bytes : {1, 3, 4}) {
        for (const int factor : {2, 3, 5, 16, 256}) {
            for (const int width : {1, 2, 7, 18}) {
                CAPTURE(bytes);
                CAPTURE(factor);
                CAPTURE(width);
                std::vector<std::uint16_t> sums(static_cast<std::size_t>(bytes * factor * width) + 3);
                for (std::uint16_t& value : sums) value = static_cast<std::uint16_t>(random.below(255 * factor + 1));
                const float scale = 1.0f / static_cast<float>(factor * factor);
                const std::size_t row = 4 * static_cast<std::size_t>(width);
                std::vector<std::uint8_t> found(row + 1, 77), expected(row + 1, 77);
                tested<kernels::MeanRow>().run({sums.data(), bytes, factor, width, scale, found.data()});
                reference<kernels::MeanRow>().run({sums.data(), bytes, factor, width, scale, expected.data()});
                for (std::size_t i = 0; i < row; ++i)
                    if (static_cast<std::ptrdiff_t>(i % 4) < bytes) CHECK(found[i] == expected[i]);
                CHECK(found[row] == 77);
            }
        }
    }
}

#define RETINAFACE_KERNEL(name, ...) \
    TEST_CASE("kernel " #name) { test_##name(); }
#include "../kernels/kernel_list.inc"
#undef RETINAFACE_KERNEL

TEST_CASE("kernel gemm: results do not depend on how pixels are grouped") { test_gemm_grouping(); }

TEST_CASE("the reference convolution is the direct one") {
    Random random(8);
    for (const int height : {1, 2, 7}) {
        for (const int width : {1, 5, 18}) {
            CAPTURE(height);
            CAPTURE(width);
            const Convolution conv(random, height, width, 16, 24);
            const Output found = conv.reference_output(1.0f, false), magnitude = conv.reference_output(1.0f, true);
            const std::vector<double> expected = scattered_conv3x3(conv);
            Comparison comparison(1e-7f, 1e-9f);
            for (std::size_t i = 0; i < expected.size(); ++i)
                comparison.add(i, found[i], static_cast<float>(expected[i]), magnitude[i]);
            CAPTURE(comparison.worst_index);
            CAPTURE(comparison.found);
            CAPTURE(comparison.expected);
            CHECK(comparison.worst <= 1.0);
        }
    }
}

TEST_CASE("the set that was asked for is the one that is there") {
    if (isa_under_test() != Isa::automatic) CHECK(isa() == isa_under_test());
    CHECK(resolved(Isa::automatic) != Isa::automatic);
    CHECK(resolved(Isa::automatic) != Isa::reference);
    CHECK(available(Isa::reference));
    CHECK(available(Isa::automatic));
    CHECK_FALSE(available(static_cast<Isa>(99)));
    for (const Isa set : kIsas) {
        Isa parsed = Isa::automatic;
        CHECK(parse_isa(to_string(set), parsed));
        CHECK(parsed == set);
    }
    Isa unchanged = Isa::avx2;
    CHECK_FALSE(parse_isa("sse9", unchanged));
    CHECK(unchanged == Isa::avx2);
    if (trimmed()) MESSAGE("RETINAFACE_TEST_TRIM is set: the grid of shapes is cut");
}

}  // namespace
