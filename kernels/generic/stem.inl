// First convolution, one output row: vectors over output channels, several output pixels share each weight.

template <int K, int Stride, int Channels, int PixelStride, int Pixels>
RETINAFACE_INLINE void stem_pixels(const StemArgs& s, int x) {
    constexpr int kVectors = (Channels + kWidth - 1) / kWidth;
    constexpr int kLanes = Channels < kWidth ? Channels : kWidth;
    Vec acc[std::size_t{Pixels}][std::size_t{kVectors}];
    RETINAFACE_UNROLL
    for (int v = 0; v < kVectors; ++v) {
        const Vec bias = load_lanes(s.bias + v * kWidth, kLanes);
        RETINAFACE_UNROLL
        for (int i = 0; i < Pixels; ++i) acc[i][v] = bias;
    }
    const float* w = s.weights;
    for (int ky = 0; ky < K; ++ky) {
        const float* row = s.rows[ky] + x * Stride * PixelStride;  // the row begins K / 2 pixels before the image
        for (int kx = 0; kx < K; ++kx, row += PixelStride) {
            RETINAFACE_UNROLL
            for (int c = 0; c < 3; ++c) {
                RETINAFACE_UNROLL
                for (int v = 0; v < kVectors; ++v) {
                    const Vec weight = load_lanes(w, kLanes);
                    w += kLanes;
                    RETINAFACE_UNROLL
                    for (int i = 0; i < Pixels; ++i) accumulate(acc[i][v], broadcast(row[i * Stride * PixelStride + c]), weight);
                }
            }
        }
    }
    const Vec slope = broadcast(s.slope);
    float* dst = s.dst + static_cast<std::ptrdiff_t>(x) * Channels;
    RETINAFACE_UNROLL
    for (int i = 0; i < Pixels; ++i) {
        RETINAFACE_UNROLL
        for (int v = 0; v < kVectors; ++v) store_lanes(dst + i * Channels + v * kWidth, activate(acc[i][v], slope), kLanes);
    }
}

template <int K, int Stride, int Channels, int PixelStride>
inline void stem_row(const StemArgs& s) {
    constexpr int kPixels = Channels > kWidth ? 4 : 8;
    const int width_out = (s.width + Stride - 1) / Stride;
    int x = 0;
    for (; x + kPixels <= width_out; x += kPixels) stem_pixels<K, Stride, Channels, PixelStride, kPixels>(s, x);
    for (; x < width_out; ++x) stem_pixels<K, Stride, Channels, PixelStride, 1>(s, x);
}

template <int K, int Stride, int Channels>
inline void interleaved_stem(const StemArgs& s) {
    s.channels == 3 ? stem_row<K, Stride, Channels, 3>(s) : stem_row<K, Stride, Channels, 4>(s);
}
