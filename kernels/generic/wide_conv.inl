// Dense convolution of wide maps as one register-tiled product. The input of a block of output pixels is gathered, one block of k at a
// time, into rows of scratch (taps of an ordinary kernel are copied, those of a deformable one interpolated on the way); all panels of
// weights pass over it while it lies in L2. No column matrix of the map is ever made.
//
// k counts taps and channels: k = (ky * kernel + kx) * channels + c, padded with zeros to a multiple of 8. Packed weights: panels of up
// to kWidest vectors of output channels, each [k][panel width]. An output is summed in the order of k, partial sums of a block of k wait
// in the output itself: results do not depend on how pixels are grouped.

constexpr int kWideBlockK = kWideInPlace;  // floats of k a block
constexpr int kWideBlockFloats = 49152;    // gathered floats a block: 192 KB of L2
constexpr int kWideRowPad = 16;            // rows of gathered pixels start in different cache sets
static_assert(kWideConvGrain % kGemmRows[1] == 0 && kWideConvGrain % kGemmRows[2] == 0 &&
                  kWideConvGrain % kGemmRows[kWidest] == 0,
              "whole tiles of every panel width");

constexpr int wide_k(int kernel, int channels) { return (kernel * kernel * channels + 7) / 8 * 8; }

/// Vectors of the next panel when `channels` are left: 1, 2 or kWidest.
constexpr int wide_panel_vectors(int channels) {
    return channels > (kWidest - 1) * kWidth ? kWidest : channels > kWidth && kWidest > 2 ? 2 : 1;
}

inline std::size_t wide_packed_size(int kernel, int channels_in, int channels_out) {
    return static_cast<std::size_t>(wide_k(kernel, channels_in)) *
           static_cast<std::size_t>((channels_out + kWidth - 1) / kWidth * kWidth);
}

inline void wide_pack(const float* weights, int kernel, int channels_in, int channels_out, float* dst) {
    const int taps = kernel * kernel, k = wide_k(kernel, channels_in);
    for (int j0 = 0; j0 < channels_out;) {
        const int width = wide_panel_vectors(channels_out - j0) * kWidth;
        for (int p = 0; p < k; ++p) {
            const int tap = p / channels_in, c = p % channels_in;
            for (int j = j0; j < j0 + width; ++j)
                *dst++ = j < channels_out && tap < taps ? weights[(static_cast<std::ptrdiff_t>(j) * channels_in + c) * taps + tap]
                                                        : 0.0f;
        }
        j0 += width;
    }
}

/// Pixels of a block: whole tiles of every panel width.
constexpr int wide_block_pixels(int k) {
    const int depth = k < kWideBlockK ? k : kWideBlockK, unit = kWideConvGrain;
    return kWideBlockFloats / depth / unit < 1   ? unit
           : kWideBlockFloats / depth / unit > 8 ? 8 * unit
                                                 : kWideBlockFloats / depth / unit * unit;
}

inline std::size_t wide_scratch(int kernel, int channels_in) {
    const int k = wide_k(kernel, channels_in), depth = k < kWideBlockK ? k : kWideBlockK;
    return static_cast<std::size_t>(wide_block_pixels(k)) * static_cast<std::size_t>(depth + kWideRowPad);
}

/// Floats [begin, end) of k of an ordinary convolution at output pixel (y, x).
RETINAFACE_INLINE void wide_gather(const WideConvArgs& g, int y, int x, int begin, int end, float* dst) {
    const int row_floats = g.kernel * g.channels;
    const int left = x * g.stride - g.kernel / 2;
    for (int ky = begin / row_floats; ky < g.kernel && begin < end; ++ky) {
        const int last = end < (ky + 1) * row_floats ? end : (ky + 1) * row_floats, count = last - begin;
        const int row = y * g.stride + ky - g.kernel / 2;
        if (row < 0 || row >= g.height) {
            std::memset(dst, 0, static_cast<std::size_t>(count) * sizeof(float));
        } else {
            // Where this run lies in the row, and how much of it is outside.
            const std::ptrdiff_t from = static_cast<std::ptrdiff_t>(left) * g.channels + (begin - ky * row_floats);
            const std::ptrdiff_t width = static_cast<std::ptrdiff_t>(g.width) * g.channels;
            const std::ptrdiff_t before = from < 0 ? (-from < count ? -from : count) : 0;
            const std::ptrdiff_t behind =
                from + count > width ? (from + count - width < count ? from + count - width : count) : 0;
            if (before > 0) std::memset(dst, 0, static_cast<std::size_t>(before) * sizeof(float));
            if (count > before + behind)
                std::memcpy(dst + before, g.src + row * width + from + before,
                            static_cast<std::size_t>(count - before - behind) * sizeof(float));
            if (behind > 0) std::memset(dst + (count - behind), 0, static_cast<std::size_t>(behind) * sizeof(float));
        }
        dst += count;
        begin = last;
    }
    if (begin < end) std::memset(dst, 0, static_cast<std::size_t>(end - begin) * sizeof(float));
}

