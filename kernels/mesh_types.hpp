// Parameter structs of the mesh's kernels (graph convolution, rasteriser). As in types.hpp, kernels see raw pointers only, allocate
// nothing, throw nothing and know no threads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "types.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace kernels {

/// A sparse matrix in rows: row r has the entries starts[r] .. starts[r + 1] - 1.
struct CsrView {
    const std::int32_t* starts;
    const std::int32_t* indices;
    const float* values;
};

/// Features of a vertex are [faces][channels], channels a multiple of 8 with zeros after the true ones; maps are [vertices] of those.
///
/// Weights' columns and biases are padded with zeros up to a whole vector, GraphConv::width.
///
/// One term of a Chebyshev convolution in its forward form, rows [begin, end):
///   t = scale * (matrix * x) - before        (without a matrix, starts == nullptr: t = x; before may be nullptr: 0)
///   y (+)= t * weights                       (the first term writes y, or starts from bias)
/// t is kept in `t` where a later term needs it. With relu, y is cut at zero afterwards.
constexpr int kChebRow = 512;
struct ChebTermArgs {
    CsrView matrix;
    float scale;
    const float* x;
    const float* before;
    float* t;  ///< may be nullptr where faces * channels_in <= kChebRow, and without a matrix; may not overlap x
    int channels_in;
    int features_in;       ///< true ones, <= channels_in
    const float* weights;  ///< [features_in][channels_out, padded]
    const float* bias;     ///< of the first term: [channels_out, padded]; nullptr: y is added to
    float* y;
    int channels_out;
    int faces;
    bool relu;
    int begin, end;
};

/// The products of all terms at once, for the form on the outputs (Clenshaw): c[k] = x * weights[k], 8 outputs each.
struct ChebProductsArgs {
    const float* x;  ///< [pixels][channels_in]
    int channels_in;
    int features_in;
    const float* weights;  ///< [features_in][8 * terms, padded]
    int terms;
    float* c;  ///< [pixels][8 * terms]
    int begin, end;
};

/// One step of Clenshaw's recurrence on 8 outputs a face, rows [begin, end): b = c + scale * (matrix * x) - before.
struct ClenshawArgs {
    /// [vertices][faces], 8 floats each, `stride` floats from face to face.
    struct Map {
        const float* data;
        std::ptrdiff_t stride;
    };

    CsrView matrix;
    float scale;
    Map c, x, before;  ///< before.data may be nullptr
    float* b;          ///< [vertices][faces][8]
    int faces;
    int begin, end;
};

/// Chebyshev convolutions.
struct GraphConv {
    void (*term)(const ChebTermArgs&);
    void (*products)(const ChebProductsArgs&);
    void (*clenshaw)(const ClenshawArgs&);
    int width;  ///< floats of a vector: weights' columns and biases are padded to a multiple of it
};

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
