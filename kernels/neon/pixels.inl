// Staging one row of 8-bit pixels for 64-bit ARM: the layout of generic/pixels.inl (interleaved, 3 floats a pixel or 4, K / 2
// zero pixels before and K after), 16 bytes a load.

template <int K>
inline std::size_t interleaved_row_size(int width_padded) {
    return (static_cast<std::size_t>(width_padded + 2 * K) * 4 + 15) / 16 * 16;
}

RETINAFACE_INLINE void convert_16(uint8x16_t bytes, Vec mean0, Vec mean1, Vec mean2, Vec mean3, float* dst) {
    const uint16x8_t low = vmovl_u8(vget_low_u8(bytes)), high = vmovl_high_u8(bytes);
    store(dst, sub(vcvtq_f32_u32(vmovl_u16(vget_low_u16(low))), mean0));
    store(dst + 4, sub(vcvtq_f32_u32(vmovl_high_u16(low)), mean1));
    store(dst + 8, sub(vcvtq_f32_u32(vmovl_u16(vget_low_u16(high))), mean2));
    store(dst + 12, sub(vcvtq_f32_u32(vmovl_high_u16(high)), mean3));
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
        float pattern[12];
        for (int i = 0; i < 12; i += 3) std::memcpy(pattern + i, p.mean, sizeof(float) * 3);
        const Vec m0 = load(pattern), m1 = load(pattern + 4), m2 = load(pattern + 8);
        const int n = 3 * width;
        int i = 0;
        for (; i + 48 <= n; i += 48) {
            convert_16(vld1q_u8(p.src + i), m0, m1, m2, m0, dst + i);
            convert_16(vld1q_u8(p.src + i + 16), m1, m2, m0, m1, dst + i + 16);
            convert_16(vld1q_u8(p.src + i + 32), m2, m0, m1, m2, dst + i + 32);
        }
        for (int c = 0; i < n; ++i, c = c == 2 ? 0 : c + 1) dst[i] = static_cast<float>(p.src[i]) - p.mean[c];
        return;
    }
    int x = 0;
    if (p.channels == 4) {
        const float means[4] = {p.mean[0], p.mean[1], p.mean[2], 0.0f};
        const Vec mean = load(means);
        // The fourth byte of a pixel is none of the network's: zero before the conversion.
        const uint8x16_t colours = vreinterpretq_u8_u32(vdupq_n_u32(0x00FFFFFF));
        for (; x + 4 <= width; x += 4) {
            const std::ptrdiff_t i = static_cast<std::ptrdiff_t>(x) * 4;
            convert_16(vandq_u8(vld1q_u8(p.src + i), colours), mean, mean, mean, mean, dst + i);
        }
    }
    const int step = p.channels == 4 ? 1 : 0;
    for (; x < width; ++x) {
        const std::uint8_t* pixel = p.src + static_cast<std::ptrdiff_t>(x) * p.channels;
        float* out = dst + static_cast<std::ptrdiff_t>(x) * 4;
        out[0] = static_cast<float>(pixel[0]) - p.mean[0];
        out[1] = static_cast<float>(pixel[step]) - p.mean[1];
        out[2] = static_cast<float>(pixel[2 * step]) - p.mean[2];
        out[3] = 0.0f;
    }
}
