// Chebyshev convolutions on meshes: sparse products a row at a time, vectors over features and faces, and the dense products of all terms at
// once. Every output is summed in one order, whatever the vector, the rows of a call and the faces.

/// Where rows are: `before` zeros where there is none, so that rows need not ask. All of it is in variables of the loops' own, which stores
/// cannot change.
struct SparseRows {
    const float *x, *add, *before;
    float* y;
    std::ptrdiff_t before_mask;
    float scale;
};

/// Adds the products of a row of as many entries as E says. Loads are what these sums wait for: factors come in fours, the last ones not
/// beyond the row, and are spread from registers.
template <class Sum, int... E>
RETINAFACE_INLINE void sparse_row(Sum& sum, const std::uint64_t* columns, const float* values, const float* x,
                                  std::ptrdiff_t faces, std::integer_sequence<int, E...>) {
    constexpr int kCount = sizeof...(E), kLast = kCount > 4 ? kCount - 4 : 0;
    typename Sum::Factors factors[std::size_t{(kCount + 3) / 4}];
    RETINAFACE_UNROLL
    for (int i = 0; i < (kCount + 3) / 4; ++i) factors[i] = Sum::load_factors(values + (4 * i < kLast ? 4 * i : kLast));
    std::uint64_t pairs[std::size_t{kCount / 2}];
    RETINAFACE_UNROLL
    for (int i = 0; i < kCount / 2; ++i) pairs[i] = columns[i];
    (sum.template accumulate<E - (E / 4 * 4 < kLast ? E / 4 * 4 : kLast)>(factors[E / 4],
                                                                          x + SparseView::column<E % 2>(pairs[E / 2]) * faces),
     ...);
}

/// A Sum's floats of each of a run's rows; columns, values and rows are moved behind them. Count: entries of a row, 0: any.
template <class Sum, int Count, bool Add>
RETINAFACE_INLINE void sparse_run(const SparseRows a, std::ptrdiff_t faces, const SparseView::Run run,
                                  const std::uint64_t*& columns, const float*& values, const std::int32_t*& rows) {
    const int count = Count > 0 ? Count : run.count;
    const std::uint64_t* pair = columns;
    const float* value = values;
    const std::int32_t* row = rows;
    for (const std::int32_t* const end = row + run.rows; row != end; ++row, pair += count / 2, value += count) {
        Sum sum = Sum::none();
        if constexpr (Count > 0) {
            sparse_row(sum, pair, value, a.x, faces, std::make_integer_sequence<int, Count>{});
        } else {
            for (int e = 0; e < count; e += 2) {
                sum.accumulate(value[e], a.x + SparseView::column<0>(pair[e / 2]) * faces);
                sum.accumulate(value[e + 1], a.x + SparseView::column<1>(pair[e / 2]) * faces);
            }
        }
        const std::ptrdiff_t place = *row * faces;
        sum.recur(Add ? Sum::load(a.add + place) : Sum::none(), a.scale, Sum::load(a.before + (place & a.before_mask)))
            .store(a.y + place);
    }
    columns = pair;
    values = value;
    rows = row;
}

/// A Sum's floats of each row from `at` on. Faces 0: a.faces. Add: a.add is there.
template <class Sum, int Faces, bool Add>
inline void sparse_columns(const SparseArgs& a, int at) {
    alignas(64) static const float none[32] = {};  // the widest Sum's
    const std::ptrdiff_t faces = Faces > 0 ? Faces : a.faces;
    const SparseRows r{a.x + at, Add ? a.add + at : none,      a.before != nullptr ? a.before + at : none,
                       a.y + at, a.before != nullptr ? -1 : 0, a.scale};
    const std::uint64_t* columns = a.matrix.columns;
    const float* values = a.matrix.values;
    const std::int32_t* rows = a.matrix.rows;
    const SparseView::Run* const end = a.matrix.runs + a.matrix.run_count;
    for (const SparseView::Run* run = a.matrix.runs; run != end; ++run) {
        if constexpr (Faces == 1) {
            switch (run->count / 2) {
                case 1: sparse_run<Sum, 2, Add>(r, faces, *run, columns, values, rows); continue;
                case 2: sparse_run<Sum, 4, Add>(r, faces, *run, columns, values, rows); continue;
                case 3: sparse_run<Sum, 6, Add>(r, faces, *run, columns, values, rows); continue;
                case 4: sparse_run<Sum, 8, Add>(r, faces, *run, columns, values, rows); continue;
                case 5: sparse_run<Sum, 10, Add>(r, faces, *run, columns, values, rows); continue;
                default: break;
            }
        }
        sparse_run<Sum, 0, Add>(r, faces, *run, columns, values, rows);
    }
}

