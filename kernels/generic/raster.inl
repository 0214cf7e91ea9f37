// The rasteriser. Coverage is exact (integers, or floats that hold whole numbers up to 2^24). Elsewhere no product is fused with a sum,
// and every set draws the same image.

// At -O1 clang leaves loops over registers as they are, which costs speed alone.
#if defined(__clang__)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wpass-failed"
#endif

constexpr unsigned kAllLanes = ~0u >> (32 - kWidth);

/// Positions in doubles, which hold products of floats exactly, in loops over lanes that compilers make vectors of.
inline void place(const PlaceArgs& a) {
    const Vec one = broadcast(1), reach = broadcast(kRasterFar + 0.125f);  // the float after kRasterFar
    const Vec near = broadcast(std::isnan(a.near) ? std::numeric_limits<float>::infinity() : a.near);
    for (int n = 0; n < a.count; n += kWidth) {
        const int count = a.count - n < kWidth ? a.count - n : kWidth;
        const float* vertices = a.vertices + 3 * static_cast<std::ptrdiff_t>(n);
        float rest[3 * kWidth] = {};
        if (count < kWidth) {
            std::memcpy(rest, vertices, 3 * sizeof(float) * static_cast<std::size_t>(count));
            vertices = rest;
        }
        alignas(64) double in[3][kWidth], at[3][kWidth];
        for (int j = 0; j < kWidth; ++j)
            for (int i = 0; i < 3; ++i) in[i][j] = static_cast<double>(vertices[3 * j + i]);
        for (int i = 0; i < 3; ++i) {
            const double r0 = static_cast<double>(a.rows[i][0]), r1 = static_cast<double>(a.rows[i][1]),
                         r2 = static_cast<double>(a.rows[i][2]), r3 = static_cast<double>(a.rows[i][3]);
            for (int j = 0; j < kWidth; ++j) at[i][j] = r0 * in[0][j] + r1 * in[1][j] + r2 * in[2][j] + r3;
        }
        if (a.perspective)
            for (int i = 0; i < 2; ++i)
                for (int j = 0; j < kWidth; ++j) at[i][j] /= at[2][j];
        alignas(64) float position[3][kWidth];
        for (int i = 0; i < 3; ++i)
            for (int j = 0; j < kWidth; ++j) position[i][j] = static_cast<float>(at[i][j]);
        const Vec x = load(position[0]), y = load(position[1]), depth = load(position[2]);

        // 1 where the vertex is drawn. Comparisons with what is no number are false.
        const auto within = [&](Vec limit, Vec v, Vec drawn) {
            return select_greater(limit, max(v, sub(zero(), v)), drawn, zero());
        };
        Vec drawn = within(broadcast(1e30f), depth, within(reach, y, within(reach, x, one)));
        if (a.perspective) drawn = select_greater(near, depth, zero(), select_greater(depth, zero(), drawn, zero()));
        const auto kept = [&](Vec v, Vec nowhere) { return select_greater(drawn, zero(), v, nowhere); };
        const auto grid = [&](Vec v, Vec nowhere) {
            const Vec steps = product(v, broadcast(kRasterSteps));
            const Vec half = select_greater(zero(), steps, broadcast(-0.5f), broadcast(0.5f));
            alignas(64) float whole[kWidth];
            store(whole, kept(add(steps, half), zero()));
            for (float& w : whole) w = static_cast<float>(static_cast<std::int32_t>(w));
            return kept(load(whole), nowhere);
        };
        const Vec vertex[4] = {grid(x, broadcast(kRasterNowhere)), grid(y, zero()),
                               a.perspective ? divide(one, depth) : product(depth, broadcast(-1)), zero()};
        alignas(64) RasterVertex last[kWidth];
        store_fours(reinterpret_cast<float*>(count == kWidth ? a.placed + n : last), vertex);
        if (count < kWidth) std::memcpy(a.placed + n, last, sizeof(RasterVertex) * static_cast<std::size_t>(count));
    }
}

