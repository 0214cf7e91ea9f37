// Product of pixel rows with packed weights for 64-bit ARM, in place of generic/gemm.inl: multiply-add by lane, so that four inputs of
// a pixel are one load and no broadcast.
//
// A tile is 8 pixels x 8 channels: 16 accumulators, 8 vectors of inputs (four k of each pixel), 2 vectors of weights a step: 26 of 32
// registers, the rest hold weights that are fetched early. A step of four k is 64 multiply-adds, 16 vector loads and 9 additions of
// pointers: Cortex-A72 (one 128-bit multiply-add, one load, three operations a cycle) is limited by the multiply-adds alone, and 16
// independent sums hide their latency on the in-order Cortex-A53 too.
//
// Packed weights: panels of 8 output channels, [k][8]. Pixels are taken in blocks whose inputs stay in L1 (32 KB) while all panels
// pass: weights come from L2 once a block. Sums run over k in order whatever the tile, so results do not depend on the grouping.

constexpr int kGemmPanel = 8;
constexpr int kGemmBlockFloats = 4096;  // inputs of a block: half of L1

inline std::size_t gemm_packed_size(int k, int n) {
    return static_cast<std::size_t>(k) * static_cast<std::size_t>((n + kGemmPanel - 1) / kGemmPanel * kGemmPanel);
}

/// `weight(j, p)` is the weight of output j, input p.
template <class Weight>
inline void gemm_pack_from(Weight weight, int k, int n, float* dst) {
    for (int j0 = 0; j0 < n; j0 += kGemmPanel)
        for (int p = 0; p < k; ++p)
            for (int j = j0; j < j0 + kGemmPanel; ++j) *dst++ = j < n ? weight(j, p) : 0.0f;
}

inline void gemm_pack(const float* weights, int k, int n, float* dst) {
    gemm_pack_from([&](int j, int p) { return weights[static_cast<std::ptrdiff_t>(j) * k + p]; }, k, n, dst);
}

/// acc += x[Lane] * w in the register that holds acc. GCC 12 given the intrinsic multiplies some sums into other registers and moves
/// them back, four moves a step.
template <int Lane>
RETINAFACE_INLINE void accumulate_lane(Vec& acc, Vec w, Vec x) {
#if defined(__GNUC__) && !defined(__clang__)
    asm("fmla %0.4s, %1.4s, %2.s[%3]" : "+w"(acc) : "w"(w), "w"(x), "i"(Lane));
#else
    acc = vfmaq_laneq_f32(acc, w, x, Lane);
#endif
}

template <int Lane, int Rows>
RETINAFACE_INLINE void gemm_step(Vec (&acc)[Rows][2], const Vec (&x)[Rows], const float* b) {
    const Vec w0 = load(b + Lane * kGemmPanel), w1 = load(b + Lane * kGemmPanel + kWidth);
    RETINAFACE_UNROLL
    for (int r = 0; r < Rows; ++r) {
        accumulate_lane<Lane>(acc[r][0], w0, x[r]);
        accumulate_lane<Lane>(acc[r][1], w1, x[r]);
    }
}

/// What happens to a sum: nothing; the activation; the activation and the addition of a coarser map's pixel.
enum class Epilogue { plain, activation, addition };

/// Pixels [pixel, pixel + Rows), channels [channel, channel + 8).
template <int Rows, Epilogue kEpilogue>
RETINAFACE_INLINE void gemm_tile(const GemmArgs& g, int pixel, int channel, const float* b) {
    const float* a[Rows];
    RETINAFACE_UNROLL
    for (int r = 0; r < Rows; ++r) a[r] = g.a + (pixel + r) * g.lda;
    Vec acc[Rows][2];
    {
        const Vec b0 = g.bias == nullptr ? zero() : load(g.bias + channel),
                  b1 = g.bias == nullptr ? zero() : load(g.bias + channel + kWidth);
        RETINAFACE_UNROLL
        for (int r = 0; r < Rows; ++r) acc[r][0] = b0, acc[r][1] = b1;
    }
    for (int p = g.k; p > 0; p -= 4) {
        Vec x[Rows];
        RETINAFACE_UNROLL
        for (int r = 0; r < Rows; ++r) {
            x[r] = load(a[r]);
            a[r] += 4;
        }
        gemm_step<0>(acc, x, b);
        gemm_step<1>(acc, x, b);
        gemm_step<2>(acc, x, b);
        gemm_step<3>(acc, x, b);
        b += 4 * kGemmPanel;
    }
    const Vec slope = broadcast(g.slope);
    float* c = g.c + pixel * g.ldc + channel;
    RETINAFACE_UNROLL
    for (int r = 0; r < Rows; ++r) {
        RETINAFACE_UNROLL
        for (int v = 0; v < 2; ++v) {
            Vec y = acc[r][v];
            if (kEpilogue != Epilogue::plain) y = activate(y, slope);
            if (kEpilogue == Epilogue::addition) y = add(y, load(g.add + ((pixel + r) / 2) * g.ld_add + channel + v * kWidth));
            store(c + r * g.ldc + v * kWidth, y);
        }
    }
}

/// Pixels [begin, end) of one panel. What is left after the whole tiles is done by a tile that overlaps the one before (the same
/// values are written twice), unless the call is shorter than a tile.
template <Epilogue kEpilogue>
inline void gemm_panel(const GemmArgs& g, int begin, int end, int channel, const float* b) {
    int i = begin;
    for (; i + 8 <= end; i += 8) gemm_tile<8, kEpilogue>(g, i, channel, b);
    if (i == end) return;
    if (end - i > 4 && end >= 8) return gemm_tile<8, kEpilogue>(g, end - 8, channel, b);
    if (end - i > 4) {
        gemm_tile<4, kEpilogue>(g, i, channel, b);
        i += 4;
    }
    if (end >= 4) return gemm_tile<4, kEpilogue>(g, end - 4, channel, b);
    for (; i < end; ++i) gemm_tile<1, kEpilogue>(g, i, channel, b);
}

template <Epilogue kEpilogue>
inline void gemm_blocks(const GemmArgs& g) {
    const int block = g.k * 8 >= kGemmBlockFloats ? 8 : kGemmBlockFloats / g.k / 8 * 8;
    for (int begin = 0; begin < g.m; begin += block) {
        const int end = g.m - begin < block ? g.m : begin + block;
        for (int j = 0; j < g.n; j += kGemmPanel)
            gemm_panel<kEpilogue>(g, begin, end, j, g.b + static_cast<std::ptrdiff_t>(j) * g.k);
    }
}

/// `Plain`: no activation, nothing added.
template <bool Plain>
inline void gemm_panels(const GemmArgs& g) {
    if (Plain)
        gemm_blocks<Epilogue::plain>(g);
    else if (g.add == nullptr)
        gemm_blocks<Epilogue::activation>(g);
    else
        gemm_blocks<Epilogue::addition>(g);
}

inline void gemm(const GemmArgs& g) { gemm_panels<false>(g); }
