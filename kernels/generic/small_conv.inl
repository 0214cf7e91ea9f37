// 3 x 3 convolution of stride 1 as Winograd's F(4 x 4) (winograd.inl) whose weights are transformed on the way. A block of tiles is
// transformed once; then, for each group of output channels, a chunk of k at a time: the chunk's weights are transformed into L2, and 36
// products add to sums that wait there too. Weights are read once a block, in the file's nine floats a pair of channels.
//
// Packed weights: [group][channels_in][9][kSmallConvGroup], zero after the last channel. An output is summed in the order of k.

constexpr int kSmallConvAhead = 8;    // input channels from a prefetch to its use
constexpr int kSmallConvChunk = 128;  // input channels whose transformed weights lie in L2: 36 * 128 * 32 floats

inline std::size_t small_conv3x3_packed_size(int channels_in, int channels_out) {
    return static_cast<std::size_t>(small_conv_groups(channels_out)) * static_cast<std::size_t>(channels_in) * 9 *
           kSmallConvGroup;
}

inline void small_conv3x3_pack(const float* weights, int channels_in, int channels_out, float* dst) {
    for (int j0 = 0; j0 < channels_out; j0 += kSmallConvGroup)
        for (int c = 0; c < channels_in; ++c)
            for (int tap = 0; tap < 9; ++tap)
                for (int j = j0; j < j0 + kSmallConvGroup; ++j)
                    *dst++ = j < channels_out ? weights[(static_cast<std::ptrdiff_t>(j) * channels_in + c) * 9 + tap] : 0.0f;
}

/// Scratch: transformed tiles [36][tile], sums [36][tile], transformed weights [36][chunk]; points start a cache line off a multiple of
/// 4 KB.
struct SmallConvScratch {
    std::size_t row;               // floats from tile to tile of the input
    std::size_t in, out, weights;  // floats from point to point
};

inline SmallConvScratch small_conv_scratch(int tiles, int channels_in) {
    const auto chunk = static_cast<std::size_t>(channels_in < kSmallConvChunk ? channels_in : kSmallConvChunk);
    const auto row = static_cast<std::size_t>(channels_in) + 16;
    // With room for the last product's whole tile.
    const auto rows = static_cast<std::size_t>(small_conv_block(tiles) + kGemmRows[2]);
    return {row, rows * row + 16, rows * kSmallConvGroup + 16, chunk * kSmallConvGroup + 16};
}

inline std::size_t small_conv3x3_scratch(int tiles, int channels_in) {
    const SmallConvScratch s = small_conv_scratch(tiles, channels_in);
    return kWinogradPoints * (s.in + s.out + s.weights);
}

/// G g of three vectors.
RETINAFACE_INLINE void winograd_weights_1d(Vec g0, Vec g1, Vec g2, Vec (&to)[6]) {
    const Vec sixth = broadcast(-1.0f / 6), outer = add(g0, g2);
    const Vec far = fma(broadcast(1.0f / 24), g0, mul(broadcast(1.0f / 6), g2)), near = mul(broadcast(1.0f / 12), g1);
    to[0] = mul(broadcast(0.25f), g0);
    to[1] = mul(sixth, add(outer, g1));
    to[2] = mul(sixth, sub(outer, g1));
    to[3] = add(far, near);
    to[4] = sub(far, near);
    to[5] = g2;
}

/// Transforms a vector of output channels of one input channel; `dst` is its place in the first point.
RETINAFACE_INLINE void winograd_weights(const float* src, float* dst, std::size_t pitch) {
    Vec half[3][6];
    RETINAFACE_UNROLL
    for (int x = 0; x < 3; ++x)
        winograd_weights_1d(load(src + x * kSmallConvGroup), load(src + (3 + x) * kSmallConvGroup),
                            load(src + (6 + x) * kSmallConvGroup), half[x]);
    RETINAFACE_UNROLL
    for (int i = 0; i < 6; ++i) {
        Vec whole[6];
        winograd_weights_1d(half[0][i], half[1][i], half[2][i], whole);
        RETINAFACE_UNROLL
        for (int j = 0; j < 6; ++j) store(dst + static_cast<std::size_t>(i * 6 + j) * pitch, whole[j]);
    }
}

