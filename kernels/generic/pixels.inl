// 8-bit pixels to fp32 minus mean, one row.

inline void load_pixels(const LoadPixelsArgs& p) {
    if (p.channels == 3) {
        // The mean repeats every 3 floats: three vectors of it serve any width.
        float pattern[3 * kWidth];
        for (int i = 0; i < 3 * kWidth; ++i) pattern[i] = p.mean[i % 3];
        const int n = 3 * p.width;
        int i = 0;
        for (; i + 3 * kWidth <= n; i += 3 * kWidth) {
            RETINAFACE_UNROLL
            for (int v = 0; v < 3; ++v)
                store(p.dst + i + v * kWidth, sub(load_u8(p.src + i + v * kWidth), load(pattern + v * kWidth)));
        }
        for (int j = 0; i + j < n; ++j) p.dst[i + j] = static_cast<float>(p.src[i + j]) - pattern[j];
        return;
    }
    const int step = p.channels == 4 ? 1 : 0;
    for (int x = 0; x < p.width; ++x) {
        const std::uint8_t* src = p.src + static_cast<std::ptrdiff_t>(x) * p.channels;
        float* dst = p.dst + static_cast<std::ptrdiff_t>(x) * 4;
        dst[0] = static_cast<float>(src[0]) - p.mean[0];
        dst[1] = static_cast<float>(src[step]) - p.mean[1];
        dst[2] = static_cast<float>(src[2 * step]) - p.mean[2];
        dst[3] = 0.0f;
    }
}
