// The rasteriser. Coverage is exact (integers, or floats that hold integers below 2^24). Elsewhere no product is fused with a sum, and
// every set draws the same image.

/// A triangle on the sub-pixel grid; a corner's edge is the one opposite to it.
struct RasterTriangle {
    RasterVertex corner[3];
    std::int64_t area;  ///< doubled, in grid units; its sign says which way round the corners run
};

/// Edge value i at the centre of pixel (px, py), in the sign of the area.
RETINAFACE_INLINE std::int64_t raster_edge(const RasterTriangle& t, int i, int px, int py) {
    const RasterVertex &a = t.corner[(i + 1) % 3], &b = t.corner[(i + 2) % 3];
    const std::int64_t x = std::int64_t{px} * kRasterSteps + kRasterSteps / 2,
                       y = std::int64_t{py} * kRasterSteps + kRasterSteps / 2;
    return std::int64_t{b.x - a.x} * (y - a.y) - std::int64_t{b.y - a.y} * (x - a.x);
}

/// q relative to corner 0's where edges 1 and 2 have these values.
RETINAFACE_INLINE float raster_change(const RasterTriangle& t, float inverse, std::int64_t e1, std::int64_t e2) {
    return rounded_product(rounded_product(static_cast<float>(e1), inverse), t.corner[1].q - t.corner[0].q) +
           rounded_product(rounded_product(static_cast<float>(e2), inverse), t.corner[2].q - t.corner[0].q);
}

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

struct PixelBox {
    int left, top, right, bottom;  ///< inclusive
};

/// Many pixels: every row's span by division, then vectors.
inline void raster_rows(const RasterArgs& r, const RasterTriangle& t, std::int32_t id, PixelBox box) {
    const std::int64_t sign = t.area > 0 ? 1 : -1;
    const float inverse = 1 / static_cast<float>(t.area);
    std::int64_t step[3];
    for (int i = 0; i < 3; ++i) step[i] = -std::int64_t{t.corner[(i + 2) % 3].y - t.corner[(i + 1) % 3].y} * kRasterSteps * sign;
    const float slope = raster_change(t, inverse, step[1] * sign, step[2] * sign);
    for (int py = box.top; py <= box.bottom; ++py) {
        std::int64_t first = box.left, last = box.right;
        for (int i = 0; i < 3; ++i) {
            const std::int64_t e = raster_edge(t, i, box.left, py) * sign;
            if (step[i] > 0) {
                if (e < 0) {
                    const std::int64_t x = box.left + (-e + step[i] - 1) / step[i];
                    first = x > first ? x : first;
                }
            } else if (e < 0) {
                last = -1;  // never reached again
            } else if (step[i] < 0) {
                const std::int64_t x = box.left + e / -step[i];
                last = x < last ? x : last;
            }
        }
        if (first > last) continue;
        const int px = static_cast<int>(first);
        const float q = t.corner[0].q + raster_change(t, inverse, raster_edge(t, 1, px, py), raster_edge(t, 2, px, py));
        const std::ptrdiff_t at = std::ptrdiff_t{py} * r.width + px;
        raster_span(r.nearest + at, r.triangle + at, static_cast<int>(last - first) + 1, q, slope, id);
    }
}

/// At most kRasterSpans pixels a side: edge values fit 32 bits.
inline void raster_pixels(const RasterArgs& r, const RasterTriangle& t, std::int32_t id, PixelBox box) {
    const int sign = t.area > 0 ? 1 : -1;
    const float inverse = 1 / static_cast<float>(t.area) * static_cast<float>(sign);
    std::int32_t row[3], across[3], down[3];
    for (int i = 0; i < 3; ++i) {
        const RasterVertex &a = t.corner[(i + 1) % 3], &b = t.corner[(i + 2) % 3];
        row[i] = static_cast<std::int32_t>(raster_edge(t, i, box.left, box.top)) * sign;
        across[i] = -(b.y - a.y) * kRasterSteps * sign;
        down[i] = (b.x - a.x) * kRasterSteps * sign;
    }
    for (int py = box.top; py <= box.bottom; ++py) {
        std::int32_t e[3] = {row[0], row[1], row[2]};
        float* const nearest = r.nearest + std::ptrdiff_t{py} * r.width;
        std::int32_t* const triangle = r.triangle + std::ptrdiff_t{py} * r.width;
        for (int px = box.left; px <= box.right; ++px) {
            if ((e[0] | e[1] | e[2]) >= 0) {
                const float q = t.corner[0].q + raster_change(t, inverse, e[1], e[2]);
                if (q > nearest[px]) {
                    nearest[px] = q;
                    triangle[px] = id;
                }
            }
            for (int i = 0; i < 3; ++i) e[i] += across[i];
        }
        for (int i = 0; i < 3; ++i) row[i] += down[i];
    }
}

