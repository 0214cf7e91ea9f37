// Depthwise 3x3, one output row. Pixels are the outer loop, so that memory is read in order; a group of neighbouring output pixels
// shares each weight and the input columns they have in common.

/// Output pixel x at the left or right edge, where a column of taps may lie outside.
inline void dwconv3x3_edge(const DepthwiseArgs& d, int x) {
    const Vec slope = broadcast(d.slope);
    for (int c = 0; c < d.channels; c += kWidth) {
        const int lanes = d.channels - c < kWidth ? d.channels - c : kWidth;
        Vec acc = load_lanes(d.bias + c, lanes);
        for (int ky = 0; ky < 3; ++ky) {
            for (int kx = 0; kx < 3; ++kx) {
                const int column = x * d.stride + kx - 1;
                if (column < 0 || column >= d.width_in) continue;
                const Vec v = load_lanes(d.rows[ky] + static_cast<std::ptrdiff_t>(column) * d.channels + c, lanes);
                acc = fma(v, load_lanes(d.weights + (ky * 3 + kx) * d.channels + c, lanes), acc);
            }
        }
        store_lanes(d.dst + static_cast<std::ptrdiff_t>(x) * d.channels + c, activate(acc, slope), lanes);
    }
}

template <bool Half>
RETINAFACE_INLINE Vec load_vector(const float* p) {
    return Half ? load_half(p) : load(p);
}

/// One vector of channels of `Pixels` output pixels. `rows` point at the first column of taps; `pitch` is the distance between
/// columns, and between output pixels.
template <int Stride, int Pixels, bool Half>
RETINAFACE_INLINE void dwconv3x3_vector(const float* row0, const float* row1, const float* row2, std::ptrdiff_t pitch, const float* weights,
                                        std::ptrdiff_t weight_pitch, const float* bias, Vec slope, float* dst) {
    constexpr int kColumns = 3 + (Pixels - 1) * Stride;
    const float* const rows[3] = {row0, row1, row2};
    Vec acc[Pixels];
    const Vec b = load_vector<Half>(bias);
    RETINAFACE_UNROLL
    for (int i = 0; i < Pixels; ++i) acc[i] = b;
    RETINAFACE_UNROLL
    for (int ky = 0; ky < 3; ++ky) {
        Vec w[3];
        RETINAFACE_UNROLL
        for (int kx = 0; kx < 3; ++kx) w[kx] = load_vector<Half>(weights + (ky * 3 + kx) * weight_pitch);
        RETINAFACE_UNROLL
        for (int column = 0; column < kColumns; ++column) {
            const Vec v = load_vector<Half>(rows[ky] + column * pitch);
            RETINAFACE_UNROLL
            for (int i = 0; i < Pixels; ++i) {
                const int kx = column - i * Stride;
                if (kx >= 0 && kx < 3) accumulate(acc[i], v, w[kx]);
            }
        }
    }
    RETINAFACE_UNROLL
    for (int i = 0; i < Pixels; ++i) {
        const Vec y = activate(acc[i], slope);
        if (Half)
            store_half(dst + i * pitch, y);
        else
            store(dst + i * pitch, y);
    }
}

/// All channels of `Pixels` output pixels from x on, whose taps all lie inside the rows.
template <int Stride, int Pixels>
RETINAFACE_INLINE void dwconv3x3_pixels(const DepthwiseArgs& d, int x) {
    const std::ptrdiff_t pitch = d.channels, offset = (static_cast<std::ptrdiff_t>(x) * Stride - 1) * pitch;
    const float *row0 = d.rows[0] + offset, *row1 = d.rows[1] + offset, *row2 = d.rows[2] + offset;
    float* dst = d.dst + x * pitch;
    const Vec slope = broadcast(d.slope);
    std::ptrdiff_t c = 0;
    for (; c + kWidth <= pitch; c += kWidth)
        dwconv3x3_vector<Stride, Pixels, false>(row0 + c, row1 + c, row2 + c, pitch, d.weights + c, pitch, d.bias + c, slope, dst + c);
    if (kWidth > 8 && c < pitch)
        dwconv3x3_vector<Stride, Pixels, true>(row0 + c, row1 + c, row2 + c, pitch, d.weights + c, pitch, d.bias + c, slope, dst + c);
}

template <int Stride>
inline void dwconv3x3_row(const DepthwiseArgs& d) {
    constexpr int kPixels = 4;
    dwconv3x3_edge(d, 0);
    // Pixels with all three columns inside: x * Stride + 1 <= width_in - 1.
    const int end = (d.width_in - 2) / Stride + 1 < d.width_out ? (d.width_in - 2) / Stride + 1 : d.width_out;
    int x = 1;
    for (; x + kPixels <= end; x += kPixels) dwconv3x3_pixels<Stride, kPixels>(d, x);
    for (; x < end; ++x) dwconv3x3_pixels<Stride, 1>(d, x);
    for (; x < d.width_out; ++x) dwconv3x3_edge(d, x);
}

/// 8 channels in 16 lanes, stride 1: a vector is two neighbouring pixels, and columns are half a vector apart.
inline void dwconv3x3_pairs(const DepthwiseArgs& d) {
    constexpr int kVectors = 4;
    dwconv3x3_edge(d, 0);
    Vec w[9];
    RETINAFACE_UNROLL
    for (int i = 0; i < 9; ++i) w[i] = load_twice(d.weights + i * 8);
    const Vec bias = load_twice(d.bias), slope = broadcast(d.slope);
    int x = 1;
    for (; x + 2 * kVectors <= d.width_in - 1; x += 2 * kVectors) {
        Vec acc[kVectors];
        RETINAFACE_UNROLL
        for (int i = 0; i < kVectors; ++i) acc[i] = bias;
        RETINAFACE_UNROLL
        for (int ky = 0; ky < 3; ++ky) {
            const float* row = d.rows[ky] + (x - 1) * 8;
            RETINAFACE_UNROLL
            for (int i = 0; i < kVectors; ++i) {
                RETINAFACE_UNROLL
                for (int kx = 0; kx < 3; ++kx) accumulate(acc[i], load(row + (2 * i + kx) * 8), w[ky * 3 + kx]);
            }
        }
        RETINAFACE_UNROLL
        for (int i = 0; i < kVectors; ++i) store(d.dst + (x + 2 * i) * 8, activate(acc[i], slope));
    }
    for (; x < d.width_out; ++x) dwconv3x3_edge(d, x);
}

inline void dwconv3x3(const DepthwiseArgs& d) {
    if (d.stride == 2)
        dwconv3x3_row<2>(d);
    else if (kWidth == 16 && d.channels == 8)
        dwconv3x3_pairs(d);
    else
        dwconv3x3_row<1>(d);
}
