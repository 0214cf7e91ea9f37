// First convolution for 64-bit ARM, one output row: vectors over output channels, multiply-add by lane. The pixels that a group of
// neighbouring outputs reads in one row are a few whole vectors, loaded once; every value in them meets its weights by lane.
//
// 3 x 3, stride 2, 8 channels: 4 outputs, 8 accumulators, 7 vectors of a row (9 where pixels have 4 floats).
// 7 x 7, stride 4, 16 channels: 2 outputs, 8 accumulators, 9 vectors of a row (11).
// Reads up to 3 floats after the last pixel needed, within the zero pixels of the staged row.

template <int K, int Stride, int Channels, int Pitch, int Pixels>
struct StemTile {
    static constexpr int kVectors = Channels / kWidth;
    static constexpr int kRow = (((Pixels - 1) * Stride + K) * Pitch + 3) / 4;  // vectors of a row

    template <int Tap>  // kx * 3 + colour
    static RETINAFACE_INLINE void tap(Vec (&acc)[Pixels][kVectors], const Vec (&x)[kRow], const float* w) {
        RETINAFACE_UNROLL
        for (int v = 0; v < kVectors; ++v) {
            const Vec weight = load(w + Tap * Channels + v * kWidth);
            pixels<Tap>(acc, x, weight, v, std::make_integer_sequence<int, Pixels>{});
        }
    }
    template <int Tap, int... I>
    static RETINAFACE_INLINE void pixels(Vec (&acc)[Pixels][kVectors], const Vec (&x)[kRow], Vec weight, int v,
                                         std::integer_sequence<int, I...>) {
        (accumulate_lane<((I * Stride + Tap / 3) * Pitch + Tap % 3) % 4>(acc[I][v], weight,
                                                                         x[((I * Stride + Tap / 3) * Pitch + Tap % 3) / 4]),
         ...);
    }
    template <int... Tap>
    static RETINAFACE_INLINE void taps(Vec (&acc)[Pixels][kVectors], const Vec (&x)[kRow], const float* w,
                                       std::integer_sequence<int, Tap...>) {
        (tap<Tap>(acc, x, w), ...);
    }

    /// Outputs [at, at + Pixels).
    static RETINAFACE_INLINE void run(const StemArgs& s, int at) {
        Vec acc[Pixels][kVectors];
        RETINAFACE_UNROLL
        for (int v = 0; v < kVectors; ++v) {
            const Vec bias = load(s.bias + v * kWidth);
            RETINAFACE_UNROLL
            for (int i = 0; i < Pixels; ++i) acc[i][v] = bias;
        }
        const float* w = s.weights;
        for (int ky = 0; ky < K; ++ky, w += K * 3 * Channels) {
            const float* row = s.rows[ky] + static_cast<std::ptrdiff_t>(at) * Stride * Pitch;
            Vec x[kRow];
            RETINAFACE_UNROLL
            for (int i = 0; i < kRow; ++i) x[i] = load(row + 4 * i);
            taps(acc, x, w, std::make_integer_sequence<int, K * 3>{});
        }
        const Vec slope = broadcast(s.slope);
        float* dst = s.dst + static_cast<std::ptrdiff_t>(at) * Channels;
        RETINAFACE_UNROLL
        for (int i = 0; i < Pixels; ++i) {
            RETINAFACE_UNROLL
            for (int v = 0; v < kVectors; ++v) store(dst + i * Channels + v * kWidth, activate(acc[i][v], slope));
        }
    }
};

template <int K, int Stride, int Channels, int Pitch>
inline void stem_row(const StemArgs& s) {
    constexpr int kPixels = Channels > 8 ? 2 : 4;
    const int width_out = (s.width + Stride - 1) / Stride;
    int x = 0;
    for (; x + kPixels <= width_out; x += kPixels) StemTile<K, Stride, Channels, Pitch, kPixels>::run(s, x);
    for (; x < width_out; ++x) StemTile<K, Stride, Channels, Pitch, 1>::run(s, x);
}

template <int K, int Stride, int Channels>
inline void interleaved_stem(const StemArgs& s) {
    s.channels == 3 ? stem_row<K, Stride, Channels, 3>(s) : stem_row<K, Stride, Channels, 4>(s);
}