/// Blocks of 4 x 4 pixels, which are the lanes of vectors.
constexpr int kBlock = 4;
alignas(64) inline constexpr float kBlockColumn[16] = {0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3};
alignas(64) inline constexpr float kBlockRow[16] = {0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3};
/// Sides of a triangle's box, in pixels, up to which edge values stay below 2^24, so that floats hold them exactly.
constexpr int kBlocksSide = 8;

/// A triangle whose box has at most kBlocksSide pixels a side and lies in the image.
RETINAFACE_INLINE void raster_blocks(const RasterArgs& r, const RasterTriangle& t, std::int32_t id, PixelBox box) {
    const RasterVertex &a = t.corner[0], &b = t.corner[1], &c = t.corner[2];
    const int x = box.left * kRasterSteps + kRasterSteps / 2, y = box.top * kRasterSteps + kRasterSteps / 2;
    // Turned so that what is covered is not positive.
    const auto area = static_cast<std::int32_t>(t.area);
    const int sign = area > 0 ? -1 : 1;
    const auto lanes = [&](int value) { return broadcast(static_cast<float>(value * sign)); };
    const Vec column = load(kBlockColumn), across1 = lanes((c.y - a.y) * kRasterSteps),
              across2 = lanes((a.y - b.y) * kRasterSteps), down1 = lanes((a.x - c.x) * kRasterSteps),
              down2 = lanes((b.x - a.x) * kRasterSteps);
    const Vec first1 = fma(column, across1, lanes((a.x - c.x) * (y - c.y) - (a.y - c.y) * (x - c.x))),
              first2 = fma(column, across2, lanes((b.x - a.x) * (y - a.y) - (b.y - a.y) * (x - a.x)));
    const Vec whole = lanes(area), inverse = broadcast(1 / static_cast<float>(area * sign));
    const Vec change1 = broadcast(b.q - a.q), change2 = broadcast(c.q - a.q), origin = broadcast(a.q);
    for (int top = box.top; top <= box.bottom; top += kBlock) {
        for (int left = box.left; left <= box.right; left += kBlock) {
            const Vec at_column = broadcast(static_cast<float>(left - box.left));
            alignas(64) float q[kBlock * kBlock];
            unsigned covered = 0;
            for (int i = 0; i < kBlock * kBlock; i += kWidth) {
                static_assert(kWidth % kBlock == 0, "the columns of a vector are those of the block");
                const Vec at_row = add(load(kBlockRow + i), broadcast(static_cast<float>(top - box.top)));
                const Vec e1 = fma(at_column, across1, fma(at_row, down1, first1)),
                          e2 = fma(at_column, across2, fma(at_row, down2, first2));
                const Vec e0 = sub(sub(whole, e1), e2);
                covered |= not_positive(max(max(e0, e1), e2)) << i;
                store(q + i, add(origin, add(product(product(e1, inverse), change1), product(product(e2, inverse), change2))));
            }
            const std::ptrdiff_t first = std::ptrdiff_t{top} * r.width + left;
            for (; covered != 0; covered &= covered - 1) {
                const int i = __builtin_ctz(covered);
                const std::ptrdiff_t at = first + std::ptrdiff_t{i / kBlock} * r.width + i % kBlock;
                // Without a branch: which is nearer is anybody's guess.
                const std::int32_t nearer = -static_cast<std::int32_t>(q[i] > r.nearest[at]);
                r.nearest[at] = q[i] > r.nearest[at] ? q[i] : r.nearest[at];
                r.triangle[at] = (id & nearer) | (r.triangle[at] & ~nearer);
            }
        }
    }
}

