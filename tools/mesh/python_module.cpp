// Plain C functions over the mesh headers, for ctypes. Each returns 0, or 1 after writing a message of at most 255 characters.
#include <algorithm>
#include <cstdio>
#include <cstring>

#include "retinaface/mesh.hpp"

namespace rf = retinaface;

namespace {

template <class Function>
int guarded(char* message, Function function) {
    try {
        function();
        return 0;
    } catch (const std::exception& error) {
        std::snprintf(message, 256, "%s", error.what());
        return 1;
    }
}

template <class T>
void copy(rf::Span<const T> from, T* to) {
    if (to != nullptr) std::copy(from.begin(), from.end(), to);
}

rf::Isa isa_named(const char* name) {
    rf::Isa isa = rf::Isa::automatic;
    if (!rf::parse_isa(name, isa))
        throw rf::Error(rf::ErrorCode::invalid_argument, std::string("no instruction set is called ") + name);
    return isa;
}

}  // namespace

extern "C" {

/// camera: location, target, focal length; light: position, colour, ambient. Outputs [height][width][1 or 3], each may be null.
int retinaface_mesh_render(const char* isa, const float* vertices, int vertex_count, const int* triangles, int triangle_count,
                           const float* colours, const float* camera, const float* light, int width, int height,
                           unsigned char* mask, float* depth, int* nearest, float* normals, float* coordinates, float* rendered,
                           char* message) {
    return guarded(message, [&] {
        rf::Camera view;
        std::copy_n(camera, 3, view.location.begin());
        std::copy_n(camera + 3, 3, view.target.begin());
        view.focal_length = camera[6];
        rf::Light lamp;
        std::copy_n(light, 3, lamp.position.begin());
        std::copy_n(light + 3, 3, lamp.colour.begin());
        std::copy_n(light + 6, 3, lamp.ambient.begin());
        const auto n = 3 * static_cast<std::size_t>(vertex_count), t = 3 * static_cast<std::size_t>(triangle_count);
        rf::Rasteriser rasteriser(isa_named(isa));
        const rf::MeshView mesh{{vertices, n}, {triangles, t}, {colours, colours == nullptr ? 0 : n}, {}};
        const rf::Rendering& r = rasteriser.render(mesh, view.projection(width, height), width, height, lamp);
        copy(r.mask, mask);
        copy(r.depth, depth);
        copy(r.triangles, nearest);
        copy(r.normals, normals);
        copy(r.coordinates, coordinates);
        copy(r.colours, rendered);
    });
}

/// A decoder of a weights file; null after an error.
void* retinaface_mesh_load(const char* isa, const void* data, size_t size, char* message) {
    rf::MeshDecoder* decoder = nullptr;
    guarded(message, [&] { decoder = new rf::MeshDecoder(rf::Weights::from_memory(data, size), isa_named(isa)); });
    return decoder;
}
int retinaface_mesh_vertices(const void* decoder) { return static_cast<const rf::MeshDecoder*>(decoder)->vertices(); }
void retinaface_mesh_free(void* decoder) { delete static_cast<rf::MeshDecoder*>(decoder); }

/// latents [faces][128] to vertices and colours, [faces][n][3].
int retinaface_mesh_decode(void* decoder, const float* latents, int faces, float* vertices, float* colours, char* message) {
    return guarded(message, [&] {
        auto& d = *static_cast<rf::MeshDecoder*>(decoder);
        for (const rf::DecodedMesh& mesh : d.decode({latents, static_cast<std::size_t>(faces) * rf::MeshDecoder::kLatent})) {
            vertices = std::copy(mesh.vertices.begin(), mesh.vertices.end(), vertices);
            colours = std::copy(mesh.colours.begin(), mesh.colours.end(), colours);
        }
    });
}

/// The meshes that MeshEstimator fits to five points, points [faces][5][2]: their 68 landmarks, as drawn (pixels, depth) and in the model
/// (centimetres), [faces][68][3], and their rotations [faces][9].
int retinaface_mesh_fit_five(const char* isa, const void* data, size_t size, const float* points, int faces, float* drawn,
                             float* model, double* rotations, char* message) {
    return guarded(message, [&] {
        rf::MeshEstimator estimator(rf::Weights::from_memory(data, size), isa_named(isa));
        for (int i = 0; i < faces; ++i) {
            rf::Face face;
            for (rf::Point& p : face.landmarks) {
                p = {points[0], points[1]};
                points += 2;
            }
            const rf::Mesh& mesh = estimator.estimate({}, face);
            for (std::size_t k = 0; k < mesh.landmarks68.size(); ++k) {
                drawn = std::copy(mesh.landmarks68[k].begin(), mesh.landmarks68[k].end(), drawn);
                const auto vertex = static_cast<std::size_t>(estimator.decoder().landmarks68()[k]);
                model = std::copy_n(mesh.vertices3d.data() + 3 * vertex, 3, model);
            }
            const std::array<double, 9> rotation = rf::rotation_of(mesh.pose);
            rotations = std::copy(rotation.begin(), rotation.end(), rotations);
        }
    });
}
}