/// A triangle on the sub-pixel grid; a corner's edge is the one opposite to it.
struct RasterTriangle {
    std::int64_t x[3], y[3];
    float q[3];

    RETINAFACE_INLINE RasterTriangle(const RasterVertex* vertices, const std::int32_t* corners) {
        for (int i = 0; i < 3; ++i) {
            const RasterVertex& v = vertices[corners[i]];
            x[i] = static_cast<std::int64_t>(v.x);
            y[i] = static_cast<std::int64_t>(v.y);
            q[i] = v.q;
        }
    }
    /// Doubled; its sign says which way round the corners run.
    RETINAFACE_INLINE std::int64_t area() const { return (x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0]); }
    /// Edge value i at the centre of pixel (px, py), in the sign of the area.
    RETINAFACE_INLINE std::int64_t edge(int i, int px, int py) const {
        const int a = (i + 1) % 3, b = (i + 2) % 3;
        const std::int64_t cx = std::int64_t{px} * kRasterSteps + kRasterSteps / 2,
                           cy = std::int64_t{py} * kRasterSteps + kRasterSteps / 2;
        return (x[b] - x[a]) * (cy - y[a]) - (y[b] - y[a]) * (cx - x[a]);
    }
    /// q relative to corner 0's where edges 1 and 2 have these values.
    RETINAFACE_INLINE float change(float inverse, std::int64_t e1, std::int64_t e2) const {
        return rounded_product(rounded_product(static_cast<float>(e1), inverse), q[1] - q[0]) +
               rounded_product(rounded_product(static_cast<float>(e2), inverse), q[2] - q[0]);
    }
};

/// Pixels first .. last of a row against q0 + i * dq.
RETINAFACE_INLINE void raster_span(float* nearest, std::int32_t* triangle, int count, float q0, float dq, std::int32_t id) {
    alignas(64) float steps[kWidth];
    for (int i = 0; i < kWidth; ++i) steps[i] = static_cast<float>(i);
    float id_bits;
    std::memcpy(&id_bits, &id, sizeof id);
    const Vec ids = broadcast(id_bits), slope = broadcast(dq), origin = broadcast(q0);
    Vec step = load(steps);
    int i = 0;
    for (; i + kWidth <= count; i += kWidth) {
        const Vec q = add(origin, product(step, slope)), old = load(nearest + i);
        float* const who = reinterpret_cast<float*>(triangle + i);
        store(who, select_greater(q, old, ids, load(who)));
        store(nearest + i, select_greater(q, old, q, old));
        step = add(step, broadcast(static_cast<float>(kWidth)));
    }
    if (i == count) return;
    alignas(64) float lanes[kWidth];
    store(lanes, add(origin, product(step, slope)));
    for (int j = 0; i + j < count; ++j) {
        if (!(lanes[j] > nearest[i + j])) continue;
        nearest[i + j] = lanes[j];
        triangle[i + j] = id;
    }
}

