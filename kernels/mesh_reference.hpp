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
    const SparseView::Entry* entries = a.matrix.entries;
    const std::int32_t* row = a.matrix.rows;
    for (int i = 0; i < a.matrix.run_count; ++i) {
        const SparseView::Run run = a.matrix.runs[i];
        for (int r = 0; r < run.rows; ++r, ++row, entries += run.count) {
            for (int j = 0; j < a.size; ++j) {
                double sum = 0;
                for (int e = 0; e < run.count; ++e)
                    sum += static_cast<double>(entries[e].value) *
                           static_cast<double>(a.x[std::ptrdiff_t{entries[e].column} * a.size + j]);
                const std::ptrdiff_t at = std::ptrdiff_t{*row} * a.size + j;
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

/// A triangle with the edge functions of its corners, corners turned so that its area is positive.
struct Triangle {
    int corner[3] = {};
    std::int64_t x[3] = {}, y[3] = {}, area = 0;

    bool set(const std::int32_t* vx, const std::int32_t* vy, const std::int32_t* corners) {
        for (int i = 0; i < 3; ++i) {
            corner[i] = corners[i];
            x[i] = vx[corners[i]];
            y[i] = vy[corners[i]];
            if (vx[corners[i]] == kRasterNowhere) return false;
        }
        area = (x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0]);
        return true;
    }
    void turn() {
        if (area > 0) return;
        area = -area;
        const int c = corner[1];
        corner[1] = corner[2];
        corner[2] = c;
        const std::int64_t vx = x[1], vy = y[1];
        x[1] = x[2];
        x[2] = vx;
        y[1] = y[2];
        y[2] = vy;
    }
    std::int64_t edge(int i, int px, int py) const {
        const int a = (i + 1) % 3, b = (i + 2) % 3;
        const std::int64_t cx = std::int64_t{px} * kRasterSteps + kRasterSteps / 2,
                           cy = std::int64_t{py} * kRasterSteps + kRasterSteps / 2;
        return (x[b] - x[a]) * (cy - y[a]) - (y[b] - y[a]) * (cx - x[a]);
    }
    double weight(int i, int px, int py) const { return rounded(edge(i, px, py)); }
    double rounded(std::int64_t e) const {
        return static_cast<double>(static_cast<float>(static_cast<double>(e) * (1.0 / static_cast<double>(area))));
    }
};

inline void raster(const RasterArgs& r) {
    for (int n = r.begin; n < r.end; ++n) {
        Triangle t;
        if (!t.set(r.x, r.y, r.triangles + 3 * static_cast<std::ptrdiff_t>(n)) || t.area == 0 || (r.cull && t.area > 0)) continue;
        t.turn();
        std::int64_t left = t.x[0], right = t.x[0], top = t.y[0], bottom = t.y[0];
        for (int i = 1; i < 3; ++i) {
            left = t.x[i] < left ? t.x[i] : left;
            right = t.x[i] > right ? t.x[i] : right;
            top = t.y[i] < top ? t.y[i] : top;
            bottom = t.y[i] > bottom ? t.y[i] : bottom;
        }
        const bool large = right - left > 16 * kRasterSteps || bottom - top > 16 * kRasterSteps;
        const auto pixel = [](std::int64_t v, int side) {
            const std::int64_t p = v >> 8;
            return static_cast<int>(p < 0 ? 0 : p > side - 1 ? side - 1 : p);
        };
        double q[3];
        float slope = 0;
        double sum = 0;
        for (int i = 0; i < 3; ++i) {
            q[i] = static_cast<double>(r.q[t.corner[i]]);
            sum += t.rounded(-(t.y[(i + 2) % 3] - t.y[(i + 1) % 3]) * kRasterSteps) * q[i];
        }
        slope = static_cast<float>(sum);
        for (int py = pixel(top, r.height); py <= pixel(bottom, r.height); ++py) {
            int first = -1;
            float start = 0;
            for (int px = pixel(left, r.width); px <= pixel(right, r.width); ++px) {
                if (t.edge(0, px, py) < 0 || t.edge(1, px, py) < 0 || t.edge(2, px, py) < 0) continue;
                float value =
                    static_cast<float>(t.weight(0, px, py) * q[0] + t.weight(1, px, py) * q[1] + t.weight(2, px, py) * q[2]);
                // Of a large triangle, q runs along the row from the first pixel.
                if (first < 0) {
                    first = px;
                    start = value;
                }
                if (large) value = start + rounded_product(static_cast<float>(px - first), slope);
                const std::ptrdiff_t at = std::ptrdiff_t{py} * r.width + px;
                if (!(value > r.nearest[at])) continue;
                r.nearest[at] = value;
                r.triangle[at] = n;
            }
        }
    }
}

inline void resolve(const ResolveArgs& r) {
    for (int px = 0; px < r.width; ++px) {
        if (r.triangle[px] < 0) continue;
        Triangle t;
        t.set(r.x, r.y, r.triangles + 3 * static_cast<std::ptrdiff_t>(r.triangle[px]));
        t.turn();
        double weight[3], sum = 0;
        for (int i = 0; i < 3; ++i) {
            weight[i] = t.weight(i, px, r.row) * (r.perspective ? static_cast<double>(r.q[t.corner[i]]) : 1.0);
            sum += weight[i];
        }
        for (int k = 0; k < kRasterAttributes; ++k) {
            float value[3];
            for (int i = 0; i < 3; ++i)
                value[i] = rounded_product(static_cast<float>(weight[i] / sum),
                                           r.attributes[kRasterAttributes * static_cast<std::ptrdiff_t>(t.corner[i]) + k]);
            r.out[kRasterAttributes * static_cast<std::ptrdiff_t>(px) + k] = value[0] + value[1] + value[2];
        }
    }
}

inline void shade(const ShadeArgs& s) {
    for (std::ptrdiff_t j = 0; j < s.count; ++j) {
        const float* const a = s.attributes + kRasterAttributes * j;
        const auto dot = [](const float* p, const float* q) {
            return rounded_product(p[0], q[0]) + rounded_product(p[1], q[1]) + rounded_product(p[2], q[2]);
        };
        const auto at_least = [](float v, float least) { return v > least ? v : least; };
        float normal[3], light[3];
        for (int i = 0; i < 3; ++i) light[i] = s.light_position[i] - a[kPositionAt + i];
        const float length = at_least(std::sqrt(dot(a + kNormalAt, a + kNormalAt)), 1e-12f);
        const float reach = at_least(std::sqrt(dot(light, light)), 1e-12f);
        for (int i = 0; i < 3; ++i) normal[i] = a[kNormalAt + i] / length;
        const float lambert = at_least(dot(normal, light) / reach, 0.0f);
        for (int i = 0; i < 3; ++i) {
            s.colour[3 * j + i] = rounded_product(a[kColourAt + i], s.ambient[i] + rounded_product(s.light_colour[i], lambert));
            s.normals[3 * j + i] = normal[i];
        }
    }
}

inline GraphConv get(Tag<GraphConv>) { return {&sparse, &cheb_dense, &cheb_products}; }
inline Raster get(Tag<Raster>) { return {&raster, &resolve, &shade}; }

}  // namespace reference
}  // namespace kernels
RETINAFACE_END_NAMESPACE
