// Reference versions of the mesh's kernels: naive loops, the oracle of every other set. The rasteriser looks at every pixel of a
// triangle's bounding box and draws the same image, bit for bit; graph convolutions sum in double.
#pragma once

#include <cmath>
#include <limits>

#include "mesh_types.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace kernels {
namespace reference {

inline void sparse(const SparseArgs& a) {
    const std::uint64_t* pair = a.matrix.columns;
    const float* value = a.matrix.values;
    const std::int32_t* row = a.matrix.rows;
    for (int i = 0; i < a.matrix.run_count; ++i) {
        const SparseView::Run run = a.matrix.runs[i];
        for (int r = 0; r < run.rows; ++r, ++row, pair += run.count / 2, value += run.count) {
            for (int j = 0; j < a.faces * a.channels; ++j) {
                double sum = 0;
                for (int e = 0; e < run.count; ++e) {
                    const std::ptrdiff_t column =
                        e % 2 == 0 ? SparseView::column<0>(pair[e / 2]) : SparseView::column<1>(pair[e / 2]);
                    sum += static_cast<double>(value[e]) * static_cast<double>(a.x[column * a.faces + j]);
                }
                const std::ptrdiff_t at = std::ptrdiff_t{*row} * a.faces + j;
                sum *= static_cast<double>(a.scale);
                if (a.add != nullptr) sum += static_cast<double>(a.add[at]);
                if (a.before != nullptr) sum -= static_cast<double>(a.before[at]);
                a.y[at] = static_cast<float>(sum);
            }
        }
    }
}

inline void cheb_dense(const ChebDenseArgs& a) {
    for (std::ptrdiff_t pixel = 0; pixel < a.pixels; ++pixel) {
        for (int o = 0; o < a.channels_out; ++o) {
            double sum = static_cast<double>(a.bias[o]);
            for (int k = 0; k < a.terms; ++k)
                for (int f = 0; f < a.channels_in; ++f)
                    sum += static_cast<double>(a.t[k][pixel * a.channels_in + f]) *
                           static_cast<double>(
                               a.weights[panel_place(a.terms * a.channels_in, a.channels_out, k * a.channels_in + f, o)]);
            a.y[pixel * a.channels_out + o] = static_cast<float>(a.relu && sum < 0 ? 0 : sum);
        }
    }
}

inline void cheb_products(const ChebProductsArgs& a) {
    for (std::ptrdiff_t pixel = 0; pixel < a.pixels; ++pixel) {
        for (int o = 0; o < 8 * a.terms; ++o) {
            double sum = 0;
            for (int f = 0; f < a.channels_in; ++f)
                sum += static_cast<double>(a.x[pixel * a.channels_in + f]) *
                       static_cast<double>(a.weights[panel_place(a.channels_in, 8 * a.terms, f, o)]);
            a.c[o / 8 * a.map + pixel * 8 + o % 8] = static_cast<float>(sum);
        }
    }
}

inline void place(const PlaceArgs& a) {
    for (int n = 0; n < a.count; ++n) {
        const float* const v = a.vertices + 3 * static_cast<std::ptrdiff_t>(n);
        // Products of floats are exact in double: the sums come out the same whether or not a compiler fuses them.
        const auto row = [&](const float* r) {
            return static_cast<double>(r[0]) * static_cast<double>(v[0]) + static_cast<double>(r[1]) * static_cast<double>(v[1]) +
                   static_cast<double>(r[2]) * static_cast<double>(v[2]) + static_cast<double>(r[3]);
        };
        const double w = a.perspective ? row(a.rows[2]) : 1.0;
        const auto x = static_cast<float>(row(a.rows[0]) / w), y = static_cast<float>(row(a.rows[1]) / w),
                   depth = static_cast<float>(row(a.rows[2]));
        const bool drawn = std::abs(x) <= kRasterFar && std::abs(y) <= kRasterFar && std::abs(depth) < 1e30f &&
                           (!a.perspective || (depth > 0 && depth >= a.near));
        const auto grid = [](float at) {
            const float steps = at * kRasterSteps;
            return static_cast<float>(static_cast<std::int32_t>(steps + (steps < 0 ? -0.5f : 0.5f)));
        };
        a.placed[n] = {drawn ? grid(x) : kRasterNowhere, drawn ? grid(y) : 0, a.perspective ? 1 / depth : -depth, 0};
    }
}

/// A triangle with its edge functions.
struct Triangle {
    std::int64_t x[3] = {}, y[3] = {}, area = 0;
    float q[3] = {};