/// A triangle of any size: every row's span by division, then vectors.
inline void raster_rows(const RasterArgs& r, std::int32_t id) {
    const std::int32_t* const corners = r.triangles + 3 * static_cast<std::ptrdiff_t>(id);
    for (int i = 0; i < 3; ++i)
        if (r.vertices[corners[i]].x == kRasterNowhere) return;
    const RasterTriangle t(r.vertices, corners);
    const std::int64_t area = t.area();
    if (area == 0 || (r.cull && area > 0)) return;
    const auto least = [](std::int64_t a, std::int64_t b) { return a < b ? a : b; };
    const auto most = [](std::int64_t a, std::int64_t b) { return a > b ? a : b; };
    // Pixels whose centres lie within the box of the corners.
    const auto from = [&](const std::int64_t* v) {
        return most((least(least(v[0], v[1]), v[2]) + kRasterSteps / 2 - 1) >> 8, 0);
    };
    const auto to = [&](const std::int64_t* v, int side) {
        return least((most(most(v[0], v[1]), v[2]) - kRasterSteps / 2) >> 8, side - 1);
    };
    const std::int64_t left = from(t.x), right = to(t.x, r.width);
    const int top = static_cast<int>(from(t.y)), bottom = static_cast<int>(to(t.y, r.height));
    const std::int64_t sign = area > 0 ? 1 : -1;
    const float inverse = 1 / static_cast<float>(area);
    std::int64_t step[3];
    for (int i = 0; i < 3; ++i) step[i] = -(t.y[(i + 2) % 3] - t.y[(i + 1) % 3]) * kRasterSteps * sign;
    const float slope = t.change(inverse, step[1] * sign, step[2] * sign);
    for (int py = top; py <= bottom; ++py) {
        std::int64_t first = left, last = right;
        for (int i = 0; i < 3; ++i) {
            const std::int64_t e = t.edge(i, static_cast<int>(left), py) * sign;
            if (step[i] > 0) {
                if (e < 0) first = most(first, left + (-e + step[i] - 1) / step[i]);
            } else if (e < 0) {
                last = -1;  // never reached again
            } else if (step[i] < 0) {
                last = least(last, left + e / -step[i]);
            }
        }
        if (first > last) continue;
        const int px = static_cast<int>(first);
        const float q = t.q[0] + t.change(inverse, t.edge(1, px, py), t.edge(2, px, py));
        const std::ptrdiff_t at = std::ptrdiff_t{py} * r.width + px;
        raster_span(r.nearest + at, r.triangle + at, static_cast<int>(last - first) + 1, q, slope, id);
    }
}

/// Blocks of 4 x 4 pixels, which are the lanes of vectors.
constexpr int kBlock = 4;
/// By lane: columns and rows of the blocks of a box of kRasterSpans + 1 pixels, a block after the other.
struct BlockTables {
    static constexpr int kBlocks = kRasterSpans / kBlock + 1;
    float column[16 * kBlocks] = {}, row[16 * kBlocks] = {}, lane[16] = {};
    /// Bits of the lanes in the first rows and columns.
    std::uint16_t inside[kBlock + 1][kBlock + 1] = {};

    constexpr BlockTables() {
        for (int i = 0; i < 16 * kBlocks; ++i) {
            column[i] = static_cast<float>(i / 16 * kBlock + i % kBlock);
            row[i] = static_cast<float>(i / kBlock);
        }
        for (int i = 0; i < 16; ++i) {
            lane[i] = static_cast<float>(i);
            for (int rows = i / kBlock + 1; rows <= kBlock; ++rows)
                for (int columns = i % kBlock + 1; columns <= kBlock; ++columns)
                    inside[rows][columns] = static_cast<std::uint16_t>(inside[rows][columns] | 1 << i);
        }
    }
};
alignas(64) inline constexpr BlockTables kTables;

/// Pixels that triangles cover, in the order of the triangles: whether each is nearer than what is drawn is found out one by one, and
/// thus without a guess of how many pixels the next triangle covers.
struct RasterFragments {
    static constexpr int kRoom = 256;
    float q[kRoom + 16];
    float where[kRoom + 16];  ///< block * 16 + lane
    /// By block: its first pixel, its triangle. Each block has room for its fragments, so there are at most as many.
    std::int32_t first[kRoom], id[kRoom];

    void draw(const RasterArgs& r, int count) const {
        std::int32_t offset[kBlock * kBlock];
        for (int i = 0; i < kBlock * kBlock; ++i) offset[i] = i / kBlock * r.width + i % kBlock;
        for (int i = 0; i < count; ++i) {
            const auto at = static_cast<std::uint32_t>(where[i]);
            const std::ptrdiff_t pixel = first[at / 16] + offset[at % 16];
            // Nearly always so: most pixels are covered once.
            if (!(q[i] > r.nearest[pixel])) continue;
            r.nearest[pixel] = q[i];
            r.triangle[pixel] = id[at / 16];
        }
    }
};