inline void raster(const RasterArgs& r) {
    const auto least = [](std::int32_t a, std::int32_t b) { return a < b ? a : b; };
    const auto most = [](std::int32_t a, std::int32_t b) { return a > b ? a : b; };
    for (int n = r.begin; n < r.end; ++n) {
        const std::int32_t* const corners = r.triangles + 3 * static_cast<std::ptrdiff_t>(n);
        const RasterVertex &a = r.vertices[corners[0]], &b = r.vertices[corners[1]], &c = r.vertices[corners[2]];
        const std::int32_t left = least(least(a.x, b.x), c.x), top = least(least(a.y, b.y), c.y);
        if (left == kRasterNowhere) continue;
        const std::int32_t right = most(most(a.x, b.x), c.x), bottom = most(most(a.y, b.y), c.y);
        // Pixels whose centres lie within.
        const PixelBox box{(left + kRasterSteps / 2 - 1) >> 8, (top + kRasterSteps / 2 - 1) >> 8, (right - kRasterSteps / 2) >> 8,
                           (bottom - kRasterSteps / 2) >> 8};
        if (box.left > box.right || box.top > box.bottom) continue;
        const RasterTriangle t{{a, b, c}, std::int64_t{b.x - a.x} * (c.y - a.y) - std::int64_t{c.x - a.x} * (b.y - a.y)};
        if (t.area == 0 || (r.cull && t.area > 0)) continue;
        const bool inside = box.left >= 0 && box.top >= 0 && box.right < r.width && box.bottom < r.height;
        if (inside && box.right - box.left < kBlocksSide && box.bottom - box.top < kBlocksSide) {
            raster_blocks(r, t, n, box);
            continue;
        }
        const PixelBox clipped{most(box.left, 0), most(box.top, 0), least(box.right, r.width - 1),
                               least(box.bottom, r.height - 1)};
        if (clipped.left > clipped.right || clipped.top > clipped.bottom) continue;
        if (right - left > kRasterSpans * kRasterSteps || bottom - top > kRasterSpans * kRasterSteps)
            raster_rows(r, t, n, clipped);
        else
            raster_pixels(r, t, n, clipped);
    }
}

inline void normals(const NormalsArgs& args) {
    for (int t = args.begin; t < args.end; ++t) {
        const std::int32_t* const corners = args.triangles + 3 * static_cast<std::ptrdiff_t>(t);
        const auto at = [&](int i) { return static_cast<std::ptrdiff_t>(corners[i]); };
        const float *a = args.vertices + 3 * at(0), *b = args.vertices + 3 * at(1), *c = args.vertices + 3 * at(2);
        const float u[3] = {b[0] - a[0], b[1] - a[1], b[2] - a[2]}, v[3] = {c[0] - a[0], c[1] - a[1], c[2] - a[2]};
        const auto minor = [&](int i, int j) { return rounded_product(u[i], v[j]) - rounded_product(u[j], v[i]); };
        const float n[3] = {minor(1, 2), minor(2, 0), minor(0, 1)};
        if (!(std::abs(n[0]) < 1e18f && std::abs(n[1]) < 1e18f && std::abs(n[2]) < 1e18f)) continue;
        for (int i = 0; i < 3; ++i)
            for (int j = 0; j < 3; ++j) args.normals[kRasterAttributes * at(i) + j] += n[j];
    }
}

RETINAFACE_INLINE float raster_dot(const float* a, const float* b) {
    return rounded_product(a[0], b[0]) + rounded_product(a[1], b[1]) + rounded_product(a[2], b[2]);
}

