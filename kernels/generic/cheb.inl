// Chebyshev convolutions on meshes: sparse products a row at a time, vectors over features and faces, and the dense products of all terms at
// once. Every output is summed in one order, whatever the vector, the rows of a call and the faces.

/// Eight floats or whole vectors of a row.
struct SparseEight {
    static constexpr int kFloats = 8;
    Eight sum;
    RETINAFACE_INLINE SparseEight() { sum = zero_eight(); }
    RETINAFACE_INLINE void accumulate(float value, const float* x) { sum = fma_eight(value, load_eight(x), sum); }
    RETINAFACE_INLINE void finish(float scale, const float* add, const float* before, float* y) const {
        store_eight(y, sub_eight(fma_eight(scale, sum, load_eight(add)), load_eight(before)));
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
        for (int v = 0; v < V; ++v)
            store(y + v * kWidth, sub(fma(factor, sum[v], load(add + v * kWidth)), load(before + v * kWidth)));
    }
};

/// Where rows are. The other summands are zeros where there are none, so that rows need not ask; and all of it is in variables of the
/// loops' own, which stores cannot change.
struct SparseRows {
    const float *x, *add, *before;
    float* y;
    std::ptrdiff_t add_mask, before_mask;
    float scale;
};

/// kFloats of each of a run's rows; entries and rows are moved behind them. Count: entries of a row, 0: any.
template <class Sum, int Count>
RETINAFACE_INLINE void sparse_run(const SparseRows a, std::ptrdiff_t faces, const SparseView::Run run,
                                  const SparseView::Entry*& entries, const std::int32_t*& rows) {
    const int count = Count > 0 ? Count : run.count;
    const SparseView::Entry* entry = entries;
    const std::int32_t* row = rows;
    for (const std::int32_t* const end = row + run.rows; row != end; ++row, entry += count) {
        Sum sum;
        if (Count > 0) {
            RETINAFACE_UNROLL
            for (int e = 0; e < Count; ++e) sum.accumulate(entry[e].value, a.x + entry[e].column * faces);
        } else {
            for (int e = 0; e < count; ++e) sum.accumulate(entry[e].value, a.x + entry[e].column * faces);
        }
        const std::ptrdiff_t place = *row * faces;
        sum.finish(a.scale, a.add + (place & a.add_mask), a.before + (place & a.before_mask), a.y + place);
    }
    entries = entry;
    rows = row;
}

/// kFloats of each row from `at` on. Faces 0: a.faces.
template <class Sum, int Faces>
inline void sparse_columns(const SparseArgs& a, int at) {
    alignas(64) static const float none[Sum::kFloats] = {};
    const std::ptrdiff_t faces = Faces > 0 ? Faces : a.faces;
    const SparseRows r{a.x + at,
                       a.add != nullptr ? a.add + at : none,
                       a.before != nullptr ? a.before + at : none,
                       a.y + at,
                       a.add != nullptr ? -1 : 0,
                       a.before != nullptr ? -1 : 0,
                       a.scale};
    const SparseView::Entry* entries = a.matrix.entries;
    const std::int32_t* rows = a.matrix.rows;
    const SparseView::Run* const end = a.matrix.runs + a.matrix.run_count;
    for (const SparseView::Run* run = a.matrix.runs; run != end; ++run) {
        switch (run->count) {
            case 1: sparse_run<Sum, 1>(r, faces, *run, entries, rows); break;
            case 2: sparse_run<Sum, 2>(r, faces, *run, entries, rows); break;
            case 3: sparse_run<Sum, 3>(r, faces, *run, entries, rows); break;
            case 4: sparse_run<Sum, 4>(r, faces, *run, entries, rows); break;
            case 5: sparse_run<Sum, 5>(r, faces, *run, entries, rows); break;
            case 6: sparse_run<Sum, 6>(r, faces, *run, entries, rows); break;
            case 7: sparse_run<Sum, 7>(r, faces, *run, entries, rows); break;
            case 8: sparse_run<Sum, 8>(r, faces, *run, entries, rows); break;
            default: sparse_run<Sum, 0>(r, faces, *run, entries, rows); break;
        }
    }
}

