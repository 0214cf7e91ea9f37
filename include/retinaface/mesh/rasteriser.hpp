// Draws coloured meshes with a z-buffer: depth, mask, normals, coordinates, colour; and the pixel loss.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "../image.hpp"
#include "../span.hpp"
#include "camera.hpp"
#include "kernels.hpp"

RETINAFACE_BEGIN_NAMESPACE

/// View of a mesh. Indices are checked where the mesh is drawn.
struct MeshView {
    Span<const float> vertices;          ///< [n][3]
    Span<const std::int32_t> triangles;  ///< [t][3], corners counter-clockwise seen from outside
    Span<const float> colours = {};      ///< [n][3] albedo, or empty: 0.8
    Span<const float> coordinates = {};  ///< [n][3] what the map of coordinates shows, or empty: the vertices
};

/// What was drawn: views of [height][width] maps (top row first), valid until the rasteriser's next render(). Where the mask is 0, depth is
/// infinite and the rest is 0.
struct Rendering {
    int width = 0;
    int height = 0;
    Span<const std::uint8_t> mask;       ///< 1: the pixel's centre is covered
    Span<const float> depth;             ///< as Projection
    Span<const std::int32_t> triangles;  ///< which is nearest, or -1
    Span<const float> normals;           ///< [3], unit length, in the mesh's space
    Span<const float> coordinates;       ///< [3]
    Span<const float> colours;           ///< [3], Lambert: albedo * (ambient + light * max(0, n . l)), not clipped
};

struct RasterOptions {
    bool cull = false;   ///< leave out triangles seen from inside
    bool shaded = true;  ///< false: mask, depth and triangles alone
};

/// Normals of vertices from the triangles around them, weighted by area; not of unit length. `normals` is [n][3].
inline void vertex_normals(Span<const float> vertices, Span<const std::int32_t> triangles, float* normals) {
    std::fill(normals, normals + vertices.size(), 0.0f);
    for (std::size_t t = 0; t + 2 < triangles.size(); t += 3) {
        const float* corner[3];
        for (std::size_t i = 0; i < 3; ++i) corner[i] = vertices.data() + 3 * triangles[t + i];
        float a[3], b[3];
        for (int i = 0; i < 3; ++i) {
            a[i] = corner[1][i] - corner[0][i];
            b[i] = corner[2][i] - corner[0][i];
        }
        // In double the products are exact: the same bits however a compiler fuses.
        const auto minor = [&](int i, int j) {
            return static_cast<float>(static_cast<double>(a[i]) * static_cast<double>(b[j]) -
                                      static_cast<double>(a[j]) * static_cast<double>(b[i]));
        };
        const float n[3] = {minor(1, 2), minor(2, 0), minor(0, 1)};
        if (!(std::abs(n[0]) < 1e18f && std::abs(n[1]) < 1e18f && std::abs(n[2]) < 1e18f)) continue;
        for (std::size_t k = 0; k < 3; ++k)
            for (std::size_t i = 0; i < 3; ++i) normals[3 * triangles[t + k] + static_cast<std::ptrdiff_t>(i)] += n[i];
    }
}

/// Draws. One thread at a time; allocates nothing for sizes already seen. The image is the same on every set, bit for bit.
///
/// A pixel belongs to a triangle that holds its centre, edges included; the nearest triangle wins, of equals the first; vertices are
/// rounded to 1/256 pixel. Left out: degenerate triangles, and those with a corner that is not finite, nearer than Projection::near, or
/// more than 2^20 pixels from the origin (nothing is clipped).
class Rasteriser {
public:
    /// Throws Error (unsupported) where this build or CPU lacks the set.
    explicit Rasteriser(Isa isa = Isa::automatic) : isa_(kernels::checked(isa)), kernels_(kernels::find<kernels::Raster>(isa_)) {}

    Isa isa() const noexcept { return isa_; }