    /// False where a corner is nowhere.
    bool set(const RasterVertex* vertices, const std::int32_t* corners) {
        for (int i = 0; i < 3; ++i) {
            const RasterVertex& v = vertices[corners[i]];
            if (v.x == kRasterNowhere) return false;
            x[i] = static_cast<std::int64_t>(v.x);
            y[i] = static_cast<std::int64_t>(v.y);
            q[i] = v.q;
        }
        area = (x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0]);
        return true;
    }
    /// Of the edge opposite to corner i at the centre of a pixel, in the sign of the area.
    std::int64_t edge(int i, int px, int py) const {
        const int a = (i + 1) % 3, b = (i + 2) % 3;
        const std::int64_t cx = std::int64_t{px} * kRasterSteps + kRasterSteps / 2,
                           cy = std::int64_t{py} * kRasterSteps + kRasterSteps / 2;
        return (x[b] - x[a]) * (cy - y[a]) - (y[b] - y[a]) * (cx - x[a]);
    }
    bool covers(int px, int py) const {
        for (int i = 0; i < 3; ++i)
            if (area > 0 ? edge(i, px, py) < 0 : edge(i, px, py) > 0) return false;
        return true;
    }
    /// e1 / area * (q1 - q0) + e2 / area * (q2 - q0)
    float change(std::int64_t e1, std::int64_t e2) const {
        const float inverse = 1 / static_cast<float>(area);
        return rounded_product(rounded_product(static_cast<float>(e1), inverse), q[1] - q[0]) +
               rounded_product(rounded_product(static_cast<float>(e2), inverse), q[2] - q[0]);
    }
};

inline void raster(const RasterArgs& r) {
    for (int n = r.begin; n < r.end; ++n) {
        Triangle t;
        if (!t.set(r.vertices, r.triangles + 3 * static_cast<std::ptrdiff_t>(n)) || t.area == 0 || (r.cull && t.area > 0))
            continue;
        std::int64_t left = t.x[0], right = t.x[0], top = t.y[0], bottom = t.y[0];
        for (int i = 1; i < 3; ++i) {
            left = t.x[i] < left ? t.x[i] : left;
            right = t.x[i] > right ? t.x[i] : right;
            top = t.y[i] < top ? t.y[i] : top;
            bottom = t.y[i] > bottom ? t.y[i] : bottom;
        }
        const bool spans = right - left > kRasterSpans * kRasterSteps || bottom - top > kRasterSpans * kRasterSteps;
        const auto pixel = [](std::int64_t v, int side) {
            const std::int64_t p = v >> 8;
            return static_cast<int>(p < 0 ? 0 : p > side - 1 ? side - 1 : p);
        };
        const float slope = t.change((t.y[2] - t.y[0]) * kRasterSteps, (t.y[0] - t.y[1]) * kRasterSteps);
        for (int py = pixel(top, r.height); py <= pixel(bottom, r.height); ++py) {
            int first = -1;
            float start = 0;
            for (int px = pixel(left, r.width); px <= pixel(right, r.width); ++px) {
                if (!t.covers(px, py)) continue;
                float value = t.q[0] + t.change(t.edge(1, px, py), t.edge(2, px, py));
                if (first < 0) {
                    first = px;
                    start = value;
                }
                if (spans) value = start + rounded_product(static_cast<float>(px - first), slope);
                const std::ptrdiff_t at = std::ptrdiff_t{py} * r.width + px;
                if (!(value > r.nearest[at])) continue;
                r.nearest[at] = value;
                r.triangle[at] = n;
            }
        }
    }
}

inline void resolve(const ResolveArgs& a) {
    for (std::ptrdiff_t i = 0; i < a.pixels; ++i) {
        a.mask[i] = a.triangle[i] >= 0 ? 1 : 0;
        const float depth = a.perspective ? 1 / a.nearest[i] : -a.nearest[i];
        a.nearest[i] = a.triangle[i] >= 0 ? depth : std::numeric_limits<float>::infinity();
    }
}

