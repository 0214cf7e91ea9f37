// Chebyshev convolutions on meshes: sparse products a row at a time, vectors over features and faces, and the dense products of all terms at
// once. Every output is summed in one order, whatever the vector, the rows of a call and the faces.

/// Eight floats or whole vectors of a row.
struct SparseEight {
    static constexpr int kFloats = 8;
    Eight sum;
    RETINAFACE_INLINE SparseEight() { sum = zero_eight(); }
    RETINAFACE_INLINE void accumulate(float value, const float* x) { sum = fma_eight(value, load_eight(x), sum); }
    RETINAFACE_INLINE void finish(float scale, const float* add, const float* before, float* y) const {
        Eight r = fma_eight(scale, sum, add != nullptr ? load_eight(add) : zero_eight());
        if (before != nullptr) r = sub_eight(r, load_eight(before));
        store_eight(y, r);
    }
};
template <int V>
struct SparseVectors {
    static constexpr int kFloats = V * kWidth;
    Vec sum[std::size_t{V}];
    RETINAFACE_INLINE SparseVectors() {
        RETINAFACE_UNROLL
        for (int v = 0; v < V; ++v) sum[v] = zero();
    }
    RETINAFACE_INLINE void accumulate(float value, const float* x) {
        const Vec factor = broadcast(value);
        RETINAFACE_UNROLL
        for (int v = 0; v < V; ++v) sum[v] = fma(factor, load(x + v * kWidth), sum[v]);
    }
    RETINAFACE_INLINE void finish(float scale, const float* add, const float* before, float* y) const {
        const Vec factor = broadcast(scale);
        RETINAFACE_UNROLL
        for (int v = 0; v < V; ++v) {
            Vec r = fma(factor, sum[v], add != nullptr ? load(add + v * kWidth) : zero());
            if (before != nullptr) r = sub(r, load(before + v * kWidth));
            store(y + v * kWidth, r);
        }
    }
};

/// kFloats of each of a run's rows; entries and rows are moved behind them. Count: entries of a row, 0: any.
template <class Sum, int Count>
RETINAFACE_INLINE void sparse_run(const SparseArgs& a, const SparseView::Run& run, std::ptrdiff_t size, int at,
                                  const SparseView::Entry*& entries, const std::int32_t*& rows) {
    const float* const x = a.x + at;
    const int count = Count > 0 ? Count : run.count;
    const SparseView::Entry* entry = entries;
    for (int r = 0; r < run.rows; ++r, entry += count) {
        Sum sum;
        if (Count > 0) {
            RETINAFACE_UNROLL
            for (int e = 0; e < Count; ++e) sum.accumulate(entry[e].value, x + entry[e].column * size);
        } else {
            for (int e = 0; e < count; ++e) sum.accumulate(entry[e].value, x + entry[e].column * size);
        }
        const std::ptrdiff_t place = rows[r] * size + at;
        sum.finish(a.scale, a.add != nullptr ? a.add + place : nullptr, a.before != nullptr ? a.before + place : nullptr,
                   a.y + place);
    }
    entries = entry;
    rows += run.rows;
}

/// kFloats of each row from `at` on. Size: floats of a row, 0: a.size.
template <class Sum, int Size>
inline void sparse_columns(const SparseArgs& a, int at) {
    const std::ptrdiff_t size = Size > 0 ? Size : a.size;
    const SparseView::Entry* entries = a.matrix.entries;
    const std::int32_t* rows = a.matrix.rows;
    for (int i = 0; i < a.matrix.run_count; ++i) {
        const SparseView::Run& run = a.matrix.runs[i];
        switch (run.count) {
            case 1: sparse_run<Sum, 1>(a, run, size, at, entries, rows); break;
            case 2: sparse_run<Sum, 2>(a, run, size, at, entries, rows); break;
            case 3: sparse_run<Sum, 3>(a, run, size, at, entries, rows); break;
            case 4: sparse_run<Sum, 4>(a, run, size, at, entries, rows); break;
            case 5: sparse_run<Sum, 5>(a, run, size, at, entries, rows); break;
            case 6: sparse_run<Sum, 6>(a, run, size, at, entries, rows); break;
            case 7: sparse_run<Sum, 7>(a, run, size, at, entries, rows); break;
            case 8: sparse_run<Sum, 8>(a, run, size, at, entries, rows); break;
            default: sparse_run<Sum, 0>(a, run, size, at, entries, rows); break;
        }
    }
}

