// Chebyshev convolutions on meshes: the sparse product a row at a time, vectors over features and faces, each term's dense product
// while its rows are in the first cache. Every output is summed in one order, whatever the vector, the rows of a call and the faces.

/// V vectors of one row of scale * (matrix * x) - before.
template <int V>
RETINAFACE_INLINE void cheb_row(const CsrView& m, int begin, int end, const float* x, std::ptrdiff_t stride, float scale,
                                const float* before, float* t) {
    Vec sum[V];
    RETINAFACE_UNROLL
    for (int v = 0; v < V; ++v) sum[v] = zero();
    for (int e = begin; e < end; ++e) {
        const float* const row = x + m.indices[e] * stride;
        const Vec value = broadcast(m.values[e]);
        RETINAFACE_UNROLL
        for (int v = 0; v < V; ++v) sum[v] = fma(value, load(row + v * kWidth), sum[v]);
    }
    const Vec factor = broadcast(scale);
    RETINAFACE_UNROLL
    for (int v = 0; v < V; ++v) {
        Vec r = mul(factor, sum[v]);  // scale is a power of two: exact
        if (before != nullptr) r = sub(r, load(before + v * kWidth));
        store(t + v * kWidth, r);
    }
}

RETINAFACE_INLINE void cheb_row_eight(const CsrView& m, int begin, int end, const float* x, std::ptrdiff_t stride, float scale,
                                      const float* before, float* t) {
    Eight sum = zero_eight();
    for (int e = begin; e < end; ++e) sum = fma_eight(m.values[e], load_eight(x + m.indices[e] * stride), sum);
    const Eight minus = before != nullptr ? load_eight(before) : zero_eight();
    store_eight(t, sub_eight(fma_eight(scale, sum, zero_eight()), minus));
}

/// One row of `size` floats, a multiple of 8.
RETINAFACE_INLINE void cheb_sparse_row(const CsrView& m, int row, const float* x, int size, float scale, const float* before,
                                       float* t) {
    const int begin = m.starts[row], end = m.starts[row + 1];
    int i = 0;
    const auto at = [&](const float* p) { return p == nullptr ? nullptr : p + i; };
    for (; i + 4 * kWidth <= size; i += 4 * kWidth) cheb_row<4>(m, begin, end, x + i, size, scale, at(before), t + i);
    for (; i + 2 * kWidth <= size; i += 2 * kWidth) cheb_row<2>(m, begin, end, x + i, size, scale, at(before), t + i);
    for (; i + kWidth <= size; i += kWidth) cheb_row<1>(m, begin, end, x + i, size, scale, at(before), t + i);
    if (i < size) cheb_row_eight(m, begin, end, x + i, size, scale, at(before), t + i);
}

/// y (+)= t * weights of `pixels` rows; columns is a multiple of 8.
struct ChebDense {
    const float* t;
    std::ptrdiff_t t_stride;
    int features;
    const float* weights;
    std::ptrdiff_t weights_stride;
    const float* bias;  ///< nullptr: added to y, unless `fresh`
    bool fresh;
    float* y;
    std::ptrdiff_t y_stride;
    int columns;
    bool relu;
};

template <int P, int V>
RETINAFACE_INLINE void cheb_tile(const ChebDense& d, int pixel, int column) {
    Vec sum[P][V];
    const float* const t = d.t + pixel * d.t_stride;
    float* const y = d.y + pixel * d.y_stride + column;
    RETINAFACE_UNROLL
    for (int p = 0; p < P; ++p) {
        RETINAFACE_UNROLL
        for (int v = 0; v < V; ++v) {
            if (d.bias != nullptr)
                sum[p][v] = load(d.bias + column + v * kWidth);
            else
                sum[p][v] = d.fresh ? zero() : load_lanes(y + p * d.y_stride + v * kWidth, d.columns - column - v * kWidth);
        }
    }
    const float* weights = d.weights + column;
    for (int f = 0; f < d.features; ++f, weights += d.weights_stride) {
        Vec w[V];
        RETINAFACE_UNROLL
        for (int v = 0; v < V; ++v) w[v] = load(weights + v * kWidth);
        RETINAFACE_UNROLL
        for (int p = 0; p < P; ++p) {
            const Vec value = broadcast(t[p * d.t_stride + f]);
            RETINAFACE_UNROLL
            for (int v = 0; v < V; ++v) accumulate(sum[p][v], value, w[v]);
        }
    }
    RETINAFACE_UNROLL
    for (int p = 0; p < P; ++p) {
        RETINAFACE_UNROLL
        for (int v = 0; v < V; ++v)
            store_lanes(y + p * d.y_stride + v * kWidth, d.relu ? max(sum[p][v], zero()) : sum[p][v],
                        d.columns - column - v * kWidth);
    }
}