inline void sparse(const SparseArgs& a) {
    using Most = SparseVectors < kWidth<16 ? 4 : 2>;
    // The rows of one face with 8 or 16 features, then any.
    const int size = a.faces * a.channels;
    if (size == 8) return sparse_columns<SparseEight, 1>(a, 0);
    if (size == 16 && a.faces == 1) return sparse_columns<SparseVectors<16 / kWidth>, 1>(a, 0);
    int at = 0;
    for (; at + Most::kFloats <= size; at += Most::kFloats) sparse_columns<Most, 0>(a, at);
    for (; at < size; at += 8) sparse_columns<SparseEight, 0>(a, at);
}

/// Products of rows of t with weights.
struct ChebTile {
    const float* const* t;
    int terms, channels;
    const float* weights;  ///< in panels
    const float* bias;     ///< nullptr: 0
};

/// P rows from `pixel`, N columns from `column`. finish(pixel, column, sum) takes the sums.
template <int P, int N, class Finish>
RETINAFACE_INLINE void cheb_tile(const ChebTile& d, std::ptrdiff_t pixel, int column, Finish&& finish) {
    Columns<N> sum[std::size_t{P}];
    const Columns<N> begin = d.bias != nullptr ? Columns<N>::load(d.bias + column) : Columns<N>::none();
    RETINAFACE_UNROLL
    for (int p = 0; p < P; ++p) sum[p] = begin;
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
                const Columns<N> w = Columns<N>::load(weights + f * N);
                RETINAFACE_UNROLL
                for (int p = 0; p < P; ++p) sum[p].accumulate(base[p / 3] + p % 3 * stride + f, w);
            }
            RETINAFACE_UNROLL
            for (int g = 0; g < kBases; ++g) base[g] += 8;
            weights += 8 * N;
        }
    }
    RETINAFACE_UNROLL
    for (int p = 0; p < P; ++p) finish(pixel + p, column, sum[p]);
}

template <int N, class Finish>
inline void cheb_panel(const ChebTile& d, int pixels, int column, Finish&& finish) {
    constexpr int kRows = Columns<N>::kRows;
    int pixel = 0;
    for (; pixel + kRows <= pixels; pixel += kRows) cheb_tile<kRows, N>(d, pixel, column, finish);
    for (; pixel < pixels; ++pixel) cheb_tile<1, N>(d, pixel, column, finish);
}

template <class Finish>
RETINAFACE_INLINE void cheb_columns(const ChebTile& d, int pixels, int columns, Finish&& finish) {
    int column = 0;
    for (; column + 16 <= columns; column += 16) cheb_panel<16>(d, pixels, column, finish);
    if (column < columns) cheb_panel<8>(d, pixels, column, finish);
}

inline void cheb_dense(const ChebDenseArgs& a) {
    float* const y = a.y;
    const std::ptrdiff_t stride = a.channels_out;
    const bool relu = a.relu;
    cheb_columns(ChebTile{a.t, a.terms, a.channels_in, a.weights, a.bias}, a.pixels, a.channels_out,
                 [=](std::ptrdiff_t pixel, int column, const auto& sum) {
                     (relu ? sum.positive() : sum).store(y + pixel * stride + column, 8);
                 });
}

inline void cheb_products(const ChebProductsArgs& a) {
    float* const c = a.c;
    const std::ptrdiff_t map = a.map;
    cheb_columns(ChebTile{&a.x, 1, a.channels_in, a.weights, nullptr}, a.pixels, 8 * a.terms,
                 [=](std::ptrdiff_t pixel, int column, const auto& sum) { sum.store(c + column / 8 * map + pixel * 8, map); });
}
