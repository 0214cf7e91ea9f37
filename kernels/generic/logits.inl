// Class logits of a pixel: dot products along the channels.

template <int Outputs>
inline void class_logits(const ClassLogitsArgs& a) {
    for (int i = 0; i < a.pixels; ++i) {
        const float* x = a.src + static_cast<std::ptrdiff_t>(i) * a.channels;
        Vec acc[std::size_t{Outputs}];
        RETINAFACE_UNROLL
        for (int o = 0; o < Outputs; ++o) acc[o] = zero();
        for (int c = 0; c < a.channels; c += kWidth) {
            const int lanes = a.channels - c < kWidth ? a.channels - c : kWidth;
            const Vec v = load_lanes(x + c, lanes);
            RETINAFACE_UNROLL
            for (int o = 0; o < Outputs; ++o) acc[o] = fma(v, load_lanes(a.weights + o * a.channels + c, lanes), acc[o]);
        }
        RETINAFACE_UNROLL
        for (int o = 0; o < Outputs; ++o) a.dst[Outputs * static_cast<std::ptrdiff_t>(i) + o] = reduce_add(acc[o]) + a.bias[o];
    }
}
