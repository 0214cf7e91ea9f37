// Register-tiled product of pixel rows with packed weights: vectors over output channels, one broadcast input value a step.
//
// Packed weights: panels of up to 3 vectors of output channels; a panel is [k][panel width], zero after channel n.
// A tile is kGemmRows[v] pixels x v vectors. The last tile of a run of pixels is moved back to overlap the one before (the same
// values are written twice) so that no narrower tile is needed unless the whole run is shorter than a tile.

/// Width of the next panel in vectors when `channels` are left.
constexpr int gemm_panel_vectors(int channels) {
    const int vectors = (channels + kWidth - 1) / kWidth;
    return vectors >= kWidest || vectors == 3 ? (vectors == 3 ? 3 : kWidest) : vectors >= 2 ? 2 : 1;
}

inline std::size_t gemm_packed_size(int k, int n) {
    return static_cast<std::size_t>(k) * static_cast<std::size_t>((n + kWidth - 1) / kWidth * kWidth);
}

/// `weight(j, p)` is the weight of output j, input p.
template <class Weight>
inline void gemm_pack_from(Weight weight, int k, int n, float* dst) {
    for (int j0 = 0; j0 < n;) {
        const int width = gemm_panel_vectors(n - j0) * kWidth;
        for (int p = 0; p < k; ++p)
            for (int j = j0; j < j0 + width; ++j) *dst++ = j < n ? weight(j, p) : 0.0f;
        j0 += width;
    }
}

inline void gemm_pack(const float* weights, int k, int n, float* dst) {
    gemm_pack_from([&](int j, int p) { return weights[static_cast<std::ptrdiff_t>(j) * k + p]; }, k, n, dst);
}

struct GemmTile {
    const float* a;
    std::ptrdiff_t lda;
    const float* b;
    const float* bias;  // nullptr: 0
    float* c;
    std::ptrdiff_t ldc;
    int k;
    int channels;  // of this panel; at most its width
    float slope;
    const float* add;
    std::ptrdiff_t ld_add;
    int pixel;  // index of the tile's first pixel, for `add`
};

/// `Plain`: no activation, nothing added.
template <int Rows, int Vectors, bool Plain>
RETINAFACE_INLINE void gemm_tile(const GemmTile& t) {
    Vec acc[std::size_t{Rows}][std::size_t{Vectors}];
    {
        Vec bias[std::size_t{Vectors}];
        RETINAFACE_UNROLL
        for (int v = 0; v < Vectors; ++v)
            bias[v] =
                t.bias == nullptr ? zero() : load_lanes(t.bias + v * kWidth, v + 1 < Vectors ? kWidth : t.channels - v * kWidth);
        RETINAFACE_UNROLL
        for (int r = 0; r < Rows; ++r) {
            RETINAFACE_UNROLL
            for (int v = 0; v < Vectors; ++v) acc[r][v] = bias[v];
        }
    }
    // Three rows a base pointer: base, base + lda, base + 2 lda are addressing modes, and four bases stay in registers.
    constexpr int kBases = (Rows + 2) / 3;
    const std::ptrdiff_t lda = t.lda;
    const float* a[std::size_t{kBases}];
    RETINAFACE_UNROLL
    for (int g = 0; g < kBases; ++g) a[g] = t.a + 3 * g * lda;
    const float* b = t.b;
    // k is a multiple of 8; several steps an iteration keep pointer arithmetic off the multiply ports.
    constexpr int kSteps = 2;
    for (int p = t.k; p > 0; p -= kSteps) {
        RETINAFACE_UNROLL
        for (int s = 0; s < kSteps; ++s) {
            Vec w[std::size_t{Vectors}];
            RETINAFACE_UNROLL
            for (int v = 0; v < Vectors; ++v) w[v] = load(b + (s * Vectors + v) * kWidth);
            RETINAFACE_UNROLL
            for (int r = 0; r < Rows; ++r) {
                const Vec x = broadcast(a[r / 3][r % 3 * lda + s]);
                RETINAFACE_UNROLL
                for (int v = 0; v < Vectors; ++v) accumulate(acc[r][v], x, w[v]);
            }
        }
        RETINAFACE_UNROLL
        for (int g = 0; g < kBases; ++g) a[g] += kSteps;
        b += kSteps * Vectors * kWidth;
    }
    const Vec slope = broadcast(t.slope);
    RETINAFACE_UNROLL
    for (int r = 0; r < Rows; ++r) {
        RETINAFACE_UNROLL
        for (int v = 0; v < Vectors; ++v) {
            const int lanes = v + 1 < Vectors ? kWidth : t.channels - v * kWidth;
            Vec y = acc[r][v];
            if (!Plain) y = activate(y, slope);
            if (!Plain && t.add != nullptr) y = add(y, load_lanes(t.add + ((t.pixel + r) / 2) * t.ld_add + v * kWidth, lanes));
            store_lanes(t.c + r * t.ldc + v * kWidth, y, lanes);
        }
    }
}

template <int Vectors, bool Plain>
inline void gemm_panel(GemmTile t, int m) {
    constexpr int kRows = kGemmRows[Vectors];
    const float* const a = t.a;
    float* const c = t.c;
    const auto at = [&](int pixel) {
        t.a = a + pixel * t.lda;
        t.c = c + pixel * t.ldc;
        t.pixel = pixel;
    };
    int i = 0;
    for (; i + kRows <= m; i += kRows) {
        at(i);
        gemm_tile<kRows, Vectors, Plain>(t);
    }
    if (i == m) return;
    if (m >= kRows) {
        at(m - kRows);
        gemm_tile<kRows, Vectors, Plain>(t);
        return;
    }
    for (; i < m; ++i) {
        at(i);
        gemm_tile<1, Vectors, Plain>(t);
    }
}

template <bool Plain>
inline void gemm_panels(const GemmArgs& g) {
    GemmTile t{g.a, g.lda, g.b, g.bias, g.c, g.ldc, g.k, 0, g.slope, g.add, g.ld_add, 0};
    for (int j = 0; j < g.n;) {
        const int vectors = gemm_panel_vectors(g.n - j);
        const int width = vectors * kWidth;
        t.channels = g.n - j < width ? g.n - j : width;
        switch (vectors) {
            case 1: gemm_panel<1, Plain>(t, g.m); break;
            case 2: gemm_panel<2, Plain>(t, g.m); break;
            case 3: gemm_panel<3, Plain>(t, g.m); break;
            default: gemm_panel<kWidest, Plain>(t, g.m); break;
        }
        j += width;
        t.b += static_cast<std::ptrdiff_t>(g.k) * width;
        if (t.bias != nullptr) t.bias += width;
        t.c += width;
        if (t.add != nullptr) t.add += width;
    }
}

inline void gemm(const GemmArgs& g) { gemm_panels<false>(g); }