/// The same of a deformable convolution: a tap's channels interpolated at its offset.
RETINAFACE_INLINE void wide_gather_deformed(const WideConvArgs& g, int y, int x, int begin, int end, float* dst) {
    const int taps = g.kernel * g.kernel;
    const float* const offsets = g.offsets + (static_cast<std::ptrdiff_t>(y) * g.width_out + x) * g.offset_stride;
    for (int tap = begin / g.channels; tap < taps && begin < end; ++tap) {
        const int last = end < (tap + 1) * g.channels ? end : (tap + 1) * g.channels, count = last - begin;
        const int channel = begin - tap * g.channels;
        const DeformedTap at = deformed_tap(g, y, x, tap, offsets);
        if (at.weight[0] == 0 && at.weight[1] == 0 && at.weight[2] == 0 && at.weight[3] == 0) {
            std::memset(dst, 0, static_cast<std::size_t>(count) * sizeof(float));
        } else {
            const float *p0 = g.src + at.pixel[0] * g.channels + channel, *p1 = g.src + at.pixel[1] * g.channels + channel;
            const float *p2 = g.src + at.pixel[2] * g.channels + channel, *p3 = g.src + at.pixel[3] * g.channels + channel;
            const Vec w0 = broadcast(at.weight[0]), w1 = broadcast(at.weight[1]), w2 = broadcast(at.weight[2]),
                      w3 = broadcast(at.weight[3]);
            for (int c = 0; c < count; c += kWidth) {
                const int lanes = count - c < kWidth ? count - c : kWidth;
                const Vec top = fma(w1, load_lanes(p1 + c, lanes), mul(w0, load_lanes(p0 + c, lanes)));
                store_lanes(dst + c, fma(w3, load_lanes(p3 + c, lanes), fma(w2, load_lanes(p2 + c, lanes), top)), lanes);
            }
        }
        dst += count;
        begin = last;
    }
    if (begin < end) std::memset(dst, 0, static_cast<std::size_t>(end - begin) * sizeof(float));
}

struct WideTile {
    const float* a;  // gathered (or plain) pixels, `lda` floats apart
    std::ptrdiff_t lda;
    const float* b;
    int k;
    const float* bias;  // nullptr: sums go on from what the output holds
    float* c;
    std::ptrdiff_t ldc;
    int channels;  // of this panel; at most its width
    int rows;      // of this tile; at most its height
    bool last;     // the sum is complete: what follows applies
    float slope;
    const float* residual;  // this tile's, or nullptr
    std::ptrdiff_t ld_residual;
    const float* const* up;  // for each row the coarser map's pixel, or nullptr
    int channel;             // first channel of the panel, for `up`
};

template <int Rows, int Vectors>
RETINAFACE_INLINE void wide_tile(const WideTile& t) {
    Vec acc[std::size_t{Rows}][std::size_t{Vectors}];
    const auto lanes = [&](int v) { return v + 1 < Vectors ? kWidth : t.channels - v * kWidth; };
    // What the sums end in is far from the core where maps are large: ask for it now.
    RETINAFACE_UNROLL
    for (int r = 0; r < Rows; ++r) {
        RETINAFACE_UNROLL
        for (int v = 0; v < Vectors; ++v) {
            prefetch(t.c + r * t.ldc + v * kWidth);
            if (t.residual != nullptr) prefetch(t.residual + r * t.ld_residual + v * kWidth);
        }
    }
    if (t.bias != nullptr) {
        RETINAFACE_UNROLL
        for (int v = 0; v < Vectors; ++v) {
            const Vec bias = load_lanes(t.bias + v * kWidth, lanes(v));
            RETINAFACE_UNROLL
            for (int r = 0; r < Rows; ++r) acc[r][v] = bias;
        }
    } else {
        RETINAFACE_UNROLL
        for (int r = 0; r < Rows; ++r) {
            const float* const c = t.c + (r < t.rows ? r : 0) * t.ldc;
            RETINAFACE_UNROLL
            for (int v = 0; v < Vectors; ++v) acc[r][v] = load_lanes(c + v * kWidth, lanes(v));
        }
    }
    // Three rows a base pointer: base, base + lda, base + 2 lda are addressing modes.
    constexpr int kBases = (Rows + 2) / 3;
    const std::ptrdiff_t lda = t.lda;
    const float* a[std::size_t{kBases}];
    RETINAFACE_UNROLL
    for (int i = 0; i < kBases; ++i) a[i] = t.a + 3 * i * lda;
    const float* b = t.b;
    constexpr int kSteps = 2;
    for (int p = t.k; p > 0; p -= kSteps) {
        RETINAFACE_UNROLL
        for (int s = 0; s < kSteps; ++s) {
            Vec w[std::size_t{Vectors}];
            RETINAFACE_UNROLL
            for (int v = 0; v < Vectors; ++v) w[v] = load(b + (s * Vectors + v) * kWidth);
            RETINAFACE_UNROLL
            for (int r = 0; r < Rows; ++r) {
                const Vec x = broadcast(a[r / 3][r % 3 * lda + s]);
                RETINAFACE_UNROLL
                for (int v = 0; v < Vectors; ++v) accumulate(acc[r][v], x, w[v]);
            }
        }
        RETINAFACE_UNROLL
        for (int i = 0; i < kBases; ++i) a[i] += kSteps;
        b += kSteps * Vectors * kWidth;
    }
    const Vec slope = broadcast(t.slope);
    RETINAFACE_UNROLL
    for (int r = 0; r < Rows; ++r) {
        if (r >= t.rows) break;
        RETINAFACE_UNROLL
        for (int v = 0; v < Vectors; ++v) {
            Vec y = acc[r][v];
            if (t.last) {
                if (t.residual != nullptr) y = add(y, load_lanes(t.residual + r * t.ld_residual + v * kWidth, lanes(v)));
                y = activate(y, slope);
                if (t.up != nullptr) y = add(y, load_lanes(t.up[r] + t.channel + v * kWidth, lanes(v)));
            }
            store_lanes(t.c + r * t.ldc + v * kWidth, y, lanes(v));
        }
    }
}

