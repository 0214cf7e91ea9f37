// Depthwise 3x3, one or two output rows. Pixels are the outer loop, so that memory is read in order; a group of neighbouring output
// pixels shares each weight and the input columns and rows they have in common.

/// Output pixel x of row y at the left or right edge, where a column of taps may lie outside.
inline void dwconv3x3_edge(const DepthwiseConv3x3Args& d, int y, int x) {
    const Vec slope = broadcast(d.slope);
    for (int c = 0; c < d.channels; c += kWidth) {
        const int lanes = d.channels - c < kWidth ? d.channels - c : kWidth;
        Vec acc = load_lanes(d.bias + c, lanes);
        for (int ky = 0; ky < 3; ++ky) {
            for (int kx = 0; kx < 3; ++kx) {
                const int column = x * d.stride + kx - 1;
                if (column < 0 || column >= d.width_in) continue;
                const Vec v = load_lanes(d.rows[y * d.stride + ky] + static_cast<std::ptrdiff_t>(column) * d.channels + c, lanes);
                acc = fma(v, load_lanes(d.weights + (ky * 3 + kx) * d.channels + c, lanes), acc);
            }
        }
        store_lanes(d.dst + (static_cast<std::ptrdiff_t>(y) * d.width_out + x) * d.channels + c, activate(acc, slope), lanes);
    }
}

template <int Rows>
inline void dwconv3x3_edges(const DepthwiseConv3x3Args& d, int x) {
    for (int y = 0; y < Rows; ++y) dwconv3x3_edge(d, y, x);
}

template <bool Half>
RETINAFACE_INLINE Vec load_vector(const float* p) {
    return Half ? load_half(p) : load(p);
}

/// One vector of channels, from `channel` on, of `Pixels` output pixels from x on in each of `Rows` rows; all taps lie inside the rows.
template <int Stride, int Rows, int Pixels, bool Half>
RETINAFACE_INLINE void dwconv3x3_vector(const DepthwiseConv3x3Args& d, int x, std::ptrdiff_t channel, Vec slope) {
    constexpr int kColumns = 3 + (Pixels - 1) * Stride, kRowsIn = 3 + (Rows - 1) * Stride;
    const std::ptrdiff_t pitch = d.channels, first = (static_cast<std::ptrdiff_t>(x) * Stride - 1) * pitch + channel;
    const float* const weights = d.weights + channel;
    Vec acc[std::size_t{Rows}][std::size_t{Pixels}];
    const Vec b = load_vector<Half>(d.bias + channel);
    RETINAFACE_UNROLL
    for (int y = 0; y < Rows; ++y) {
        RETINAFACE_UNROLL
        for (int i = 0; i < Pixels; ++i) acc[y][i] = b;
    }
    RETINAFACE_UNROLL
    for (int row = 0; row < kRowsIn; ++row) {
        const float* const src = d.rows[row] + first;
        // Row `row` is tap row - y * Stride of output row y.
        Vec w[std::size_t{Rows}][3];
        RETINAFACE_UNROLL
        for (int y = 0; y < Rows; ++y) {
            const int ky = row - y * Stride;
            if (ky < 0 || ky >= 3) continue;
            RETINAFACE_UNROLL
            for (int kx = 0; kx < 3; ++kx) w[y][kx] = load_vector<Half>(weights + (ky * 3 + kx) * pitch);
        }
        RETINAFACE_UNROLL
        for (int column = 0; column < kColumns; ++column) {
            const Vec v = load_vector<Half>(src + column * pitch);
            RETINAFACE_UNROLL
            for (int y = 0; y < Rows; ++y) {
                const int ky = row - y * Stride;
                if (ky < 0 || ky >= 3) continue;
                RETINAFACE_UNROLL
                for (int i = 0; i < Pixels; ++i) {
                    const int kx = column - i * Stride;
                    if (kx >= 0 && kx < 3) accumulate(acc[y][i], v, w[y][kx]);
                }
            }
        }
    }
    RETINAFACE_UNROLL
    for (int y = 0; y < Rows; ++y) {
        float* const dst = d.dst + (static_cast<std::ptrdiff_t>(y) * d.width_out + x) * pitch + channel;
        RETINAFACE_UNROLL
        for (int i = 0; i < Pixels; ++i) {
            const Vec v = activate(acc[y][i], slope);
            if (Half)
                store_half(dst + i * pitch, v);
            else
                store(dst + i * pitch, v);
        }
    }
}