template <int V>
RETINAFACE_INLINE void cheb_panel(const ChebDense& d, int pixels, int column) {
    constexpr int kRows = kGemmRows[V];
    int pixel = 0;
    for (; pixel + kRows <= pixels; pixel += kRows) cheb_tile<kRows, V>(d, pixel, column);
    for (; pixel < pixels; ++pixel) cheb_tile<1, V>(d, pixel, column);
}

RETINAFACE_INLINE void cheb_dense(const ChebDense& d, int pixels) {
    int column = 0;
    for (; column + kWidth < d.columns; column += 2 * kWidth) cheb_panel<2>(d, pixels, column);
    if (column < d.columns) cheb_panel<1>(d, pixels, column);
}

constexpr int cheb_padded(int columns) { return (columns + kWidth - 1) / kWidth * kWidth; }

inline void cheb_term(const ChebTermArgs& a) {
    constexpr int kTile = 24;  // pixels: a multiple of every kGemmRows that is used
    const int size = a.faces * a.channels_in;
    const int rows = a.faces < kTile ? kTile / a.faces : 1;
    alignas(64) float own[kTile * kChebRow];
    for (int first = a.begin; first < a.end; first += rows) {
        const int last = first + rows < a.end ? first + rows : a.end;
        const std::ptrdiff_t at = std::ptrdiff_t{first} * size;
        const float* t = a.x + at;
        if (a.matrix.starts != nullptr) {
            float* const dst = a.t != nullptr ? a.t + at : own;
            for (int row = first; row < last; ++row) {
                const float* const before = a.before == nullptr ? nullptr : a.before + std::ptrdiff_t{row} * size;
                cheb_sparse_row(a.matrix, row, a.x, size, a.scale, before, dst + std::ptrdiff_t{row - first} * size);
            }
            t = dst;
        }
        const ChebDense dense{t,
                              a.channels_in,
                              a.features_in,
                              a.weights,
                              cheb_padded(a.channels_out),
                              a.bias,
                              false,
                              a.y + std::ptrdiff_t{first} * a.faces * a.channels_out,
                              a.channels_out,
                              a.channels_out,
                              a.relu};
        cheb_dense(dense, (last - first) * a.faces);
    }
}

inline void cheb_products(const ChebProductsArgs& a) {
    const int columns = 8 * a.terms;
    const ChebDense dense{a.x + std::ptrdiff_t{a.begin} * a.channels_in,
                          a.channels_in,
                          a.features_in,
                          a.weights,
                          cheb_padded(columns),
                          nullptr,
                          true,
                          a.c + std::ptrdiff_t{a.begin} * columns,
                          columns,
                          columns,
                          false};
    cheb_dense(dense, a.end - a.begin);
}

inline void clenshaw(const ClenshawArgs& a) {
    const std::ptrdiff_t x_row = a.x.stride * a.faces;
    for (int row = a.begin; row < a.end; ++row) {
        const int begin = a.matrix.starts[row], end = a.matrix.starts[row + 1];
        for (int face = 0; face < a.faces; ++face) {
            const std::ptrdiff_t pixel = std::ptrdiff_t{row} * a.faces + face;
            const float* const x = a.x.data + face * a.x.stride;
            Eight sum = zero_eight();
            for (int e = begin; e < end; ++e)
                sum = fma_eight(a.matrix.values[e], load_eight(x + a.matrix.indices[e] * x_row), sum);
            Eight b = fma_eight(a.scale, sum, load_eight(a.c.data + pixel * a.c.stride));
            if (a.before.data != nullptr) b = sub_eight(b, load_eight(a.before.data + pixel * a.before.stride));
            store_eight(a.b + 8 * pixel, b);
        }
    }
}