    /// Throws Error (invalid_argument): an image size outside 1..kMaxSide or over kMaxPixels, arrays of the wrong size, a triangle's
    /// index out of range.
    const Rendering& render(const MeshView& mesh, const Projection& projection, int width, int height, const Light& light = {},
                            const RasterOptions& options = {}) {
        check(mesh, width, height);
        const std::size_t vertices = mesh.vertices.size() / 3;
        const std::size_t pixels = static_cast<std::size_t>(width) * static_cast<std::size_t>(height);
        place(mesh, projection, vertices);

        depth_.assign(pixels, -std::numeric_limits<float>::infinity());
        triangle_.assign(pixels, -1);
        kernels_.draw({x_.data(), y_.data(), q_.data(), mesh.triangles.data(), 0, static_cast<int>(mesh.triangles.size() / 3),
                       width, height, options.cull, depth_.data(), triangle_.data()});

        mask_.resize(pixels);
        for (std::size_t i = 0; i < pixels; ++i) {
            mask_[i] = triangle_[i] >= 0 ? 1 : 0;
            depth_[i] = triangle_[i] < 0         ? std::numeric_limits<float>::infinity()
                        : projection.perspective ? 1 / depth_[i]
                                                 : -depth_[i];
        }
        rendering_ = {width, height, mask_, depth_, triangle_, {}, {}, {}};
        if (options.shaded) {
            shade(mesh, projection.perspective, width, height, light);
            rendering_.normals = normals_;
            rendering_.coordinates = coordinates_;
            rendering_.colours = colours_;
        }
        return rendering_;
    }
    Result<const Rendering*> try_render(const MeshView& mesh, const Projection& projection, int width, int height,
                                        const Light& light = {}, const RasterOptions& options = {}) noexcept {
        return detail::as_result([&] { return &render(mesh, projection, width, height, light, options); });
    }

private:
    static void check(const MeshView& mesh, int width, int height) {
        const auto fail = [](const std::string& what) {
            detail::raise(Error(ErrorCode::invalid_argument, "rasteriser: " + what));
        };
        if (width < 1 || height < 1 || width > kMaxSide || height > kMaxSide || std::int64_t{width} * height > kMaxPixels)
            fail("image sides must be 1.." + std::to_string(kMaxSide) + " and at most " + std::to_string(kMaxPixels) +
                 " pixels, found " + std::to_string(width) + " x " + std::to_string(height));
        const std::size_t size = mesh.vertices.size();
        const auto whole = [&](const char* what, std::size_t found) {
            if (found % 3 != 0) fail(std::string(what) + ": expected threes of numbers, found " + std::to_string(found));
        };
        whole("vertices", size);
        whole("triangles", mesh.triangles.size());
        if (size / 3 > static_cast<std::size_t>(1) << 26 || mesh.triangles.size() / 3 > static_cast<std::size_t>(1) << 28)
            fail("the mesh is too large");
        if (!mesh.colours.empty() && mesh.colours.size() != size)
            fail("colours: expected " + std::to_string(size) + " numbers, found " + std::to_string(mesh.colours.size()));
        if (!mesh.coordinates.empty() && mesh.coordinates.size() != size)
            fail("coordinates: expected " + std::to_string(size) + " numbers, found " + std::to_string(mesh.coordinates.size()));
        const auto count = static_cast<std::int32_t>(size / 3);
        for (const std::int32_t index : mesh.triangles)
            if (index < 0 || index >= count)
                fail("triangles: expected indices below " + std::to_string(count) + ", found " + std::to_string(index));
    }

    /// Vertices on the sub-pixel grid.
    void place(const MeshView& mesh, const Projection& projection, std::size_t vertices) {
        x_.resize(vertices);
        y_.resize(vertices);
        q_.resize(vertices);
        constexpr float kFar = 1 << 20;
        const auto grid = [](float v) {
            const float steps = v * kernels::kRasterSteps;
            return static_cast<std::int32_t>(steps + (steps < 0 ? -0.5f : 0.5f));
        };
        for (std::size_t i = 0; i < vertices; ++i) {
            const float* const v = mesh.vertices.data() + 3 * i;
            const std::array<float, 3> p = projection(v[0], v[1], v[2]);
            const bool drawn = std::abs(p[0]) <= kFar && std::abs(p[1]) <= kFar && std::abs(p[2]) < 1e30f &&
                               (!projection.perspective || (p[2] > 0 && p[2] >= projection.near));
            x_[i] = drawn ? grid(p[0]) : kernels::kRasterNowhere;
            y_[i] = drawn ? grid(p[1]) : 0;
            q_[i] = projection.perspective ? 1 / p[2] : -p[2];
        }
    }

