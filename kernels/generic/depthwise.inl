// Depthwise 3x3, one output row, one vector of channels at a time with its nine weights in registers; neighbouring output pixels
// share the input columns they have in common.

/// Output pixel x at the left or right edge, where a column of taps may lie outside.
template <int Stride>
RETINAFACE_INLINE void dwconv3x3_edge(const DepthwiseArgs& d, int x, int c, int lanes) {
    Vec acc = load_lanes(d.bias + c, lanes);
    for (int ky = 0; ky < 3; ++ky) {
        for (int kx = 0; kx < 3; ++kx) {
            const int column = x * Stride + kx - 1;
            if (column < 0 || column >= d.width_in) continue;
            const Vec v = load_lanes(d.rows[ky] + static_cast<std::ptrdiff_t>(column) * d.channels + c, lanes);
            acc = fma(v, load_lanes(d.weights + (ky * 3 + kx) * d.channels + c, lanes), acc);
        }
    }
    store_lanes(d.dst + static_cast<std::ptrdiff_t>(x) * d.channels + c, activate(acc, broadcast(d.slope)), lanes);
}

/// `Pixels` output vectors from x on; `pitch` floats from input column to input column and from output pixel to output pixel.
template <int Stride, int Pixels, bool Half>
RETINAFACE_INLINE void dwconv3x3_pixels(const float* const* rows, float* dst, std::ptrdiff_t pitch, const Vec (&w)[9], Vec bias,
                                        Vec slope) {
    constexpr int kColumns = 3 + (Pixels - 1) * Stride;
    Vec acc[Pixels];
    RETINAFACE_UNROLL
    for (int i = 0; i < Pixels; ++i) acc[i] = bias;
    RETINAFACE_UNROLL
    for (int ky = 0; ky < 3; ++ky) {
        RETINAFACE_UNROLL
        for (int column = 0; column < kColumns; ++column) {
            const Vec v = Half ? load_half(rows[ky] + column * pitch) : load(rows[ky] + column * pitch);
            RETINAFACE_UNROLL
            for (int i = 0; i < Pixels; ++i) {
                const int kx = column - i * Stride;
                if (kx >= 0 && kx < 3) acc[i] = fma(v, w[ky * 3 + kx], acc[i]);
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

template <int Stride, bool Half>
inline void dwconv3x3_block(const DepthwiseArgs& d, int c) {
    constexpr int kPixels = 4;
    const int lanes = Half ? 8 : kWidth;
    const std::ptrdiff_t pitch = d.channels;
    dwconv3x3_edge<Stride>(d, 0, c, lanes);
    // Pixels with all three columns inside: x * Stride + 1 <= width_in - 1.
    const int end = (d.width_in - 2) / Stride + 1 < d.width_out ? (d.width_in - 2) / Stride + 1 : d.width_out;
    Vec w[9];
    for (int i = 0; i < 9; ++i) w[i] = load_lanes(d.weights + i * pitch + c, lanes);
    const Vec bias = load_lanes(d.bias + c, lanes);
    const Vec slope = broadcast(d.slope);
    int x = 1;
    const auto run = [&](auto pixels) {
        constexpr int kRun = decltype(pixels)::value;
        const std::ptrdiff_t offset = (static_cast<std::ptrdiff_t>(x) * Stride - 1) * pitch + c;
        const float* rows[3] = {d.rows[0] + offset, d.rows[1] + offset, d.rows[2] + offset};
        dwconv3x3_pixels<Stride, kRun, Half>(rows, d.dst + x * pitch + c, pitch, w, bias, slope);
        x += kRun;
    };
    while (x + kPixels <= end) run(std::integral_constant<int, kPixels>{});
    while (x < end) run(std::integral_constant<int, 1>{});
    for (; x < d.width_out; ++x) dwconv3x3_edge<Stride>(d, x, c, lanes);
}

/// 8 channels, 16 lanes, stride 1: a vector is two neighbouring pixels.
inline void dwconv3x3_pairs(const DepthwiseArgs& d) {
    dwconv3x3_edge<1>(d, 0, 0, 8);
    Vec w[9];
    for (int i = 0; i < 9; ++i) w[i] = load_twice(d.weights + i * 8);
    const Vec bias = load_twice(d.bias);
    const Vec slope = broadcast(d.slope);
    int x = 1;
    for (; x + 2 <= d.width_in - 1; x += 2) {
        const float* rows[3] = {d.rows[0] + (x - 1) * 8, d.rows[1] + (x - 1) * 8, d.rows[2] + (x - 1) * 8};
        dwconv3x3_pixels<1, 1, false>(rows, d.dst + x * 8, 8, w, bias, slope);
    }
    for (; x < d.width_out; ++x) dwconv3x3_edge<1>(d, x, 0, 8);
}

template <int Stride>
inline void dwconv3x3_row(const DepthwiseArgs& d) {
    int c = 0;
    for (; c + kWidth <= d.channels; c += kWidth) dwconv3x3_block<Stride, false>(d, c);
    if (kWidth > 8 && c < d.channels) dwconv3x3_block<Stride, true>(d, c);
}

inline void dwconv3x3(const DepthwiseArgs& d) {
    if (d.stride == 2)
        dwconv3x3_row<2>(d);
    else if (kWidth == 16 && d.channels == 8)
        dwconv3x3_pairs(d);
    else
        dwconv3x3_row<1>(d);
}
