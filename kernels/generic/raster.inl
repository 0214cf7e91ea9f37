// The rasteriser. Coverage is exact (integers). Everything in floating point is either a rounded product or sum of vectors, or a sum of
// products of floats in double, which are exact: fusing changes no bit, and every set draws the same image.

/// A triangle on the sub-pixel grid, turned so that its doubled area is positive; a corner's edge is the one opposite to it.
struct RasterTriangle {
    int corner[3];
    std::int32_t x[3], y[3];
    std::int64_t area;
};

/// False where there is nothing to draw.
RETINAFACE_INLINE bool raster_triangle(const std::int32_t* vx, const std::int32_t* vy, const std::int32_t* corners, bool cull,
                                       RasterTriangle& t) {
    for (int i = 0; i < 3; ++i) {
        t.corner[i] = corners[i];
        t.x[i] = vx[corners[i]];
        t.y[i] = vy[corners[i]];
    }
    if (t.x[0] == kRasterNowhere || t.x[1] == kRasterNowhere || t.x[2] == kRasterNowhere) return false;
    t.area = std::int64_t{t.x[1] - t.x[0]} * (t.y[2] - t.y[0]) - std::int64_t{t.x[2] - t.x[0]} * (t.y[1] - t.y[0]);
    if (t.area == 0 || (cull && t.area > 0)) return false;
    if (t.area < 0) {
        const auto swap = [](auto& a, auto& b) {
            const auto c = a;
            a = b;
            b = c;
        };
        t.area = -t.area;
        swap(t.corner[1], t.corner[2]);
        swap(t.x[1], t.x[2]);
        swap(t.y[1], t.y[2]);
    }
    return true;
}

/// Barycentric weights from edge values: e * inverse, each rounded to float.
RETINAFACE_INLINE double raster_weight(std::int64_t edge, double inverse) {
    return static_cast<double>(static_cast<float>(static_cast<double>(edge) * inverse));
}

/// Edge value i at the centre of pixel (px, py).
RETINAFACE_INLINE std::int64_t raster_edge(const RasterTriangle& t, int i, int px, int py) {
    const int a = (i + 1) % 3, b = (i + 2) % 3;
    const std::int64_t x = std::int64_t{px} * kRasterSteps + kRasterSteps / 2,
                       y = std::int64_t{py} * kRasterSteps + kRasterSteps / 2;
    return std::int64_t{t.x[b] - t.x[a]} * (y - t.y[a]) - std::int64_t{t.y[b] - t.y[a]} * (x - t.x[a]);
}