/// Triangles of at most kRasterSpans pixels a side, a lane each. Boxes are clipped to the image. Edge values are turned so that what is
/// covered is not positive; at pixels of the box they are at most the box's area, 2^24, so that floats hold them exactly.
struct RasterGroup {
    alignas(64) float first[3][kWidth];  ///< edge values at the box's first pixel
    alignas(64) float across[3][kWidth], down[3][kWidth];
    alignas(64) float inverse[kWidth], q[kWidth], change[2][kWidth];
    alignas(64) float left[kWidth], top[kWidth], columns[kWidth], rows[kWidth];  ///< of the box
    unsigned drawn;  ///< bits of the lanes whose triangles may cover a pixel
    unsigned large;  ///< bits of those with over kRasterSpans pixels a side or a corner nowhere, which are not among the drawn

    /// Triangles n .. n + count - 1.
    RETINAFACE_INLINE RasterGroup(const RasterArgs& r, int n, int count) {
        const Vec one = broadcast(1), steps = broadcast(kRasterSteps), half = broadcast(kRasterSteps / 2);
        Vec x[3], y[3], depth[3];
        RETINAFACE_UNROLL
        for (int i = 0; i < 3; ++i) {
            Vec corner[4];
            load_fours(
                [&](int lane) {
                    const int triangle = n + (lane < count ? lane : 0);
                    return reinterpret_cast<const float*>(r.vertices +
                                                          r.triangles[3 * static_cast<std::ptrdiff_t>(triangle) + i]);
                },
                corner);
            x[i] = corner[0];
            y[i] = corner[1];
            depth[i] = corner[2];
        }
        const auto least = [&](Vec a, Vec b) { return select_greater(a, b, b, a); };
        const Vec low_x = least(least(x[0], x[1]), x[2]), low_y = least(least(y[0], y[1]), y[2]);
        const Vec high_x = max(max(x[0], x[1]), x[2]), high_y = max(max(y[0], y[1]), y[2]);
        const Vec beyond = sub(max(sub(high_x, low_x), sub(high_y, low_y)), broadcast(kRasterSpans * kRasterSteps));

        // Pixels whose centres lie within. Adding 1.5 * 2^23 and taking it away rounds to whole numbers.
        const Vec whole = broadcast(12582912), pixel = broadcast(1.0f / kRasterSteps);
        const auto rounded = [&](Vec v) { return sub(add(v, whole), whole); };
        const auto from = [&](Vec low) {
            const Vec v = product(sub(low, half), pixel), near = rounded(v);
            return max(select_greater(v, near, add(near, one), near), zero());
        };
        const auto to = [&](Vec high, int side) {
            const Vec v = product(sub(high, half), pixel), near = rounded(v);
            return least(select_greater(near, v, sub(near, one), near), broadcast(static_cast<float>(side - 1)));
        };
        const Vec box_left = from(low_x), box_top = from(low_y), width = sub(to(high_x, r.width), box_left),
                  height = sub(to(high_y, r.height), box_top);
        store(left, box_left);
        store(top, box_top);
        store(columns, add(width, one));
        store(rows, add(height, one));

        const auto minor = [&](Vec ax, Vec ay, Vec bx, Vec by) { return sub(product(ax, by), product(ay, bx)); };
        const Vec area = minor(sub(x[1], x[0]), sub(y[1], y[0]), sub(x[2], x[0]), sub(y[2], y[0]));
        const Vec sign = select_greater(area, zero(), broadcast(-1), one), turned = product(area, sign);
        const Vec px = add(product(box_left, steps), half), py = add(product(box_top, steps), half);
        for (int i = 0; i < 3; ++i) {
            const int a = (i + 1) % 3, b = (i + 2) % 3;
            const Vec dx = product(sub(x[b], x[a]), sign), dy = product(sub(y[b], y[a]), sign);
            store(first[i], minor(dx, dy, sub(px, x[a]), sub(py, y[a])));
            store(across[i], product(sub(zero(), dy), steps));
            store(down[i], product(dx, steps));
        }
        store(inverse, divide(one, turned));
        store(q, depth[0]);
        for (int i = 0; i < 2; ++i) store(change[i], sub(depth[i + 1], depth[0]));

        const unsigned lanes = kAllLanes >> (kWidth - count), small = not_positive(beyond);
        const Vec empty = max(max(sub(zero(), width), sub(zero(), height)), add(turned, one));
        drawn = lanes & small & not_positive(r.cull ? max(empty, area) : empty);
        large = lanes & ~small;
    }
};