template <bool Add>
inline void sparse_rows(const SparseArgs& a) {
    const int size = a.faces * a.channels;
    // What one face has: its last layer's outputs, and features of the others.
    if (size == 8) return sparse_columns<Columns<8>, 1, Add>(a, 0);
    if constexpr (!Add)
        if (size == 16 && a.faces == 1) return sparse_columns<Columns<16>, 1, Add>(a, 0);
    int at = 0;
    for (; at + 32 <= size; at += 32) sparse_columns<Columns<32>, 0, Add>(a, at);
    for (; at < size; at += 8) sparse_columns<Columns<8>, 0, Add>(a, at);
}

inline void sparse(const SparseArgs& a) { a.add != nullptr ? sparse_rows<true>(a) : sparse_rows<false>(a); }

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
    constexpr int kBases = (P + 2) / 3, kPanel = N < 16 ? N : 16;
    const std::ptrdiff_t stride = d.channels;
    const std::ptrdiff_t panel = std::ptrdiff_t{d.terms} * stride * 16;
    const float* weights = d.weights + column / 16 * panel;
    for (int k = 0; k < d.terms; ++k) {
        const float* base[std::size_t{kBases}];
        RETINAFACE_UNROLL
        for (int g = 0; g < kBases; ++g) base[g] = d.t[k] + (pixel + 3 * g) * stride;
        for (int block = 0; block < d.channels; block += 8) {
            RETINAFACE_UNROLL
            for (int f = 0; f < 8; ++f) {
                const Columns<N> w = Columns<N>::load_panels(weights + f * kPanel, panel);
                RETINAFACE_UNROLL
                for (int p = 0; p < P; ++p) sum[p].accumulate(base[p / 3] + p % 3 * stride + f, w);
            }
            RETINAFACE_UNROLL
            for (int g = 0; g < kBases; ++g) base[g] += 8;
            weights += 8 * kPanel;
        }
    }
    RETINAFACE_UNROLL
    for (int p = 0; p < P; ++p) finish(pixel + p, column, sum[p]);
}

template <int N, class Finish>
inline void cheb_panels(const ChebTile& d, int pixels, int column, Finish&& finish) {
    constexpr int kRows = Columns<N>::kRows;
    int pixel = 0;
    for (; pixel + kRows <= pixels; pixel += kRows) cheb_tile<kRows, N>(d, pixel, column, finish);
    for (; pixel < pixels; ++pixel) cheb_tile<1, N>(d, pixel, column, finish);
}

template <class Finish>
RETINAFACE_INLINE void cheb_columns(const ChebTile& d, int pixels, int columns, Finish&& finish) {
    int column = 0;
    if constexpr (kMostColumns > 16)
        for (; column + kMostColumns <= columns; column += kMostColumns) cheb_panels<kMostColumns>(d, pixels, column, finish);
    for (; column + 16 <= columns; column += 16) cheb_panels<16>(d, pixels, column, finish);
    if (column < columns) cheb_panels<8>(d, pixels, column, finish);
}

inline void cheb_dense(const ChebDenseArgs& a) {
    float* const y = a.y;
    const std::ptrdiff_t stride = a.channels_out;
    const bool relu = a.relu;
    cheb_columns(ChebTile{a.t, a.terms, a.channels_in, a.weights, a.bias}, a.pixels, a.channels_out,
                 [=](std::ptrdiff_t pixel, int column, const auto& sum) {
                     (relu ? sum.positive() : sum).store(y + pixel * stride + column);
                 });
}

inline void cheb_products(const ChebProductsArgs& a) {
    float* const c = a.c;
    const std::ptrdiff_t map = a.map;
    cheb_columns(ChebTile{&a.x, 1, a.channels_in, a.weights, nullptr}, a.pixels, 8 * a.terms,
                 [=](std::ptrdiff_t pixel, int column, const auto& sum) { sum.store(c + column / 8 * map + pixel * 8, map); });
}