/// Pixels whose centres lie in [low, high] (1 / 256 pixel), clipped to [0, side).
struct PixelRange {
    int first, last;
};
RETINAFACE_INLINE PixelRange raster_pixels(std::int32_t low, std::int32_t high, int side) {
    const int first = (low + kRasterSteps / 2 - 1) >> 8, last = (high - kRasterSteps / 2) >> 8;
    return {first < 0 ? 0 : first, last >= side ? side - 1 : last};
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

/// Many pixels: every row's span by division, then vectors.
inline void raster_large(const RasterArgs& r, const RasterTriangle& t, std::int32_t id, PixelRange xs, PixelRange ys) {
    const double inverse = 1.0 / static_cast<double>(t.area);
    const double q[3] = {static_cast<double>(r.q[t.corner[0]]), static_cast<double>(r.q[t.corner[1]]),
                         static_cast<double>(r.q[t.corner[2]])};
    std::int64_t step[3];
    double slope = 0;
    for (int i = 0; i < 3; ++i) {
        step[i] = -std::int64_t{t.y[(i + 2) % 3] - t.y[(i + 1) % 3]} * kRasterSteps;
        slope += raster_weight(step[i], inverse) * q[i];
    }
    for (int py = ys.first; py <= ys.last; ++py) {
        std::int64_t first = xs.first, last = xs.last;
        for (int i = 0; i < 3; ++i) {
            const std::int64_t e = raster_edge(t, i, xs.first, py);
            if (step[i] > 0) {
                if (e < 0) {
                    const std::int64_t x = xs.first + (-e + step[i] - 1) / step[i];
                    first = x > first ? x : first;
                }
            } else if (e < 0) {
                last = -1;  // never reached again
            } else if (step[i] < 0) {
                const std::int64_t x = xs.first + e / -step[i];
                last = x < last ? x : last;
            }
        }
        if (first > last) continue;
        const int px = static_cast<int>(first);
        double q0 = 0;
        for (int i = 0; i < 3; ++i) q0 += raster_weight(raster_edge(t, i, px, py), inverse) * q[i];
        const std::ptrdiff_t at = std::ptrdiff_t{py} * r.width + px;
        raster_span(r.nearest + at, r.triangle + at, static_cast<int>(last - first) + 1, static_cast<float>(q0),
                    static_cast<float>(slope), id);
    }
}

inline void raster(const RasterArgs& r) {
    constexpr int kSmall = 16;  // pixels a side, below which spans are not worth their set-up, and edge values fit 32 bits
    for (int n = r.begin; n < r.end; ++n) {
        const std::int32_t* const corners = r.triangles + 3 * static_cast<std::ptrdiff_t>(n);
        const std::int32_t x0 = r.x[corners[0]], x1 = r.x[corners[1]], x2 = r.x[corners[2]];
        const std::int32_t y0 = r.y[corners[0]], y1 = r.y[corners[1]], y2 = r.y[corners[2]];
        const auto least = [](std::int32_t a, std::int32_t b) { return a < b ? a : b; };
        const auto most = [](std::int32_t a, std::int32_t b) { return a > b ? a : b; };
        const std::int32_t left = least(least(x0, x1), x2), top = least(least(y0, y1), y2);
        if (left == kRasterNowhere) continue;
        const std::int32_t right = most(most(x0, x1), x2), bottom = most(most(y0, y1), y2);
        const PixelRange xs = raster_pixels(left, right, r.width), ys = raster_pixels(top, bottom, r.height);
        if (xs.first > xs.last || ys.first > ys.last) continue;
        RasterTriangle t;
        if (!raster_triangle(r.x, r.y, corners, r.cull, t)) continue;
        if (right - left > kSmall * kRasterSteps || bottom - top > kSmall * kRasterSteps) {
            raster_large(r, t, n, xs, ys);
            continue;
        }
        const double inverse = 1.0 / static_cast<double>(t.area);
        const double q0 = static_cast<double>(r.q[t.corner[0]]), q1 = static_cast<double>(r.q[t.corner[1]]),
                     q2 = static_cast<double>(r.q[t.corner[2]]);
        const auto edge = [&](int i) { return static_cast<std::int32_t>(raster_edge(t, i, xs.first, ys.first)); };
        const auto across = [&](int i) { return -(t.y[(i + 2) % 3] - t.y[(i + 1) % 3]) * kRasterSteps; };
        const auto down = [&](int i) { return (t.x[(i + 2) % 3] - t.x[(i + 1) % 3]) * kRasterSteps; };
        std::int32_t row0 = edge(0), row1 = edge(1), row2 = edge(2);
        const std::int32_t across0 = across(0), across1 = across(1), across2 = across(2);
        const std::int32_t down0 = down(0), down1 = down(1), down2 = down(2);
        float* nearest = r.nearest + std::ptrdiff_t{ys.first} * r.width;
        std::int32_t* triangle = r.triangle + std::ptrdiff_t{ys.first} * r.width;
        for (int py = ys.first; py <= ys.last; ++py) {
            std::int32_t e0 = row0, e1 = row1, e2 = row2;
            for (int px = xs.first; px <= xs.last; ++px) {
                if ((e0 | e1 | e2) >= 0) {
                    const auto q = static_cast<float>(raster_weight(e0, inverse) * q0 + raster_weight(e1, inverse) * q1 +
                                                      raster_weight(e2, inverse) * q2);
                    if (q > nearest[px]) {
                        nearest[px] = q;
                        triangle[px] = n;
                    }
                }
                e0 += across0;
                e1 += across1;
                e2 += across2;
            }
            row0 += down0;
            row1 += down1;
            row2 += down2;
            nearest += r.width;
            triangle += r.width;
        }
    }
}

inline void resolve(const ResolveArgs& r) {
    std::int32_t before = -1;
    RasterTriangle t{};
    double inverse = 0, q[3] = {1, 1, 1};
    for (int px = 0; px < r.width; ++px) {
        const std::int32_t id = r.triangle[px];
        if (id < 0) continue;
        if (id != before) {
            raster_triangle(r.x, r.y, r.triangles + 3 * static_cast<std::ptrdiff_t>(id), false, t);
            inverse = 1.0 / static_cast<double>(t.area);
            if (r.perspective)
                for (int i = 0; i < 3; ++i) q[i] = static_cast<double>(r.q[t.corner[i]]);
            before = id;
        }
        double weight[3], sum = 0;
        for (int i = 0; i < 3; ++i) {
            weight[i] = raster_weight(raster_edge(t, i, px, r.row), inverse) * q[i];
            sum += weight[i];
        }
        const Vec w0 = broadcast(static_cast<float>(weight[0] / sum)), w1 = broadcast(static_cast<float>(weight[1] / sum)),
                  w2 = broadcast(static_cast<float>(weight[2] / sum));
        const auto row = [&](int i) { return r.attributes + kRasterAttributes * static_cast<std::ptrdiff_t>(t.corner[i]); };
        const float *a0 = row(0), *a1 = row(1), *a2 = row(2);
        float* out = r.out + kRasterAttributes * static_cast<std::ptrdiff_t>(px);
        for (int i = 0; i < kRasterAttributes; i += kWidth)
            store(out + i, add(add(product(w0, load(a0 + i)), product(w1, load(a1 + i))), product(w2, load(a2 + i))));
    }
}

RETINAFACE_INLINE Vec dot3(const Vec* a, const Vec* b) {
    return add(add(product(a[0], b[0]), product(a[1], b[1])), product(a[2], b[2]));
}

inline void shade(const ShadeArgs& s) {
    for (int begin = 0; begin < s.count; begin += kWidth) {
        const int count = s.count - begin < kWidth ? s.count - begin : kWidth;
        // From pixels of attributes to attributes of pixels.
        alignas(64) float in[12][kWidth] = {};
        for (int j = 0; j < count; ++j)
            for (int i = 0; i < 12; ++i)
                in[i][j] = s.attributes[(begin + j) * static_cast<std::ptrdiff_t>(kRasterAttributes) + i];
        Vec normal[3], light[3];
        for (int i = 0; i < 3; ++i) {
            normal[i] = load(in[kNormalAt + i]);
            light[i] = sub(broadcast(s.light_position[i]), load(in[kPositionAt + i]));
        }
        const Vec tiny = broadcast(1e-12f);
        const Vec length = max(square_root(dot3(normal, normal)), tiny);
        const Vec reach = max(square_root(dot3(light, light)), tiny);
        for (Vec& n : normal) n = divide(n, length);
        const Vec lambert = max(divide(dot3(normal, light), reach), zero());
        alignas(64) float out[6][kWidth];
        for (int i = 0; i < 3; ++i) {
            const Vec lit = add(broadcast(s.ambient[i]), product(broadcast(s.light_colour[i]), lambert));
            store(out[i], product(load(in[kColourAt + i]), lit));
            store(out[3 + i], normal[i]);
        }
        for (int j = 0; j < count; ++j) {
            for (int i = 0; i < 3; ++i) {
                s.colour[3 * (begin + j) + i] = out[i][j];
                s.normals[3 * (begin + j) + i] = out[3 + i][j];
            }
        }
    }
}
