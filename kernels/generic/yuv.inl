// Rows of YUV turned into rgb8, plain. The `_from` forms begin within the row, where vectors have left off.

constexpr int yuv_product(int value, int coefficient) { return (value * coefficient + (1 << 14)) >> 15; }

/// One pixel from its Y and sixteen times its U and V.
inline void yuv_pixel(const YuvMatrix& m, int y, int u, int v, std::uint8_t* dst) {
    const int luma = yuv_product((y - m.offset) * 128, m.y);
    u = (u - 16 * 128) * 8;
    v = (v - 16 * 128) * 8;
    const auto clamp = [](int colour) {
        const int value = (colour + 16) >> 5;
        return static_cast<std::uint8_t>(value < 0 ? 0 : value > 255 ? 255 : value);
    };
    dst[0] = clamp(luma + yuv_product(v, m.rv));
    dst[1] = clamp(luma - yuv_product(u, m.gu) - yuv_product(v, m.gv));
    dst[2] = clamp(luma + yuv_product(u, m.bu));
}

inline void yuv_blend_from(const YuvBlendArgs& a, int i) {
    for (; i < a.count; ++i) a.dst[i] = static_cast<std::int16_t>(3 * a.own[i] + a.other[i]);
}

/// x is even.
inline void yuv_blocks_from(const YuvBlocksArgs& a, int x) {
    const BlockRow& row = a.row;
    const int u = row.u, v = 1 - u;
    for (; x < row.width; x += 2) {
        const std::int16_t *left = row.pairs + x - 2, *own = left + 2, *right = own + 2;
        const int u3 = 3 * own[u], v3 = 3 * own[v];
        yuv_pixel(a.matrix, row.y[x], u3 + left[u], v3 + left[v], a.dst + 3 * x);
        if (x + 1 < row.width) yuv_pixel(a.matrix, row.y[x + 1], u3 + right[u], v3 + right[v], a.dst + 3 * x + 3);
    }
}

/// x is even.
inline void yuv_pairs_from(const YuvPairsArgs& a, int x) {
    for (; x < a.width; x += 2) {
        const std::uint8_t* pair = a.row + 2 * x;
        const int u = 16 * pair[1], v = 16 * pair[3];
        yuv_pixel(a.matrix, pair[0], u, v, a.dst + 3 * x);
        if (x + 1 < a.width) yuv_pixel(a.matrix, pair[2], u, v, a.dst + 3 * x + 3);
    }
}
