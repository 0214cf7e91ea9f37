// Staging one row of 8-bit pixels: interleaved, 3 floats a pixel (4 where the image has 1 or 4 bytes a pixel), K / 2 zero pixels
// before, K zero pixels after.

template <int K>
inline std::size_t interleaved_row_size(int width_padded) {
    return (static_cast<std::size_t>(width_padded + 2 * K) * 4 + 15) / 16 * 16;
}

template <int K>
inline void load_interleaved(const LoadPixelsArgs& p) {
    const int pitch = p.channels == 3 ? 3 : 4;
    const int before = K / 2 * pitch, width = p.src != nullptr ? p.width : 0;
    std::memset(p.dst, 0, static_cast<std::size_t>(before) * sizeof(float));
    float* const dst = p.dst + before;
    std::memset(dst + width * pitch, 0,
                static_cast<std::size_t>(p.width_padded + K - width) * static_cast<std::size_t>(pitch) * sizeof(float));
    if (p.channels == 3) {
        // The mean repeats every 3 floats: three vectors of it serve any width.
        float pattern[3 * kWidth];
        for (int i = 0; i < 3 * kWidth; i += 3) std::memcpy(pattern + i, p.mean, sizeof(float) * 3);
        const int n = 3 * width;
        int i = 0;
        for (; i + 3 * kWidth <= n; i += 3 * kWidth) {
            RETINAFACE_UNROLL
            for (int v = 0; v < 3; ++v)
                store(dst + i + v * kWidth, sub(load_u8(p.src + i + v * kWidth), load(pattern + v * kWidth)));
        }
        for (int j = 0; i + j < n; ++j) dst[i + j] = static_cast<float>(p.src[i + j]) - pattern[j];
        return;
    }
    const int step = p.channels == 4 ? 1 : 0;
    for (int x = 0; x < width; ++x) {
        const std::uint8_t* pixel = p.src + static_cast<std::ptrdiff_t>(x) * p.channels;
        float* out = dst + static_cast<std::ptrdiff_t>(x) * 4;
        out[0] = static_cast<float>(pixel[0]) - p.mean[0];
        out[1] = static_cast<float>(pixel[step]) - p.mean[1];
        out[2] = static_cast<float>(pixel[2 * step]) - p.mean[2];
        out[3] = 0.0f;
    }
}