inline void normals(const NormalsArgs& a) {
    for (int t = a.begin; t < a.end; ++t) {
        const std::int32_t* const corners = a.triangles + 3 * static_cast<std::ptrdiff_t>(t);
        float* corner[3];
        for (int i = 0; i < 3; ++i) corner[i] = a.attributes + kRasterAttributes * static_cast<std::ptrdiff_t>(corners[i]);
        float b[3], c[3], n[3];
        for (int i = 0; i < 3; ++i) {
            b[i] = corner[1][kPositionAt + i] - corner[0][kPositionAt + i];
            c[i] = corner[2][kPositionAt + i] - corner[0][kPositionAt + i];
        }
        bool drawn = true;
        for (int i = 0; i < 3; ++i) {
            const int j = (i + 1) % 3, k = (i + 2) % 3;
            n[i] = rounded_product(b[j], c[k]) - rounded_product(b[k], c[j]);
            drawn = drawn && std::abs(n[i]) < 1e18f;
        }
        if (!drawn) continue;
        for (int i = 0; i < 3; ++i)
            for (int j = 0; j < 3; ++j) corner[i][kNormalAt + j] += n[j];
    }
}

inline void shade(const ShadeArgs& s) {
    for (int px = 0; px < s.width; ++px) {
        float* const normal = s.normals + 3 * static_cast<std::ptrdiff_t>(px);
        float* const coordinate = s.coordinates + 3 * static_cast<std::ptrdiff_t>(px);
        float* const colour = s.colours + 3 * static_cast<std::ptrdiff_t>(px);
        if (s.triangle[px] < 0) {
            for (int i = 0; i < 3; ++i) normal[i] = coordinate[i] = colour[i] = 0;
            continue;
        }
        const std::int32_t* const corners = s.triangles + 3 * static_cast<std::ptrdiff_t>(s.triangle[px]);
        Triangle t;
        t.set(s.vertices, corners);
        float weight[3];
        for (int i = 0; i < 3; ++i) {
            weight[i] = rounded_product(static_cast<float>(t.edge(i, px, s.row)), 1 / static_cast<float>(t.area));
            if (s.perspective) weight[i] = rounded_product(weight[i], t.q[i]);
        }
        const float share = 1 / (weight[0] + weight[1] + weight[2]);
        float a[kRasterAttributes];
        for (int k = 0; k < kRasterAttributes; ++k) {
            float value[3];
            for (int i = 0; i < 3; ++i)
                value[i] = rounded_product(rounded_product(weight[i], share),
                                           s.attributes[kRasterAttributes * static_cast<std::ptrdiff_t>(corners[i]) + k]);
            a[k] = value[0] + value[1] + value[2];
        }
        const auto dot = [](const float* p, const float* q) {
            return rounded_product(p[0], q[0]) + rounded_product(p[1], q[1]) + rounded_product(p[2], q[2]);
        };
        const auto at_least = [](float v, float least) { return v > least ? v : least; };
        float light[3];
        for (int i = 0; i < 3; ++i) light[i] = s.light_position[i] - a[kPositionAt + i];
        const float by_length = 1 / at_least(std::sqrt(dot(a + kNormalAt, a + kNormalAt)), 1e-12f);
        const float by_reach = 1 / at_least(std::sqrt(dot(light, light)), 1e-12f);
        const float lambert = at_least(rounded_product(rounded_product(dot(a + kNormalAt, light), by_length), by_reach), 0.0f);
        for (int i = 0; i < 3; ++i) {
            normal[i] = a[kNormalAt + i] * by_length;
            coordinate[i] = a[kCoordinateAt + i];
            colour[i] = rounded_product(a[kColourAt + i], s.ambient[i] + rounded_product(s.light_colour[i], lambert));
        }
    }
}

inline GraphConv get(Tag<GraphConv>) { return {&sparse, &cheb_dense, &cheb_products}; }
inline Raster get(Tag<Raster>) { return {&place, &raster, &resolve, &normals, &shade}; }

}  // namespace reference
}  // namespace kernels
RETINAFACE_END_NAMESPACE