inline void raster(const RasterArgs& r) {
    RasterFragments out;
    int count = 0, blocks = 0;
    const auto draw = [&] {
        out.draw(r, count);
        count = blocks = 0;
    };
    for (int n = r.begin; n < r.end; n += kWidth) {
        const RasterGroup g(r, n, r.end - n < kWidth ? r.end - n : kWidth);
        for (unsigned lanes = g.drawn | g.large; lanes != 0; lanes &= lanes - 1) {
            const int lane = __builtin_ctz(lanes);
            if (g.large >> lane & 1) {
                draw();  // what came first is drawn first
                raster_rows(r, n + lane);
                continue;
            }
            const Vec across0 = broadcast(g.across[0][lane]), across1 = broadcast(g.across[1][lane]),
                      across2 = broadcast(g.across[2][lane]);
            const Vec down0 = broadcast(g.down[0][lane]), down1 = broadcast(g.down[1][lane]), down2 = broadcast(g.down[2][lane]);
            const Vec first0 = broadcast(g.first[0][lane]), first1 = broadcast(g.first[1][lane]),
                      first2 = broadcast(g.first[2][lane]);
            const Vec inverse = broadcast(g.inverse[lane]), origin = broadcast(g.q[lane]);
            const Vec change1 = broadcast(g.change[0][lane]), change2 = broadcast(g.change[1][lane]);
            const auto left = static_cast<std::int32_t>(g.left[lane]), top = static_cast<std::int32_t>(g.top[lane]);
            const int columns = static_cast<std::int32_t>(g.columns[lane]), rows = static_cast<std::int32_t>(g.rows[lane]);
            const std::int32_t pixel = top * r.width + left;
            const auto block = [&](int x, int y) {
                if (count > RasterFragments::kRoom - kBlock * kBlock || blocks == RasterFragments::kRoom) draw();
                out.first[blocks] = pixel + y * r.width + x;
                out.id[blocks] = n + lane;
                // Lanes outside the box hold no exact values, nor pixels of the image where it ends.
                const int high = rows - y < kBlock ? rows - y : kBlock;
                const unsigned box = kTables.inside[high][columns - x < kBlock ? columns - x : kBlock];
                const Vec column = load(kTables.column + kBlock * x);
                for (int i = 0; i < kBlock * high; i += kWidth) {
                    static_assert(kWidth % kBlock == 0, "the columns of a vector are those of the block");
                    const Vec row = load(kTables.row + kBlock * y + i);
                    const Vec e0 = fma(column, across0, fma(row, down0, first0)),
                              e1 = fma(column, across1, fma(row, down1, first1)),
                              e2 = fma(column, across2, fma(row, down2, first2));
                    const unsigned covered = not_positive(max(max(e0, e1), e2)) & (box >> i);
                    const Vec q =
                        add(origin, add(product(product(e1, inverse), change1), product(product(e2, inverse), change2)));
                    compress(out.where + count, add(load(kTables.lane + i), broadcast(static_cast<float>(blocks * 16))), covered);
                    count += compress(out.q + count, q, covered);
                }
                ++blocks;
            };
            if (columns <= kBlock && rows <= kBlock) {
                block(0, 0);  // most triangles, for which two loops would be half of the work
            } else {
                for (int y = 0; y < rows; y += kBlock)
                    for (int x = 0; x < columns; x += kBlock) block(x, y);
            }
        }
    }
    draw();
}

