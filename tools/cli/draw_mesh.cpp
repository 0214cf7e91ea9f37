#include "draw_mesh.hpp"

#include <algorithm>
#include <cmath>

namespace cli {

MeshStyle parse_style(const std::string& name) {
    return name == "wireframe" ? MeshStyle::wireframe : name == "coordinates" ? MeshStyle::coordinates : MeshStyle::shaded;
}

void MeshPainter::begin(const Image& image) {
    constexpr int kLegible = 400, kMostZoom = 16;
    const int longest = std::max(image.width, image.height);
    zoom_ = std::clamp((kLegible + longest - 1) / longest, 1, kMostZoom);
    image_ = {image.width * zoom_, image.height * zoom_, retinaface::PixelFormat::rgb8, {}};
    image_.pixels.resize(3 * static_cast<std::size_t>(image_.width) * static_cast<std::size_t>(image_.height));
    drawn_.assign(image_.pixels.size() / 3, false);
    const int bytes = retinaface::bytes_per_pixel(image.format);
    const retinaface::ImageView view = image.view();
    for (int y = 0; y < image_.height; ++y) {
        for (int x = 0; x < image_.width; ++x) {
            const std::uint8_t* const p = view.row(y / zoom_) + x / zoom_ * bytes;
            std::uint8_t* const out = image_.pixels.data() + 3 * (static_cast<std::ptrdiff_t>(y) * image_.width + x);
            for (int c = 0; c < 3; ++c) out[c] = p[bytes == 1 ? 0 : c];
        }
    }
}

void MeshPainter::blend(int x, int y, const float* colour, float opacity) {
    if (x < 0 || y < 0 || x >= image_.width || y >= image_.height) return;
    const std::size_t at = static_cast<std::size_t>(y) * static_cast<std::size_t>(image_.width) + static_cast<std::size_t>(x);
    if (before_[at]) return;
    drawn_[at] = true;
    for (std::size_t c = 0; c < 3; ++c) {
        std::uint8_t& out = image_.pixels[3 * at + c];
        out = static_cast<std::uint8_t>(
            std::lround(std::clamp((1 - opacity) * static_cast<float>(out) + opacity * 255 * colour[c], 0.0f, 255.0f)));
    }
}

void MeshPainter::add(const retinaface::Mesh& mesh, retinaface::Span<const std::int32_t> triangles) {
    before_ = drawn_;
    // The part of the picture that the mesh covers.
    float low[2] = {1e9f, 1e9f}, high[2] = {-1e9f, -1e9f};
    for (std::size_t i = 0; i < mesh.projected.size(); ++i) {
        if (i % 3 == 2) continue;
        low[i % 3] = std::min(low[i % 3], mesh.projected[i] * static_cast<float>(zoom_));
        high[i % 3] = std::max(high[i % 3], mesh.projected[i] * static_cast<float>(zoom_));
    }
    const auto edge = [](float v, int side) { return static_cast<int>(std::clamp(v, 0.0f, static_cast<float>(side))); };
    const int left = edge(low[0], image_.width), right = edge(high[0] + 2, image_.width);
    const int top = edge(low[1], image_.height), bottom = edge(high[1] + 2, image_.height);
    if (right <= left || bottom <= top) return;
    const int width = right - left, height = bottom - top;

    retinaface::Projection projection = mesh.projection;
    for (std::size_t i = 0; i < 4; ++i) {
        projection.rows[0][i] *= static_cast<float>(zoom_);
        projection.rows[1][i] *= static_cast<float>(zoom_);
        for (std::size_t r = 0; r < 2; ++r) {
            const auto shift = static_cast<float>(r == 0 ? left : top);
            projection.rows[r][i] -= projection.perspective ? shift * projection.rows[2][i] : i == 3 ? shift : 0.0f;
        }
    }
    // A colour for every point of the face: its place in the face's bounding box.
    float least[3] = {1e9f, 1e9f, 1e9f}, most[3] = {-1e9f, -1e9f, -1e9f};
    for (std::size_t i = 0; i < mesh.vertices3d.size(); ++i) {
        least[i % 3] = std::min(least[i % 3], mesh.vertices3d[i]);
        most[i % 3] = std::max(most[i % 3], mesh.vertices3d[i]);
    }
    coordinates_.resize(mesh.vertices3d.size());
    for (std::size_t i = 0; i < coordinates_.size(); ++i)
        coordinates_[i] = (mesh.vertices3d[i] - least[i % 3]) / (most[i % 3] - least[i % 3]);
    colours_.assign(mesh.vertices3d.size(), 0.85f);
    const retinaface::MeshView view{mesh.vertices3d, triangles, colours_, coordinates_};
    // A headlight above the viewer's left, in the model's space.
    retinaface::Light light;
    const std::array<double, 9> r = retinaface::rotation_of(mesh.pose);
    constexpr double kFrom[3] = {-60, 80, 150};
    for (std::size_t i = 0; i < 3; ++i)
        light.position[i] = static_cast<float>(r[i] * kFrom[0] + r[3 + i] * kFrom[1] + r[6 + i] * kFrom[2]);
    const retinaface::Rendering& drawing = rasteriser_.render(view, projection, width, height, light, {true, true});
    for (int y = 0; y < height; ++y) {
        for (int x = 0; x < width; ++x) {
            const std::size_t i = static_cast<std::size_t>(y) * static_cast<std::size_t>(width) + static_cast<std::size_t>(x);
            if (drawing.mask[i] == 0) continue;
            if (style_ == MeshStyle::shaded) blend(left + x, top + y, drawing.colours.data() + 3 * i, 0.75f);
            if (style_ == MeshStyle::coordinates) blend(left + x, top + y, drawing.coordinates.data() + 3 * i, 0.65f);
            if (style_ == MeshStyle::wireframe) {
                // Pixels where another triangle begins: the edges that can be seen.
                const bool border =
                    (x + 1 < width && drawing.triangles[i + 1] != drawing.triangles[i]) ||
                    (y + 1 < height && drawing.triangles[i + static_cast<std::size_t>(width)] != drawing.triangles[i]);
                constexpr float kGreen[3] = {0.3f, 1.0f, 0.55f};
                if (border) blend(left + x, top + y, kGreen, 0.45f);
            }
        }
    }
}

Image MeshPainter::finish() { return std::move(image_); }

}  // namespace cli
