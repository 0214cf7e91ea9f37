// Parameter structs of the mesh's kernels (graph convolution, rasteriser). As in types.hpp, kernels see raw pointers only, allocate
// nothing, throw nothing and know no threads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "types.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace kernels {

/// A group of at most kSparseGroup rows of a sparse matrix, packed for the kernels: sorted by their number of entries, which is even (a zero
/// in the last column where it was not), so that a loop over a row's entries has nearly always the length of the one before, which
/// processors predict, and entries in the order they are read.
struct SparseView {
    /// `rows` rows of `count` entries each.
    struct Run {
        std::int32_t count, rows;
    };

    const Run* runs;
    int run_count;
    const std::int32_t* rows;      ///< of the group, 0 .. kSparseGroup - 1, times the channels
    const std::uint64_t* columns;  ///< of the entries, times the channels: two a word, the first in its low half
    const float* values;           ///< of the entries; two floats after the last one can be read

    static constexpr std::uint64_t pair(std::int32_t first, std::int32_t second) {
        return static_cast<std::uint64_t>(second) << 32 | static_cast<std::uint32_t>(first);
    }
    template <int I>
    static constexpr std::ptrdiff_t column(std::uint64_t pair) {
        return static_cast<std::ptrdiff_t>(I == 0 ? pair & 0xFFFFFFFFu : pair >> 32);
    }
};
constexpr int kSparseGroup = 96;

/// Features of a vertex are [faces][channels], channels a multiple of 8 with zeros after the true ones; maps are [vertices] of those.
///
/// y = add + scale * (matrix * x) - before, the rows of a group.
struct SparseArgs {
    SparseView matrix;
    float scale;          ///< a power of two
    const float* x;       ///< what columns count from
    const float* add;     ///< of the group's first row, as are before and y; may be nullptr: 0
    const float* before;  ///< may be nullptr: 0
    float* y;             ///< may be `add`; may not overlap x
    int channels, faces;
};

/// Where weight matrices [rows][columns] have their elements: panels of 16 columns, the last one of 8 where no more are left, each row by
/// row. columns is a multiple of 8.
constexpr std::ptrdiff_t panel_place(std::ptrdiff_t rows, std::ptrdiff_t columns, std::ptrdiff_t row, std::ptrdiff_t column) {
    const std::ptrdiff_t panel = column / 16 * 16, width = columns - panel < 16 ? 8 : 16;
    return panel * rows + row * width + column - panel;
}

/// y = act(bias + sum over k of t[k] * weights[k]).
constexpr int kChebTerms = 16;
struct ChebDenseArgs {
    const float* t[kChebTerms];  ///< [pixels][channels_in]
    int terms;
    int channels_in;
    const float* weights;  ///< [terms * channels_in][channels_out] in panels
    const float* bias;     ///< [channels_out]
    float* y;              ///< [pixels][channels_out]
    int channels_out;
    int pixels;
    bool relu;
};

/// The products of all terms at once, for the form on the outputs (Clenshaw): c[k] = x * weights[k], 8 outputs each.
struct ChebProductsArgs {
    const float* x;  ///< [pixels][channels_in]
    int channels_in;
    const float* weights;  ///< [channels_in][8 * terms] in panels
    int terms;
    float* c;            ///< [terms][map], each [pixels][8]
    std::ptrdiff_t map;  ///< floats from one term's to the next's
    int pixels;
};

/// Chebyshev convolutions.
struct GraphConv {
    void (*sparse)(const SparseArgs&);
    void (*dense)(const ChebDenseArgs&);
    void (*products)(const ChebProductsArgs&);
};

/// a * b rounded to float, never fused with an addition (which compilers do where the machine fuses), so that every set draws the same bits.
inline float rounded_product(float a, float b) {
    float p = a * b;
#if defined(__GNUC__) && defined(__aarch64__)
    asm("" : "+w"(p));
#elif defined(__GNUC__) && defined(__x86_64__)
    asm("" : "+x"(p));
#elif defined(__GNUC__)
    asm("" : "+m"(p));
#endif
    return p;
}