inline void resolve(const ResolveArgs& a) {
    const std::int32_t* const triangle = a.triangle;
    std::uint8_t* const mask = a.mask;
    const std::ptrdiff_t pixels = a.pixels, whole = pixels / kWidth * kWidth;
    for (std::ptrdiff_t i = 0; i < pixels; ++i) mask[i] = triangle[i] >= 0 ? 1 : 0;
    const Vec one = broadcast(1), infinite = broadcast(std::numeric_limits<float>::infinity());
    const auto depth = [&](const float* nearest, const std::int32_t* who) {
        const Vec q = load(nearest), d = a.perspective ? divide(one, q) : product(q, broadcast(-1));
        return select_greater(add(load_ints(who), one), zero(), d, infinite);
    };
    for (std::ptrdiff_t i = 0; i < whole; i += kWidth) store(a.nearest + i, depth(a.nearest + i, triangle + i));
    if (whole == pixels) return;
    const std::size_t rest = static_cast<std::size_t>(pixels - whole) * sizeof(float);
    float q[kWidth] = {};
    std::int32_t who[kWidth] = {};
    std::memcpy(q, a.nearest + whole, rest);
    std::memcpy(who, triangle + whole, rest);
    store(q, depth(q, who));
    std::memcpy(a.nearest + whole, q, rest);
}

inline void normals(const NormalsArgs& args) {
    const Vec limit = broadcast(1e18f), one = broadcast(1);
    for (int n = args.begin; n < args.end; n += kWidth) {
        const int count = args.end - n < kWidth ? args.end - n : kWidth;
        const std::int32_t* const corners = args.triangles + 3 * static_cast<std::ptrdiff_t>(n);
        float* vertex[3][kWidth];
        for (int lane = 0; lane < kWidth; ++lane)
            for (int i = 0; i < 3; ++i)
                vertex[i][lane] =
                    args.attributes + kRasterAttributes * static_cast<std::ptrdiff_t>(corners[lane < count ? 3 * lane + i : 0]);
        // The last four of a vertex end in its position.
        constexpr int kLastFour = kRasterAttributes - 4;
        static_assert(kPositionAt == kLastFour + 1, "x, y and z are the vectors 1 to 3");
        Vec a[4], b[4], c[4], u[3], v[3];
        load_fours([&](int lane) { return vertex[0][lane] + kLastFour; }, a);
        load_fours([&](int lane) { return vertex[1][lane] + kLastFour; }, b);
        load_fours([&](int lane) { return vertex[2][lane] + kLastFour; }, c);
        for (int i = 0; i < 3; ++i) {
            u[i] = sub(b[i + 1], a[i + 1]);
            v[i] = sub(c[i + 1], a[i + 1]);
        }
        const auto minor = [&](int i, int j) { return sub(product(u[i], v[j]), product(u[j], v[i])); };
        const Vec normal[3] = {minor(1, 2), minor(2, 0), minor(0, 1)};
        Vec drawn = one;
        for (const Vec& element : normal) drawn = select_greater(limit, max(element, sub(zero(), element)), drawn, zero());
        // Nothing is added by adding 0: no sum that starts at 0 is -0.
        alignas(64) float sums[4 * kWidth];
        const auto kept = [&](Vec element) { return select_greater(drawn, zero(), element, zero()); };
        const Vec four[4] = {kept(normal[0]), kept(normal[1]), kept(normal[2]), zero()};
        store_fours(sums, four);
        for (int lane = 0; lane < count; ++lane)
            for (int i = 0; i < 3; ++i) add_four(vertex[i][lane] + kNormalAt, sums + 4 * lane);
    }
}

/// Edge values of pixels whose triangles' corners are within this many grid units of them are whole numbers up to 2^24.
constexpr float kShadeNear = 2048;

/// Vectors of pixels of a row that are shaded together: each step for all of them before the next one, so that what takes long, divisions and
/// roots, is under way for several at once.
struct ShadeBlock {
    static constexpr int kVectors = 4;
    static constexpr int kPixels = kVectors * kWidth;
    const float* corner[3][kPixels];  ///< attributes of the triangles' corners
    alignas(64) float weight[3][kPixels], mixed[kPixels][kRasterAttributes];

