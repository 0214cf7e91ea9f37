// Parameter structs of the mesh's kernels (graph convolution, rasteriser). As in types.hpp, kernels see raw pointers only, allocate
// nothing, throw nothing and know no threads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "types.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace kernels {

/// A group of at most kSparseGroup rows of a sparse matrix, packed for the kernels: sorted by their number of entries, so that a loop over
/// a row's entries has the length of the one before, which processors predict, and entries in the order they are read.
struct SparseView {
    struct Entry {
        std::int32_t column;
        float value;
    };
    /// `rows` rows of `count` entries each.
    struct Run {
        std::int32_t count, rows;
    };

    const Run* runs;
    int run_count;
    const std::int32_t* rows;  ///< of the group, 0 .. kSparseGroup - 1
    const Entry* entries;
};
constexpr int kSparseGroup = 96;

/// Features of a vertex are [faces][channels], channels a multiple of 8 with zeros after the true ones; maps are [vertices] of those.
///
/// y = add + scale * (matrix * x) - before, the rows of a group, `size` floats each, a multiple of 8.
struct SparseArgs {
    SparseView matrix;
    float scale;          ///< a power of two
    const float* x;       ///< what columns count from
    const float* add;     ///< of the group's first row, as are before and y; may be nullptr: 0
    const float* before;  ///< may be nullptr: 0
    float* y;             ///< may be `add`; may not overlap x
    int size;
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
constexpr std::int32_t kRasterNowhere = INT32_MIN;

/// Which triangle is nearest, at every pixel centre. Edges are inclusive and evaluated exactly in integers, so neighbours leave no
/// gap; the greater q wins, of equals the triangle drawn first. q is affine on the screen: 1 / depth, or -depth of a parallel projection.
struct RasterArgs {
    const std::int32_t* x;  ///< [vertices] in 1 / 256 pixel, |x| <= 2^29, or kRasterNowhere
    const std::int32_t* y;
    const float* q;
    const std::int32_t* triangles;  ///< [end][3]
    int begin, end;
    int width, height;
    bool cull;               ///< leave out triangles whose corners run clockwise on the screen (y down)
    float* nearest;          ///< [height][width] q so far; starts at -infinity
    std::int32_t* triangle;  ///< [height][width] who; starts at -1
};

/// Attributes a vertex carries: normal, colour, coordinates, position, zeros.
constexpr int kRasterAttributes = 16;
enum RasterAttribute { kNormalAt = 0, kColourAt = 3, kCoordinateAt = 6, kPositionAt = 9 };

/// The attributes where a triangle is nearest, one row of pixels.
struct ResolveArgs {
    const std::int32_t* x;
    const std::int32_t* y;
    const float* q;
    const std::int32_t* triangles;
    const float* attributes;  ///< [vertices][kRasterAttributes]
    bool perspective;
    int row, width;
    const std::int32_t* triangle;  ///< [width]
    float* out;                    ///< [width][kRasterAttributes]; pixels without a triangle are left alone
};

/// Lambert: colour = albedo * (ambient + light * max(0, n . l)), from a point light.
struct ShadeArgs {
    const float* attributes;  ///< [count][kRasterAttributes]
    int count;
    float light_position[3];
    float light_colour[3];
    float ambient[3];
    float* colour;   ///< [count][3]
    float* normals;  ///< [count][3], of unit length
};

/// What draws triangles.
struct Raster {
    void (*draw)(const RasterArgs&);
    void (*resolve)(const ResolveArgs&);
    void (*shade)(const ShadeArgs&);
};

}  // namespace kernels
RETINAFACE_END_NAMESPACE
