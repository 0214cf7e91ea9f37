// Draws coloured meshes with a z-buffer: depth, mask, normals, coordinates, colour; and the pixel loss.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "../detail/aligned_buffer.hpp"
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

/// Draws. Moves, is not copied; one thread at a time; allocates nothing for sizes already seen. The image is the same on every set, bit for bit.
///
/// A pixel belongs to a triangle that holds its centre, edges included; the nearest triangle wins, of equals the first; vertices are
/// rounded to 1/256 pixel. Left out: degenerate triangles, and those with a corner that is not finite, nearer than Projection::near, or
/// more than 2^20 pixels from the origin (nothing is clipped).
class Rasteriser {
public:
    /// Throws Error (unsupported) where this build or CPU lacks the set.
    explicit Rasteriser(Isa isa = Isa::automatic) : isa_(kernels::checked(isa)), kernels_(kernels::find<kernels::Raster>(isa_)) {}

    /// The same, noexcept: an error is the Result's.
    static Result<Rasteriser> create(Isa isa = Isa::automatic) noexcept {
        return detail::as_result([&] { return Rasteriser(isa); });
    }

    Isa isa() const noexcept { return isa_; }

    /// Throws Error (invalid_argument): an image size outside 1..kMaxSide or over kMaxPixels, arrays of the wrong size, a triangle's
    /// index out of range.
    const Rendering& render(const MeshView& mesh, const Projection& projection, int width, int height, const Light& light = {},
                            const RasterOptions& options = {}) {
        check(mesh, width, height);
        const std::size_t pixels = static_cast<std::size_t>(width) * static_cast<std::size_t>(height);
        place(mesh, projection);

        depth_.assign(pixels, -std::numeric_limits<float>::infinity());
        triangle_.assign(pixels, -1);
        kernels_.draw({vertices_.data(), mesh.triangles.data(), 0, static_cast<int>(mesh.triangles.size() / 3), width, height,
                       options.cull, depth_.data(), triangle_.data()});

        mask_.resize(pixels);
        kernels_.resolve(
            {depth_.data(), triangle_.data(), mask_.data(), static_cast<std::ptrdiff_t>(pixels), projection.perspective});
        rendering_ = {width, height, mask_, depth_, triangle_, {}, {}, {}};
        if (options.shaded) {
            shade(mesh, projection.perspective, width, height, light);
            rendering_.normals = {normals_.data(), 3 * pixels};
            rendering_.coordinates = {coordinates_.data(), 3 * pixels};
            rendering_.colours = {colours_.data(), 3 * pixels};
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
        // Without a way out, which compilers make vectors of: the sign of all that is out of range.
        std::uint32_t wrong = 0;
        for (const std::int32_t index : mesh.triangles)
            wrong |=
                static_cast<std::uint32_t>(index) | (static_cast<std::uint32_t>(count - 1) - static_cast<std::uint32_t>(index));
        if (wrong >> 31 == 0) return;
        for (const std::int32_t index : mesh.triangles)
            if (index < 0 || index >= count)
                fail("triangles: expected indices below " + std::to_string(count) + ", found " + std::to_string(index));
    }

    /// Vertices on the sub-pixel grid.
    void place(const MeshView& mesh, const Projection& projection) {
        vertices_.resize(mesh.vertices.size() / 3);
        kernels::PlaceArgs args{};
        args.vertices = mesh.vertices.data();
        args.count = static_cast<int>(vertices_.size());
        for (std::size_t i = 0; i < 3; ++i) std::copy_n(projection.rows[i].begin(), 4, args.rows[i]);
        args.perspective = projection.perspective;
        args.near = projection.near;
        args.placed = vertices_.data();
        kernels_.place(args);
    }

    void shade(const MeshView& mesh, bool perspective, int width, int height, const Light& light) {
        const float* const coordinates = mesh.coordinates.empty() ? mesh.vertices.data() : mesh.coordinates.data();
        attributes_.reserve(vertices_.size() * kernels::kRasterAttributes);
        constexpr float kAlbedo[3] = {0.8f, 0.8f, 0.8f};
        const float* const colours = mesh.colours.empty() ? kAlbedo : mesh.colours.data();
        const std::size_t next_colour = mesh.colours.empty() ? 0 : 3;
        for (std::size_t i = 0; i < vertices_.size(); ++i) {
            float* const a = attributes_.data() + i * kernels::kRasterAttributes;
            const auto three = [a](int at, const float* from) { std::memcpy(a + at, from, 3 * sizeof(float)); };
            std::memset(a, 0, 4 * sizeof(float));
            three(kernels::kScreenAt, reinterpret_cast<const float*>(&vertices_[i]));
            three(kernels::kColourAt, colours + i * next_colour);
            three(kernels::kCoordinateAt, coordinates + 3 * i);
            three(kernels::kPositionAt, mesh.vertices.data() + 3 * i);
        }
        kernels_.normals({mesh.triangles.data(), 0, static_cast<int>(mesh.triangles.size() / 3), attributes_.data()});

        const std::size_t row = 3 * static_cast<std::size_t>(width), pixels = row * static_cast<std::size_t>(height);
        normals_.reserve(pixels);
        coordinates_.reserve(pixels);
        colours_.reserve(pixels);
        kernels::ShadeArgs args{};
        args.vertices = vertices_.data();
        args.triangles = mesh.triangles.data();
        args.attributes = attributes_.data();
        args.perspective = perspective;
        for (std::size_t c = 0; c < 3; ++c) {
            args.light_position[c] = light.position[c];
            args.light_colour[c] = light.colour[c];
            args.ambient[c] = light.ambient[c];
        }
        args.width = width;
        args.triangle = triangle_.data();
        args.normals = normals_.data();
        args.coordinates = coordinates_.data();
        args.colours = colours_.data();
        for (args.row = 0; args.row < height; ++args.row) {
            kernels_.shade(args);
            args.triangle += width;
            args.normals += row;
            args.coordinates += row;
            args.colours += row;
        }
    }

    Isa isa_;
    kernels::Raster kernels_;
    std::vector<kernels::RasterVertex> vertices_;
    std::vector<std::int32_t> triangle_;
    std::vector<float> depth_;
    detail::AlignedBuffer attributes_;  ///< a cache line a vertex
    detail::AlignedBuffer normals_, coordinates_, colours_;
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
inline Result<double> try_pixel_loss(const Rendering& rendering, const ImageView& image) noexcept {
    return detail::as_result([&] { return pixel_loss(rendering, image); });
}

RETINAFACE_END_NAMESPACE