    /// Corners and weights of the kWidth pixels from px on, to places from `at` on.
    RETINAFACE_INLINE void weigh(const ShadeArgs& s, const std::int32_t* triangle, int px, int at) {
        const Vec one = broadcast(1), drawn = add(load_ints(triangle), one);
        std::int32_t any = 0;  // lanes without a triangle take the one before, which is at hand
        for (int j = 0; j < kWidth; ++j) {
            any = triangle[j] < 0 ? any : triangle[j];
            const std::int32_t* const corners = s.triangles + 3 * static_cast<std::ptrdiff_t>(any);
            for (int i = 0; i < 3; ++i)
                corner[i][at + j] = s.attributes + kRasterAttributes * static_cast<std::ptrdiff_t>(corners[i]);
        }
        const Vec x = add(product(load(kTables.lane), broadcast(kRasterSteps)),
                          broadcast(static_cast<float>(px * kRasterSteps + kRasterSteps / 2))),
                  y = broadcast(static_cast<float>(s.row * kRasterSteps + kRasterSteps / 2));
        Vec dx[3], dy[3], q[3], away = zero();
        RETINAFACE_UNROLL
        for (int i = 0; i < 3; ++i) {
            Vec vertex[4];
            load_fours([&](int j) { return corner[i][at + j] + kScreenAt; }, vertex);
            dx[i] = sub(x, vertex[0]);
            dy[i] = sub(y, vertex[1]);
            q[i] = vertex[2];
            for (const Vec d : {dx[i], dy[i]}) away = max(away, max(d, sub(zero(), d)));
        }
        Vec edge[3], area;
        if (not_positive(sub(select_greater(drawn, zero(), away, zero()), broadcast(kShadeNear))) == kAllLanes) {
            for (int i = 0; i < 3; ++i) {
                const int a = (i + 1) % 3, b = (i + 2) % 3;
                edge[i] = sub(product(dx[a], dy[b]), product(dx[b], dy[a]));
            }
            area = add(add(edge[0], edge[1]), edge[2]);
        } else {
            alignas(64) float edges[3][kWidth] = {}, areas[kWidth] = {};
            for (int j = 0; j < kWidth; ++j) {
                if (triangle[j] < 0) continue;
                const RasterTriangle t(s.vertices, s.triangles + 3 * static_cast<std::ptrdiff_t>(triangle[j]));
                for (int i = 0; i < 3; ++i) edges[i][j] = static_cast<float>(t.edge(i, px + j, s.row));
                areas[j] = static_cast<float>(t.area());
            }
            for (int i = 0; i < 3; ++i) edge[i] = load(edges[i]);
            area = load(areas);
        }
        const Vec inverse = divide(one, area);
        for (int i = 0; i < 3; ++i) {
            edge[i] = product(edge[i], inverse);
            if (s.perspective) edge[i] = product(edge[i], q[i]);
        }
        const Vec share = divide(one, add(add(edge[0], edge[1]), edge[2]));
        for (int i = 0; i < 3; ++i) store(weight[i] + at, product(edge[i], share));
    }
    /// Attributes of the first `count` pixels.
    RETINAFACE_INLINE void mix(int count) {
        for (int j = 0; j < count; ++j) {
            const auto part = [&](int i, int first) { return product(broadcast(weight[i][j]), load(corner[i][j] + first)); };
            for (int first = 0; first < kRasterAttributes; first += kWidth)
                store(mixed[j] + first, add(add(part(0, first), part(1, first)), part(2, first)));
        }
    }
    /// What is stored of the kWidth pixels at places from `at` on; zeros where there is no triangle.
    RETINAFACE_INLINE void finish(const ShadeArgs& s, const std::int32_t* triangle, int at, float* normals, float* coordinates,
                                  float* colours) {
        const Vec one = broadcast(1), drawn = add(load_ints(triangle), one);
        Vec attribute[kRasterAttributes], light[3];
        RETINAFACE_UNROLL
        for (int i = 0; i < kRasterAttributes; i += 4) load_fours([&](int j) { return mixed[at + j] + i; }, attribute + i);
        Vec* const normal = attribute + kNormalAt;
        Vec* const colour = attribute + kColourAt;
        Vec* const coordinate = attribute + kCoordinateAt;
        for (int i = 0; i < 3; ++i) light[i] = sub(broadcast(s.light_position[i]), attribute[kPositionAt + i]);
        const auto dot = [&](const Vec* a, const Vec* b) {
            return add(add(product(a[0], b[0]), product(a[1], b[1])), product(a[2], b[2]));
        };
        const auto at_least = [&](Vec v, Vec least) { return select_greater(v, least, v, least); };
        const auto by = [&](const Vec* v) { return divide(one, at_least(square_root(dot(v, v)), broadcast(1e-12f))); };
        const Vec by_length = by(normal), by_reach = by(light);
        const Vec lambert = at_least(product(product(dot(normal, light), by_length), by_reach), zero());
        for (int i = 0; i < 3; ++i) {
            const auto kept = [&](Vec v) { return select_greater(drawn, zero(), v, zero()); };
            colour[i] = kept(product(colour[i], add(broadcast(s.ambient[i]), product(broadcast(s.light_colour[i]), lambert))));
            coordinate[i] = kept(coordinate[i]);
            normal[i] = kept(product(normal[i], by_length));
        }
        store_threes(normals, normal);
        store_threes(coordinates, coordinate);
        store_threes(colours, colour);
    }
};