    void shade(const MeshView& mesh, bool perspective, int width, int height, const Light& light) {
        const std::size_t vertices = mesh.vertices.size() / 3;
        vertex_normals_.resize(3 * vertices);
        vertex_normals(mesh.vertices, mesh.triangles, vertex_normals_.data());
        attributes_.resize(vertices * kernels::kRasterAttributes);
        const float* const coordinates = mesh.coordinates.empty() ? mesh.vertices.data() : mesh.coordinates.data();
        for (std::size_t i = 0; i < vertices; ++i) {
            float* const a = attributes_.data() + i * kernels::kRasterAttributes;
            for (std::size_t c = 0; c < 3; ++c) {
                a[kernels::kNormalAt + c] = vertex_normals_[3 * i + c];
                a[kernels::kColourAt + c] = mesh.colours.empty() ? 0.8f : mesh.colours[3 * i + c];
                a[kernels::kCoordinateAt + c] = coordinates[3 * i + c];
                a[kernels::kPositionAt + c] = mesh.vertices[3 * i + c];
            }
        }
        const std::size_t pixels = static_cast<std::size_t>(width) * static_cast<std::size_t>(height);
        normals_.assign(3 * pixels, 0.0f);
        coordinates_.assign(3 * pixels, 0.0f);
        colours_.assign(3 * pixels, 0.0f);
        row_.resize(static_cast<std::size_t>(width) * kernels::kRasterAttributes);
        kernels::ShadeArgs args{};
        for (std::size_t c = 0; c < 3; ++c) {
            args.light_position[c] = light.position[c];
            args.light_colour[c] = light.colour[c];
            args.ambient[c] = light.ambient[c];
        }
        for (int y = 0; y < height; ++y) {
            const std::int32_t* const row = triangle_.data() + std::ptrdiff_t{y} * width;
            int first = 0, last = width;
            while (first < width && row[first] < 0) ++first;
            if (first == width) continue;
            while (row[last - 1] < 0) --last;
            kernels_.resolve({x_.data(), y_.data(), q_.data(), mesh.triangles.data(), attributes_.data(), perspective, y, last,
                              row, row_.data()});
            // Runs of covered pixels.
            for (int x = first; x < last;) {
                int end = x;
                while (end < last && row[end] >= 0) ++end;
                const auto at = 3 * static_cast<std::size_t>(std::ptrdiff_t{y} * width + x);
                args.attributes = row_.data() + static_cast<std::ptrdiff_t>(x) * kernels::kRasterAttributes;
                args.count = end - x;
                args.colour = colours_.data() + at;
                args.normals = normals_.data() + at;
                kernels_.shade(args);
                for (int i = 0; i < end - x; ++i)
                    for (std::size_t c = 0; c < 3; ++c)
                        coordinates_[at + 3 * static_cast<std::size_t>(i) + c] =
                            args.attributes[static_cast<std::size_t>(i) * kernels::kRasterAttributes + kernels::kCoordinateAt +
                                            c];
                x = end;
                while (x < last && row[x] < 0) ++x;
            }
        }
    }

    Isa isa_;
    kernels::Raster kernels_;
    std::vector<std::int32_t> x_, y_, triangle_;
    std::vector<float> q_, depth_, vertex_normals_, attributes_, row_, normals_, coordinates_, colours_;
    std::vector<std::uint8_t> mask_;
    Rendering rendering_;
};

/// Equation 3: the sum over the drawn pixels of |rendered - image|, the three colours added, divided by the number of all pixels. `image`
/// has the rendering's size, format rgb8; a byte counts as byte / 255. Throws Error (invalid_argument) where it does not fit.
inline double pixel_loss(const Rendering& rendering, const ImageView& image) {
    validate(image);
    if (image.width != rendering.width || image.height != rendering.height || image.format != PixelFormat::rgb8)
        detail::raise(Error(ErrorCode::invalid_argument, "pixel loss: expected an rgb8 image of " +
                                                             std::to_string(rendering.width) + " x " +
                                                             std::to_string(rendering.height) + ", found " +
                                                             std::to_string(image.width) + " x " + std::to_string(image.height)));
    if (rendering.colours.empty()) detail::raise(Error(ErrorCode::invalid_argument, "pixel loss: the rendering is not shaded"));
    double sum = 0;
    std::size_t i = 0;
    for (int y = 0; y < image.height; ++y)
        for (int x = 0; x < image.width; ++x, ++i)
            if (rendering.mask[i] != 0)
                for (std::size_t c = 0; c < 3; ++c)
                    sum += std::abs(static_cast<double>(rendering.colours[3 * i + c]) -
                                    image.row(y)[3 * static_cast<std::ptrdiff_t>(x) + static_cast<std::ptrdiff_t>(c)] / 255.0);
    return sum / (static_cast<double>(image.width) * image.height);
}

RETINAFACE_END_NAMESPACE
