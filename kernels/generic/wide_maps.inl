// What wide networks do to maps between convolutions.

/// 3 x 3 maximum, stride 2, padding 1: one output row.
inline void max_pool3x3(const MaxPool3x3Args& p) {
    for (int x = 0; x < p.width_out; ++x) {
        const int from = 2 * x - 1 < 0 ? 0 : 2 * x - 1, to = 2 * x + 1 < p.width_in ? 2 * x + 1 : p.width_in - 1;
        for (int c = 0; c < p.channels; c += kWidth) {
            const int lanes = p.channels - c < kWidth ? p.channels - c : kWidth;
            Vec most = load_lanes(p.rows[0] + static_cast<std::ptrdiff_t>(from) * p.channels + c, lanes);
            for (int i = 0; i < p.row_count; ++i)
                for (int column = from; column <= to; ++column)
                    most = max(most, load_lanes(p.rows[i] + static_cast<std::ptrdiff_t>(column) * p.channels + c, lanes));
            store_lanes(p.dst + static_cast<std::ptrdiff_t>(x) * p.channels + c, most, lanes);
        }
    }
}

/// act(x * scale + shift) by channel.
inline void scale_shift(const ScaleShiftArgs& s) {
    const Vec slope = broadcast(s.slope);
    for (int i = 0; i < s.pixels; ++i) {
        const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(i) * s.channels;
        for (int c = 0; c < s.channels; c += kWidth) {
            const int lanes = s.channels - c < kWidth ? s.channels - c : kWidth;
            const Vec y = fma(load_lanes(s.src + at + c, lanes), load_lanes(s.scale + c, lanes), load_lanes(s.shift + c, lanes));
            store_lanes(s.dst + at + c, activate(y, slope), lanes);
        }
    }
}
