// Bilinear sampling along a line, sums and means of bytes, plain.

inline WarpPosition warp_position(const WarpRowArgs& a, int i) { return {a.start.x + i * a.step.x, a.start.y + i * a.step.y}; }

/// Pixels [begin, end) of the row. Any source, any position.
inline void warp_row_anywhere(const WarpRowArgs& a, int begin, int end) {
    const WarpSource& source = *a.source;
    WarpPosition at = warp_position(a, begin);
    std::uint8_t* dst = a.dst + std::ptrdiff_t{3} * begin;
    for (int i = begin; i < end; ++i, dst += 3, at.x += a.step.x, at.y += a.step.y) {
        const std::int64_t left = at.x >> kWarpPoint, top = at.y >> kWarpPoint;
        const int wx = at.right_weight(), wy = at.bottom_weight();
        const auto pixel = [&](std::int64_t x, std::int64_t y) {
            const bool inside = x >= 0 && y >= 0 && x < source.width && y < source.height;
            return inside ? source.data + y * source.stride + x * source.bytes : nullptr;
        };
        const std::uint8_t* const p[4] = {pixel(left, top), pixel(left + 1, top), pixel(left, top + 1), pixel(left + 1, top + 1)};
        for (int c = 0; c < 3; ++c) {
            const auto value = [&](int k) { return p[k] != nullptr ? static_cast<int>(p[k][source.order[c]]) : 0; };
            const int above = value(0) * (128 - wx) + value(1) * wx, below = value(2) * (128 - wx) + value(3) * wx;
            dst[c] = static_cast<std::uint8_t>((above * (128 - wy) + below * wy + (1 << 13)) >> 14);
        }
    }
}

inline void add_bytes_from(const AddBytesArgs& a, std::size_t i) {
    for (; i < a.count; ++i) a.sums[i] = static_cast<std::uint16_t>(a.sums[i] + a.src[i]);
}

/// Keeps GCC from making one multiply-add of a product and the sum after it, which would round once in some sets and twice in others.
RETINAFACE_INLINE float rounded(float product) {
#if RETINAFACE_X86_64
    asm("" : "+x"(product));
#endif
    return product;
}

inline void mean_row_plain(const MeanRowArgs& a) {
    const std::uint16_t* sums = a.sums;
    std::uint8_t* dst = a.dst;
    for (int x = 0; x < a.width; ++x, dst += 4, sums += a.bytes * a.factor)
        for (std::ptrdiff_t c = 0; c < a.bytes; ++c) {
            std::uint32_t total = 0;
            for (int i = 0; i < a.factor; ++i) total += sums[i * a.bytes + c];
            dst[c] = static_cast<std::uint8_t>(rounded(static_cast<float>(total) * a.scale) + 0.5f);
        }
}