/// Sub-pixel steps of the rasteriser: vertices lie on a grid of 1 / 256 pixel.
constexpr int kRasterSteps = 256;
/// A vertex that cannot be drawn (not finite, behind the camera, absurdly far outside): triangles with one are left out.
constexpr float kRasterNowhere = -1e30f;

/// A vertex on the screen. q is affine there: 1 / depth, or -depth of a parallel projection.
struct RasterVertex {
    float x, y;  ///< whole numbers, in 1 / 256 pixel, at most 2^29 from 0; x may be kRasterNowhere
    float q;
    float none;  ///< fills the four floats that kernels load at once
};

/// Vertices on the sub-pixel grid, as Projection (mesh/camera.hpp) has it.
struct PlaceArgs {
    const float* vertices;  ///< [count][3]
    int count;
    float rows[3][4];
    bool perspective;
    float near;
    RasterVertex* placed;
};
/// Vertices further from the origin than that many pixels are nowhere.
constexpr float kRasterFar = 1 << 20;

/// Which triangle is nearest, at every pixel centre. Edges are inclusive and evaluated exactly in integers, so neighbours leave no
/// gap; the greater q wins, of equals the triangle drawn first. With the edge values e and the area of the corners 0, 1, 2,
///   q = q0 + (e1 / area * (q1 - q0) + e2 / area * (q2 - q0)), 1 / area and every operation rounded to float;
/// a triangle of over kRasterSpans pixels a side has that at the first pixel of its row, and a step times a slope added in the others.
struct RasterArgs {
    const RasterVertex* vertices;
    const std::int32_t* triangles;  ///< [end][3]
    int begin, end;
    int width, height;
    bool cull;               ///< leave out triangles whose corners run clockwise on the screen (y down)
    float* nearest;          ///< [height][width] q so far; starts at -infinity
    std::int32_t* triangle;  ///< [height][width] who; starts at -1
};
constexpr int kRasterSpans = 16;

/// What RasterArgs left, made into depth (infinite where there is no triangle) and a mask.
struct ResolveArgs {
    float* nearest;  ///< [pixels], becomes depth
    const std::int32_t* triangle;
    std::uint8_t* mask;
    std::ptrdiff_t pixels;
    bool perspective;
};

/// What a vertex carries, in the one cache line that a pixel loads for each corner: normal, a zero, x, y and q of its RasterVertex, colour,
/// coordinates, position.
constexpr int kRasterAttributes = 16;
enum RasterAttribute { kNormalAt = 0, kScreenAt = 4, kColourAt = 7, kCoordinateAt = 10, kPositionAt = 13 };

/// The normals of the vertices: sum of (b - a) x (c - a) over the triangles around each, weighted by area, seen from outside, added in the
/// order of the triangles. A triangle whose normal has an element of 1e18 or more, or none, is left out.
struct NormalsArgs {
    const std::int32_t* triangles;
    int begin, end;
    float* attributes;  ///< [n][kRasterAttributes]: positions are read, normals written
};

/// One row of pixels: the attributes of the triangle that is nearest, right in perspective, and Lambert's colour from a point light:
/// albedo * (ambient + light * max(0, n . l)). Zeros where there is no triangle.
struct ShadeArgs {
    const RasterVertex* vertices;
    const std::int32_t* triangles;
    const float* attributes;  ///< [vertices][kRasterAttributes]
    bool perspective;
    float light_position[3];
    float light_colour[3];
    float ambient[3];
    int row, width;
    const std::int32_t* triangle;  ///< [width], as RasterArgs left it
    float* normals;                ///< [width][3], of unit length
    float* coordinates;            ///< [width][3]
    float* colours;                ///< [width][3]
};

/// What draws triangles.
struct Raster {
    void (*place)(const PlaceArgs&);
    void (*draw)(const RasterArgs&);
    void (*resolve)(const ResolveArgs&);
    void (*normals)(const NormalsArgs&);
    void (*shade)(const ShadeArgs&);
};

}  // namespace kernels
RETINAFACE_END_NAMESPACE