/// One point's product: `count` tiles with panels of two vectors.
template <int Rows>
inline void small_conv_product(WideTile t, int count) {
    const float *const a = t.a, *const b = t.b;
    float* const c = t.c;
    for (int v = 0; v < kSmallConvGroup; v += 2 * kWidth) {
        t.b = b + static_cast<std::ptrdiff_t>(t.k) * v;
        for (int i = 0; i < count; i += Rows) {
            t.a = a + i * t.lda;
            t.c = c + static_cast<std::ptrdiff_t>(i) * kSmallConvGroup + v;
            wide_tile<Rows, 2>(t);
        }
    }
}

inline void small_conv3x3(const SmallConv3x3Args& s) {
    const int tiles_x = (s.width + 3) / 4, tiles = tiles_x * ((s.height + 3) / 4);
    const int block = small_conv_block(tiles), groups = small_conv_groups(s.channels_out);
    const SmallConvScratch pitch = small_conv_scratch(tiles, s.channels_in);
    float* const in = s.scratch;
    float* const out = in + kWinogradPoints * pitch.in;
    float* const weights = out + kWinogradPoints * pitch.out;
    constexpr int kFull = kGemmRows[2], kLess = kFull * 5 / 6;  // whichever wastes less of the last tile
    static const float kZeros[2 * kWidth] = {};

    Conv3x3Args c{};
    c.src = s.src;
    c.channels_in = s.channels_in;
    c.pixel_stride = s.channels_in;
    c.height = s.height;
    c.width = s.width;
    const Sink sink{s.dst, s.pixel_stride, s.channels_out, s.slope};

    for (int unit = s.unit_begin; unit < s.unit_end; ++unit) {
        const int first = unit / groups * block, group = unit % groups;
        const int count = tiles - first < block ? tiles - first : block;
        const bool less = (count + kLess - 1) / kLess * kLess < (count + kFull - 1) / kFull * kFull;
        if (unit == s.unit_begin || group == 0) {
            for (int t = 0; t < count; ++t)
                winograd_input_tile(c, first + t, tiles_x, in + static_cast<std::size_t>(t) * pitch.row, pitch.in);
            // What is computed for the missing tiles of a whole one is thrown away.
            for (std::size_t point = 0; point < kWinogradPoints; ++point)
                std::memset(in + point * pitch.in + static_cast<std::size_t>(count) * pitch.row, 0,
                            kFull * pitch.row * sizeof(float));
        }
        for (int begin = 0; begin < s.channels_in; begin += kSmallConvChunk) {
            const int depth = s.channels_in - begin < kSmallConvChunk ? s.channels_in - begin : kSmallConvChunk;
            const float* src = s.weights + (static_cast<std::ptrdiff_t>(group) * s.channels_in + begin) * 9 * kSmallConvGroup;
            for (int p = 0; p < depth; ++p, src += 9 * kSmallConvGroup) {
                // Weights are met once, far from the core. What is asked for need not be there.
                for (int i = 0; i < 9 * kSmallConvGroup; i += 16) prefetch(src + kSmallConvAhead * 9 * kSmallConvGroup + i);
                for (int v = 0; v < kSmallConvGroup; v += kWidth)
                    winograd_weights(src + v, weights + v / (2 * kWidth) * depth * 2 * kWidth + p * 2 * kWidth + v % (2 * kWidth),
                                     pitch.weights);
            }
            WideTile t{};
            t.lda = static_cast<std::ptrdiff_t>(pitch.row);
            t.k = depth;
            t.bias = begin == 0 ? kZeros : nullptr;
            t.ldc = kSmallConvGroup;
            t.channels = 2 * kWidth;
            for (std::size_t point = 0; point < kWinogradPoints; ++point) {
                t.a = in + point * pitch.in + begin;
                t.b = weights + point * pitch.weights;
                t.c = out + point * pitch.out;
                if (less) {
                    t.rows = kLess;
                    small_conv_product<kLess>(t, count);
                } else {
                    t.rows = kFull;
                    small_conv_product<kFull>(t, count);
                }
            }
        }
        for (int v = 0; v < kSmallConvGroup; v += kWidth) {
            const int channel = group * kSmallConvGroup + v, left = s.channels_out - channel;
            for (int t = 0; t < count && left > 0; ++t)
                winograd_output(out + static_cast<std::size_t>(t) * kSmallConvGroup + static_cast<std::size_t>(v), pitch.out, c,
                                sink, s.bias + channel, (first + t) / tiles_x * 4, (first + t) % tiles_x * 4, channel,
                                left < kWidth ? left : kWidth);
        }
    }
}