inline void sparse(const SparseArgs& a) {
    using Most = SparseVectors < kWidth<16 ? 4 : 2>;
    // The rows of one face with 8 or 16 features, then any.
    if (a.size == 8) return sparse_columns<SparseEight, 8>(a, 0);
    if (a.size == 16) return sparse_columns<SparseVectors<16 / kWidth>, 16>(a, 0);
    int at = 0;
    for (; at + Most::kFloats <= a.size; at += Most::kFloats) sparse_columns<Most, 0>(a, at);
    for (; at < a.size; at += 8) sparse_columns<SparseEight, 0>(a, at);
}

/// Products of rows of t with weights; columns come in eights. (In vectors of sixteen a broadcast would serve one multiply-add where sixteen
/// columns are all there are, and loads would be the limit.)
struct ChebTile {
    const float* const* t;
    int terms, channels;
    const float* weights;  ///< in panels
    const float* bias;     ///< nullptr: 0
};

/// P rows from `pixel`, V eights of columns from `column`. finish(pixel, column, sum) takes the sums.
template <int P, int V, class Finish>
RETINAFACE_INLINE void cheb_tile(const ChebTile& d, std::ptrdiff_t pixel, int column, Finish&& finish) {
    Eight sum[std::size_t{P}][std::size_t{V}];
    RETINAFACE_UNROLL
    for (int v = 0; v < V; ++v) {
        const Eight begin = d.bias != nullptr ? load_eight(d.bias + column + v * 8) : zero_eight();
        RETINAFACE_UNROLL
        for (int p = 0; p < P; ++p) sum[p][v] = begin;
    }
    // Three rows a base pointer: base, base + stride, base + 2 stride are addressing modes.
    constexpr int kBases = (P + 2) / 3;
    const std::ptrdiff_t stride = d.channels;
    const float* weights = d.weights + std::ptrdiff_t{column} * d.terms * stride;
    for (int k = 0; k < d.terms; ++k) {
        const float* base[std::size_t{kBases}];
        RETINAFACE_UNROLL
        for (int g = 0; g < kBases; ++g) base[g] = d.t[k] + (pixel + 3 * g) * stride;
        for (int block = 0; block < d.channels; block += 8) {
            RETINAFACE_UNROLL
            for (int f = 0; f < 8; ++f) {
                Eight w[std::size_t{V}];
                RETINAFACE_UNROLL
                for (int v = 0; v < V; ++v) w[v] = load_eight(weights + (f * V + v) * 8);
                RETINAFACE_UNROLL
                for (int p = 0; p < P; ++p) {
                    const float* const value = base[p / 3] + p % 3 * stride + f;
                    accumulate_eights<V>(sum[p], *value, w);
                }
            }
            RETINAFACE_UNROLL
            for (int g = 0; g < kBases; ++g) base[g] += 8;
            weights += 64 * V;
        }
    }
    RETINAFACE_UNROLL
    for (int p = 0; p < P; ++p) {
        RETINAFACE_UNROLL
        for (int v = 0; v < V; ++v) finish(pixel + p, column + v * 8, sum[p][v]);
    }
}

template <int V, class Finish>
inline void cheb_panel(const ChebTile& d, int pixels, int column, Finish&& finish) {
    constexpr int kRows = kEightRows[V];
    int pixel = 0;
    for (; pixel + kRows <= pixels; pixel += kRows) cheb_tile<kRows, V>(d, pixel, column, finish);
    for (; pixel < pixels; ++pixel) cheb_tile<1, V>(d, pixel, column, finish);
}

template <class Finish>
RETINAFACE_INLINE void cheb_columns(const ChebTile& d, int pixels, int columns, Finish&& finish) {
    int column = 0;
    for (; column + 16 <= columns; column += 16) cheb_panel<2>(d, pixels, column, finish);
    if (column < columns) cheb_panel<1>(d, pixels, column, finish);
}

inline void cheb_dense(const ChebDenseArgs& a) {
    const ChebTile tile{a.t, a.terms, a.channels_in, a.weights, a.bias};
    cheb_columns(tile, a.pixels, a.channels_out, [&](std::ptrdiff_t pixel, int column, Eight sum) {
        store_eight(a.y + pixel * a.channels_out + column, a.relu ? positive_eight(sum) : sum);
    });
}

inline void cheb_products(const ChebProductsArgs& a) {
    const int columns = 8 * a.terms;
    const ChebTile tile{&a.x, 1, a.channels_in, a.weights, nullptr};
    cheb_columns(tile, a.pixels, columns,
                 [&](std::ptrdiff_t pixel, int column, Eight sum) { store_eight(a.c + column / 8 * a.map + pixel * 8, sum); });
}
