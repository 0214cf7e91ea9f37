// 3x3 convolution as Winograd F(4x4, 3x3) (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015): 36 products
// of a block of tiles with transformed weights. The block is small enough that transformed input, products and one pass of weights
// share the L2 cache; padding is implicit in the input transform, bias and activation are in the output transform.

constexpr int kWinogradPoints = 36;

/// Tiles of a block: a multiple of every tile height of the product, more of them where channels are few, so that the block's
/// memory stays the same and calls of the product are worth their while.
constexpr int winograd_block(int channels_in, int channels_out) {
    const int channels = channels_in > channels_out ? channels_in : channels_out;
    return channels >= 48 ? 24 : channels >= 32 ? 48 : 96;
}

// The 36 points start a cache line off a multiple of 4 KB, so that their stores do not compete for the same cache sets.
constexpr std::size_t winograd_pitch(int block, int channels) {
    return static_cast<std::size_t>(block) * static_cast<std::size_t>(channels) + 16;
}

inline int conv3x3_block(int channels_in, int channels_out) { return winograd_block(channels_in, channels_out); }

inline std::size_t conv3x3_packed_size(int channels_in, int channels_out) {
    return kWinogradPoints * gemm_packed_size(channels_in, channels_out);
}

inline std::size_t conv3x3_scratch(int channels_in, int channels_out) {
    const int block = winograd_block(channels_in, channels_out);
    return kWinogradPoints * (winograd_pitch(block, channels_in) + winograd_pitch(block, channels_out));
}

inline void conv3x3_pack(const float* weights, int channels_in, int channels_out, float* dst) {
    static const double kG[6][3] = {{1.0 / 4, 0, 0},
                                    {-1.0 / 6, -1.0 / 6, -1.0 / 6},
                                    {-1.0 / 6, 1.0 / 6, -1.0 / 6},
                                    {1.0 / 24, 1.0 / 12, 1.0 / 6},
                                    {1.0 / 24, -1.0 / 12, 1.0 / 6},
                                    {0, 0, 1}};
    for (int i = 0; i < 6; ++i) {
        for (int j = 0; j < 6; ++j) {
            const auto transformed = [&](int out, int in) {
                const float* g = weights + (static_cast<std::ptrdiff_t>(out) * channels_in + in) * 9;
                double sum = 0;
                for (int y = 0; y < 3; ++y)
                    for (int x = 0; x < 3; ++x) sum += kG[i][y] * static_cast<double>(g[y * 3 + x]) * kG[j][x];
                return static_cast<float>(sum);
            };
            gemm_pack_from(transformed, channels_in, channels_out, dst);
            dst += gemm_packed_size(channels_in, channels_out);
        }
    }
}

/// B^T d of six vectors, in place.
RETINAFACE_INLINE void winograd_input_1d(Vec& d0, Vec& d1, Vec& d2, Vec& d3, Vec& d4, Vec& d5) {
    const Vec four = broadcast(4.0f), minus_four = broadcast(-4.0f), minus_five = broadcast(-5.0f);
    const Vec two = broadcast(2.0f), minus_two = broadcast(-2.0f);
    const Vec t0 = fma(four, d0, fma(minus_five, d2, d4));
    const Vec t5 = fma(four, d1, fma(minus_five, d3, d5));
    const Vec even = fma(minus_four, d2, d4), odd = fma(minus_four, d1, d3);
    const Vec a = sub(d4, d2), b = sub(d3, d1);
    d0 = t0;
    d1 = add(even, odd);
    d2 = sub(even, odd);
    d3 = fma(two, b, a);
    d4 = fma(minus_two, b, a);
    d5 = t5;
}

/// A^T m of six vectors; the results take the place of the first four.
RETINAFACE_INLINE void winograd_output_1d(Vec& m0, Vec& m1, Vec& m2, Vec& m3, Vec m4, Vec m5) {
    const Vec s = add(m1, m2), d = sub(m1, m2), s2 = add(m3, m4), d2 = sub(m3, m4);
    m0 = add(add(m0, s), s2);
    m1 = fma(broadcast(2.0f), d2, d);
    m2 = fma(broadcast(4.0f), s2, s);
    m3 = add(fma(broadcast(8.0f), d2, d), m5);
}

/// Transforms `lanes` channels of 6x6 input pixels; `dst` is this tile's place in the first point.
RETINAFACE_INLINE void winograd_input(const float* src, std::ptrdiff_t row_stride, std::ptrdiff_t pixel_stride, int lanes,
                                      float* dst, std::size_t pitch) {
    Vec d[6][6];
    RETINAFACE_UNROLL
    for (int i = 0; i < 6; ++i) {
        RETINAFACE_UNROLL
        for (int j = 0; j < 6; ++j) d[i][j] = load_lanes(src + i * row_stride + j * pixel_stride, lanes);
        winograd_input_1d(d[i][0], d[i][1], d[i][2], d[i][3], d[i][4], d[i][5]);
    }
    RETINAFACE_UNROLL
    for (int j = 0; j < 6; ++j) {
        winograd_input_1d(d[0][j], d[1][j], d[2][j], d[3][j], d[4][j], d[5][j]);
        RETINAFACE_UNROLL
        for (int i = 0; i < 6; ++i) store_lanes(dst + static_cast<std::size_t>(i * 6 + j) * pitch, d[i][j], lanes);
    }
}