/// At most ShadeBlock::kPixels pixels of the row, from px on, a multiple of kWidth.
inline void shade_pixels(ShadeBlock& block, const ShadeArgs& s, const std::int32_t* triangle, int px, int count, float* normals,
                         float* coordinates, float* colours) {
    int drawn[ShadeBlock::kVectors], vectors = 0;
    for (int i = 0; i < count; i += kWidth) {
        if (not_positive(add(load_ints(triangle + i), broadcast(1))) != kAllLanes) {
            drawn[vectors++] = i;
            continue;
        }
        for (float* const map : {normals, coordinates, colours})
            for (int k = 0; k < 3; ++k) store(map + 3 * i + k * kWidth, zero());
    }
    for (int v = 0; v < vectors; ++v) block.weigh(s, triangle + drawn[v], px + drawn[v], v * kWidth);
    block.mix(vectors * kWidth);
    for (int v = 0; v < vectors; ++v) {
        const int i = drawn[v];
        block.finish(s, triangle + i, v * kWidth, normals + 3 * i, coordinates + 3 * i, colours + 3 * i);
    }
}

inline void shade(const ShadeArgs& s) {
    ShadeBlock block;
    const int whole = s.width / kWidth * kWidth, count = s.width - whole;
    for (int px = 0; px < whole; px += ShadeBlock::kPixels) {
        const std::ptrdiff_t at = 3 * static_cast<std::ptrdiff_t>(px);
        const int pixels = whole - px < ShadeBlock::kPixels ? whole - px : ShadeBlock::kPixels;
        shade_pixels(block, s, s.triangle + px, px, pixels, s.normals + at, s.coordinates + at, s.colours + at);
    }
    if (count == 0) return;
    std::int32_t triangle[kWidth];
    float maps[3][3 * kWidth];
    for (int j = 0; j < kWidth; ++j) triangle[j] = j < count ? s.triangle[whole + j] : -1;
    shade_pixels(block, s, triangle, whole, kWidth, maps[0], maps[1], maps[2]);
    float* const to[3] = {s.normals, s.coordinates, s.colours};
    for (int i = 0; i < 3; ++i)
        std::memcpy(to[i] + 3 * static_cast<std::ptrdiff_t>(whole), maps[i], 3 * sizeof(float) * static_cast<std::size_t>(count));
}

#if defined(__clang__)
#pragma clang diagnostic pop
#endif