/// `count` pixels from output pixel `first` on, floats [begin, end) of k, all panels of one output.
template <int Vectors>
inline void wide_panel(const WideConvArgs& g, const WideOutput& out, WideTile t, int first, int count, int channel) {
    constexpr int kRows = kGemmRows[Vectors];
    const float* const a = t.a;
    const float* up[std::size_t{kRows}];
    for (int i = 0; i < count; i += kRows) {
        t.rows = count - i < kRows ? count - i : kRows;
        t.a = a + i * t.lda;
        t.c = out.dst + static_cast<std::ptrdiff_t>(first + i) * out.pixel_stride + channel;
        if (out.residual != nullptr)
            t.residual = out.residual + static_cast<std::ptrdiff_t>(first + i) * out.residual_stride + channel;
        if (out.up != nullptr && t.last) {
            for (int r = 0; r < t.rows; ++r) {
                const int y = (first + i + r) / g.width_out, x = (first + i + r) % g.width_out;
                up[r] = out.up + (static_cast<std::ptrdiff_t>(y / 2) * out.up_width + x / 2) * out.up_stride;
            }
            t.up = up;
        }
        wide_tile<kRows, Vectors>(t);
    }
}

inline void wide_conv(const WideConvArgs& g) {
    const int k = wide_k(g.kernel, g.channels), block = wide_block_pixels(k);
    // A pointwise convolution whose rows fall into different cache sets is multiplied where it lies, whole tiles of it.
    const bool plain = g.kernel == 1 && g.stride == 1 && g.offsets == nullptr && g.channels < kWideBlockK && g.channels % 8 == 0;
    for (int first = g.pixel_begin; first < g.pixel_end; first += block) {
        const int count = g.pixel_end - first < block ? g.pixel_end - first : block;
        for (int begin = 0; begin < k; begin += kWideBlockK) {
            const int end = k - begin < kWideBlockK ? k : begin + kWideBlockK, depth = end - begin;
            const bool in_place = plain && count % kWideConvGrain == 0;
            const std::ptrdiff_t lda = in_place ? g.channels : depth + kWideRowPad;
            if (!in_place) {
                for (int i = 0; i < count; ++i) {
                    const int y = (first + i) / g.width_out, x = (first + i) % g.width_out;
                    if (g.offsets != nullptr)
                        wide_gather_deformed(g, y, x, begin, end, g.scratch + i * lda);
                    else
                        wide_gather(g, y, x, begin, end, g.scratch + i * lda);
                }
                // Tiles are whole: what is computed for the missing pixels is thrown away.
                for (int i = count; i % kWideConvGrain != 0; ++i)
                    std::memset(g.scratch + i * lda, 0, static_cast<std::size_t>(depth) * sizeof(float));
            }
            for (const WideOutput& out : g.outputs) {
                WideTile t{};
                t.a = in_place ? g.src + static_cast<std::ptrdiff_t>(first) * g.channels : g.scratch;
                t.lda = lda;
                t.k = depth;
                t.ldc = out.pixel_stride;
                t.slope = out.slope;
                t.ld_residual = out.residual_stride;
                t.last = end == k;
                const float* weights = out.weights;
                for (int j = 0; j < out.channels;) {
                    const int vectors = wide_panel_vectors(out.channels - j), width = vectors * kWidth;
                    t.channels = out.channels - j < width ? out.channels - j : width;
                    t.b = weights + static_cast<std::ptrdiff_t>(begin) * width;
                    t.bias = begin == 0 ? out.bias + j : nullptr;
                    t.channel = j;
                    if (vectors == 1)
                        wide_panel<1>(g, out, t, first, count, j);
                    else if (vectors == 2)
                        wide_panel<2>(g, out, t, first, count, j);
                    else
                        wide_panel<kWidest>(g, out, t, first, count, j);
                    weights += static_cast<std::ptrdiff_t>(k) * width;
                    j += width;
                }
            }
        }
    }
}
