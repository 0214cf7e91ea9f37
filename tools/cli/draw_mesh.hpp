// Pictures with meshes drawn in, for a person to judge.
#pragma once

#include <string>
#include <vector>

#include "image_file.hpp"
#include "retinaface/mesh.hpp"

namespace cli {

enum class MeshStyle { shaded, wireframe, coordinates };

/// "shaded", "wireframe" or "coordinates".
MeshStyle parse_style(const std::string& name);

/// Draws meshes over a picture: begin(), add() for each face, best first, finish(). A picture under 400 pixels is enlarged by a whole
/// number first. Of overlapping meshes the one added first stays on top.
class MeshPainter {
public:
    MeshPainter(MeshStyle style, retinaface::Isa isa) : style_(style), rasteriser_(isa) {}

    void begin(const Image& image);
    void add(const retinaface::Mesh& mesh, retinaface::Span<const std::int32_t> triangles);
    Image finish();

private:
    void blend(int x, int y, const float* colour, float opacity);

    MeshStyle style_;
    retinaface::Rasteriser rasteriser_;
    int zoom_ = 1;
    Image image_;
    std::vector<bool> drawn_, before_;
    std::vector<float> coordinates_, colours_;
};

}  // namespace cli