/// Covered pixels of a row, step by step for all of them: what one pixel has to wait for is long, and processors then look ahead too
/// little to work on many.
constexpr int kShadeBatch = 64;
inline void shade_batch(const ShadeArgs& s, const std::int32_t* pixels, int count) {
    const std::int32_t* corners[kShadeBatch];
    // Set up anew for every pixel: small triangles have one or two, and nobody guesses which.
    alignas(64) float edge[3][kShadeBatch], q[3][kShadeBatch], area[kShadeBatch];
    const std::int64_t y = std::int64_t{s.row} * kRasterSteps + kRasterSteps / 2;
    for (int j = 0; j < count; ++j) {
        const std::int32_t* const corner = s.triangles + 3 * static_cast<std::ptrdiff_t>(s.triangle[pixels[j]]);
        const std::int64_t x = std::int64_t{pixels[j]} * kRasterSteps + kRasterSteps / 2;
        std::int64_t dx[3], dy[3], e[3];
        for (int i = 0; i < 3; ++i) {
            const RasterVertex& v = s.vertices[corner[i]];
            dx[i] = x - v.x;
            dy[i] = y - v.y;
            q[i][j] = v.q;
        }
        for (int i = 0; i < 3; ++i) {
            const int a = (i + 1) % 3, b = (i + 2) % 3;
            e[i] = (dx[a] - dx[b]) * dy[a] - (dy[a] - dy[b]) * dx[a];
            edge[i][j] = static_cast<float>(e[i]);
        }
        area[j] = static_cast<float>(e[0] + e[1] + e[2]);
        corners[j] = corner;
    }
    // Lanes without a pixel, too, are numbers.
    const int whole = (count + kWidth - 1) / kWidth * kWidth;
    for (int j = count; j < whole; ++j) {
        for (int i = 0; i < 3; ++i) edge[i][j] = q[i][j] = 1;
        area[j] = 1;
    }
    const Vec one = broadcast(1);
    for (int j = 0; j < count; j += kWidth) {
        const Vec inverse = divide(one, load(area + j));
        Vec w[3];
        for (int i = 0; i < 3; ++i) {
            w[i] = product(load(edge[i] + j), inverse);
            if (s.perspective) w[i] = product(w[i], load(q[i] + j));
        }
        const Vec share = divide(one, add(add(w[0], w[1]), w[2]));
        for (int i = 0; i < 3; ++i) store(edge[i] + j, product(w[i], share));
    }

    alignas(64) float attributes[kShadeBatch][kRasterAttributes];
    for (int j = 0; j < count; ++j) {
        const auto row = [&](int i) { return s.attributes + kRasterAttributes * static_cast<std::ptrdiff_t>(corners[j][i]); };
        const float *a0 = row(0), *a1 = row(1), *a2 = row(2);
        const Vec w0 = broadcast(edge[0][j]), w1 = broadcast(edge[1][j]), w2 = broadcast(edge[2][j]);
        for (int i = 0; i < kRasterAttributes; i += kWidth)
            store(attributes[j] + i, add(add(product(w0, load(a0 + i)), product(w1, load(a1 + i))), product(w2, load(a2 + i))));
    }

    // Squares of the normal's length and of the way to the light; then how much of it falls on the pixel.
    alignas(64) float length[kShadeBatch], reach[kShadeBatch], lambert[kShadeBatch];
    for (int j = 0; j < count; ++j) {
        const float* const a = attributes[j];
        float light[3];
        for (int i = 0; i < 3; ++i) light[i] = s.light_position[i] - a[kPositionAt + i];
        length[j] = raster_dot(a + kNormalAt, a + kNormalAt);
        reach[j] = raster_dot(light, light);
        lambert[j] = raster_dot(a + kNormalAt, light);
    }
    for (int j = count; j < whole; ++j) length[j] = reach[j] = lambert[j] = 1;
    const Vec tiny = broadcast(1e-12f);
    for (int j = 0; j < count; j += kWidth) {
        const Vec by_length = divide(one, max(square_root(load(length + j)), tiny)),
                  by_reach = divide(one, max(square_root(load(reach + j)), tiny));
        store(length + j, by_length);
        store(lambert + j, max(product(product(load(lambert + j), by_length), by_reach), zero()));
    }

    for (int j = 0; j < count; ++j) {
        const float* const a = attributes[j];
        const auto at = 3 * static_cast<std::ptrdiff_t>(pixels[j]);
        for (int i = 0; i < 3; ++i) {
            s.normals[at + i] = a[kNormalAt + i] * length[j];
            s.coordinates[at + i] = a[kCoordinateAt + i];
            s.colours[at + i] = rounded_product(a[kColourAt + i], s.ambient[i] + rounded_product(s.light_colour[i], lambert[j]));
        }
    }
}

inline void shade(const ShadeArgs& s) {
    for (float* map : {s.normals, s.coordinates, s.colours})
        std::memset(map, 0, sizeof(float) * 3 * static_cast<std::size_t>(s.width));
    for (int px = 0; px < s.width;) {
        std::int32_t pixels[kShadeBatch];
        int count = 0;
        for (; px < s.width && count < kShadeBatch; ++px) {
            pixels[count] = px;
            count += s.triangle[px] >= 0 ? 1 : 0;
        }
        if (count > 0) shade_batch(s, pixels, count);
    }
}