/// All channels of those pixels.
template <int Stride, int Rows, int Pixels>
RETINAFACE_INLINE void dwconv3x3_pixels(const DepthwiseConv3x3Args& d, int x) {
    const Vec slope = broadcast(d.slope);
    std::ptrdiff_t c = 0;
    for (; c + kWidth <= d.channels; c += kWidth) dwconv3x3_vector<Stride, Rows, Pixels, false>(d, x, c, slope);
    if (kWidth > 8 && c < d.channels) dwconv3x3_vector<Stride, Rows, Pixels, true>(d, x, c, slope);
}

template <int Stride, int Rows>
inline void dwconv3x3_rows(const DepthwiseConv3x3Args& d) {
    constexpr int kPixels = 4;
    dwconv3x3_edges<Rows>(d, 0);
    // Pixels with all three columns inside: x * Stride + 1 <= width_in - 1.
    const int end = (d.width_in - 2) / Stride + 1 < d.width_out ? (d.width_in - 2) / Stride + 1 : d.width_out;
    int x = 1;
    for (; x + kPixels <= end; x += kPixels) dwconv3x3_pixels<Stride, Rows, kPixels>(d, x);
    for (; x < end; ++x) dwconv3x3_pixels<Stride, Rows, 1>(d, x);
    for (; x < d.width_out; ++x) dwconv3x3_edges<Rows>(d, x);
}

/// 8 channels in 16 lanes, stride 1: a vector is two neighbouring pixels, and columns are half a vector apart.
template <int Rows>
inline void dwconv3x3_pairs(const DepthwiseConv3x3Args& d) {
    constexpr int kVectors = 4;
    dwconv3x3_edges<Rows>(d, 0);
    Vec w[9];
    RETINAFACE_UNROLL
    for (int i = 0; i < 9; ++i) w[i] = load_twice(d.weights + i * 8);
    const Vec bias = load_twice(d.bias), slope = broadcast(d.slope);
    int x = 1;
    for (; x + 2 * kVectors <= d.width_in - 1; x += 2 * kVectors) {
        Vec acc[std::size_t{Rows}][std::size_t{kVectors}];
        RETINAFACE_UNROLL
        for (int y = 0; y < Rows; ++y) {
            RETINAFACE_UNROLL
            for (int i = 0; i < kVectors; ++i) acc[y][i] = bias;
        }
        RETINAFACE_UNROLL
        for (int row = 0; row < Rows + 2; ++row) {
            const float* src = d.rows[row] + (x - 1) * 8;
            RETINAFACE_UNROLL
            for (int column = 0; column < 2 * kVectors + 1; ++column) {
                const Vec v = load(src + column * 8);
                RETINAFACE_UNROLL
                for (int y = 0; y < Rows; ++y) {
                    const int ky = row - y;
                    if (ky < 0 || ky >= 3) continue;
                    RETINAFACE_UNROLL
                    for (int i = 0; i < kVectors; ++i) {
                        const int kx = column - 2 * i;
                        if (kx >= 0 && kx < 3) accumulate(acc[y][i], v, w[ky * 3 + kx]);
                    }
                }
            }
        }
        RETINAFACE_UNROLL
        for (int y = 0; y < Rows; ++y) {
            RETINAFACE_UNROLL
            for (int i = 0; i < kVectors; ++i) store(d.dst + (y * d.width_out + x + 2 * i) * 8, activate(acc[y][i], slope));
        }
    }
    for (; x < d.width_out; ++x) dwconv3x3_edges<Rows>(d, x);
}

template <int Rows>
inline void dwconv3x3_by_shape(const DepthwiseConv3x3Args& d) {
    if (d.stride == 2)
        dwconv3x3_rows<2, Rows>(d);
    else if (kWidth == 16 && d.channels == 8)
        dwconv3x3_pairs<Rows>(d);
    else
        dwconv3x3_rows<1, Rows>(d);
}

inline void dwconv3x3(const DepthwiseConv3x3Args& d) { d.rows_out == 2 ? dwconv3x3_by_shape<2>(d) : dwconv3x3_by_shape<1>(d); }