/// The 6x6 pixels whose top left is (y, x), some of which lie outside the map: zeros. kWidth floats a pixel.
inline void winograd_edge(const Conv3x3Args& c, int y, int x, int channel, int lanes, float* patch) {
    for (int i = 0; i < 6; ++i) {
        for (int j = 0; j < 6; ++j, patch += kWidth) {
            const bool inside = y + i >= 0 && y + i < c.height && x + j >= 0 && x + j < c.width;
            store(patch,
                  inside ? load_lanes(c.src + (static_cast<std::ptrdiff_t>(y + i) * c.width + x + j) * c.pixel_stride + channel,
                                      lanes)
                         : zero());
        }
    }
}

/// All channels of a tile, transformed; `dst` is this tile's place in the first point.
RETINAFACE_INLINE void winograd_input_tile(const Conv3x3Args& c, int tile, int tiles_x, float* dst, std::size_t pitch) {
    const int y = tile / tiles_x * 4 - 1, x = tile % tiles_x * 4 - 1;
    const bool edge = y < 0 || x < 0 || y + 6 > c.height || x + 6 > c.width;
    float patch[36 * kWidth];
    for (int channel = 0; channel < c.channels_in; channel += kWidth) {
        const int lanes = c.channels_in - channel < kWidth ? c.channels_in - channel : kWidth;
        const float* src = patch;
        std::ptrdiff_t row_stride = 6 * kWidth, pixel_stride = kWidth;
        if (edge) {
            winograd_edge(c, y, x, channel, lanes, patch);
        } else {
            row_stride = c.pixel_stride * c.width;
            pixel_stride = c.pixel_stride;
            src = c.src + y * row_stride + x * pixel_stride + channel;
        }
        winograd_input(src, row_stride, pixel_stride, lanes, dst + channel, pitch);
    }
}

/// Makes `lanes` channels of the 4x4 output pixels of the tile at (y, x) from the 36 products.
RETINAFACE_INLINE void winograd_output(const float* src, std::size_t pitch, const Conv3x3Args& c, const Sink& sink,
                                       const float* bias, int y, int x, int channel, int lanes) {
    Vec m[6][6];
    RETINAFACE_UNROLL
    for (int j = 0; j < 6; ++j) {
        RETINAFACE_UNROLL
        for (int i = 0; i < 6; ++i) m[i][j] = load_lanes(src + static_cast<std::size_t>(i * 6 + j) * pitch, lanes);
        winograd_output_1d(m[0][j], m[1][j], m[2][j], m[3][j], m[4][j], m[5][j]);
    }
    const Vec b = load_lanes(bias, lanes), slope = broadcast(sink.slope);
    RETINAFACE_UNROLL
    for (int i = 0; i < 4; ++i) {
        if (y + i >= c.height) return;
        winograd_output_1d(m[i][0], m[i][1], m[i][2], m[i][3], m[i][4], m[i][5]);
        float* dst = sink.dst + (static_cast<std::ptrdiff_t>(y + i) * c.width + x) * sink.pixel_stride + channel;
        RETINAFACE_UNROLL
        for (int j = 0; j < 4; ++j)
            if (x + j < c.width) store_lanes(dst + j * sink.pixel_stride, activate(add(m[i][j], b), slope), lanes);
    }
}

inline void conv3x3(const Conv3x3Args& c) {
    const int tiles_x = (c.width + 3) / 4;
    const int block = winograd_block(c.channels_in, c.channels_out);
    const std::size_t pitch_in = winograd_pitch(block, c.channels_in), pitch_out = winograd_pitch(block, c.channels_out);
    float* const transformed = c.scratch;
    float* const products = c.scratch + kWinogradPoints * pitch_in;
    const std::size_t packed = gemm_packed_size(c.channels_in, c.channels_out);
    const auto lanes = [](int channels, int channel) { return channels - channel < kWidth ? channels - channel : kWidth; };

    for (int first = c.tile_begin; first < c.tile_end; first += block) {
        const int count = c.tile_end - first < block ? c.tile_end - first : block;
        for (int t = 0; t < count; ++t)
            winograd_input_tile(c, first + t, tiles_x, transformed + static_cast<std::ptrdiff_t>(t) * c.channels_in, pitch_in);
        for (int point = 0; point < kWinogradPoints; ++point) {
            const auto p = static_cast<std::size_t>(point);
            if (first == c.tile_begin) {
                // The first block meets its weights far from the core: ask for the next point's while this one multiplies.
                for (std::size_t i = 0; i < packed; i += 16) prefetch(c.weights + (p + 1) * packed + i);
            }
            gemm_panels<true>({transformed + p * pitch_in, c.channels_in, c.weights + p * packed, nullptr,
                               products + p * pitch_out, c.channels_out, count, c.channels_in, c.channels_out, 1.0f, nullptr, 0});
        }
        int from = 0;
        for (const Sink& sink : c.sinks) {
            for (int channel = 0; channel < sink.channels; channel += kWidth) {
                for (int t = 0; t < count; ++t) {
                    const int y = (first + t) / tiles_x * 4, x = (first + t) % tiles_x * 4;
                    winograd_output(products + static_cast<std::ptrdiff_t>(t) * c.channels_out + from + channel, pitch_out, c,
                                    sink, c.bias + from + channel, y, x, channel, lanes(sink.channels, channel));
                }
            }
            from += sink.channels;
        }
    }
}
