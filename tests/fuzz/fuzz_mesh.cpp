// libFuzzer target of meshes: a file of any topology is a decoder or an Error; any points, image and outputs of a dense head are a mesh or an
// Error; any triangles are drawn as the reference set draws them.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "input.hpp"
#include "retinaface/mesh.hpp"

namespace {

using namespace retinaface;
using namespace retinaface_test;

std::size_t values_of(const std::vector<std::int64_t>& shape) {
    std::size_t count = 1;
    for (const std::int64_t side : shape) count *= static_cast<std::size_t>(side);
    return count;
}

class InOrder final : public Executor {
    void run(int count, TaskRef task) override {
        for (int i = 0; i < count; ++i) task(i);
    }
};

template <class Value>
Tensor floats(const std::string& name, std::vector<std::int64_t> shape, Value value) {
    Tensor tensor{name, Tensor::Dtype::f32, std::move(shape), {}, {}};
    tensor.values.resize(values_of(tensor.shape));
    for (float& v : tensor.values) v = value();
    return tensor;
}

template <class Value>
Tensor bytes(const std::string& name, std::vector<std::int64_t> shape, Value value) {
    Tensor tensor{name, Tensor::Dtype::u8, std::move(shape), {}, {}};
    tensor.bytes.resize(values_of(tensor.shape));
    for (std::uint8_t& b : tensor.bytes) b = value();
    return tensor;
}

/// A mesh of 68 vertices on a bowl, which are its landmarks; 128 numbers move them a little.
const Weights& small_face() {
    static const Weights weights = [] {
        unsigned noise = 1;
        const auto small = [&] {
            noise = noise * 1664525u + 1013904223u;
            return static_cast<float>(noise >> 16) / 65536 - 0.5f;
        };
        const auto none = [] { return std::uint8_t{0}; };
        int k = 0;
        // x, y on a grid of 9 columns, nearer in the middle; colours.
        const auto place = [&] {
            const int vertex = k / 6, column = k++ % 6;
            const float x = static_cast<float>(vertex % 9) * 1.6f - 6.4f, y = 6.0f - static_cast<float>(vertex / 9) * 1.7f;
            return column == 0 ? x : column == 1 ? y : column == 2 ? 6 - 0.08f * (x * x + y * y) : 0.5f;
        };
        // 0, 1, 2, ... as two bytes each; every tensor begins anew.
        const auto index = [at = 0]() mutable {
            const int byte = at++;
            return static_cast<std::uint8_t>(byte % 2 == 0 ? byte / 2 : 0);
        };
        std::vector<Tensor> tensors;
        tensors.push_back(floats("fc.weight", {4, 3, 128}, small));
        tensors.push_back(floats("fc.bias", {4, 3}, small));
        tensors.push_back(bytes("level0.upsample.counts", {68}, [] { return std::uint8_t{1}; }));
        tensors.push_back(bytes("level0.upsample.indices", {68, 2}, none));
        tensors.push_back(floats("level0.upsample.values", {68}, small));
        tensors.push_back(bytes("level0.laplacian.counts", {68}, none));
        tensors.push_back(bytes("level0.laplacian.indices", {0, 2}, none));
        tensors.push_back(floats("level0.laplacian.values", {0}, small));
        tensors.push_back(floats("level0.weight", {6, 5}, small));
        tensors.push_back(floats("level0.bias", {5}, small));
        tensors.push_back(floats("last.weight", {10, 6}, small));
        tensors.push_back(floats("mean", {68, 6}, place));
        tensors.push_back(bytes("triangles", {22, 3, 2}, index));
        tensors.push_back(bytes("landmarks68.indices", {68, 2}, index));
        const float five[15] = {-3.1f, 3.2f, 3, 3.1f, 3.2f, 3, 0, 0, 6.4f, -2.5f, -3.6f, 3.8f, 2.5f, -3.6f, 3.8f};
        tensors.push_back(floats("five.mean", {5, 3}, [&five, i = 0]() mutable { return five[i++]; }));
        tensors.push_back(floats("five.basis", {5, 3, 128}, [&] { return 0.1f * small(); }));
        return Weights::from_tensors({{"format", "retinaface-mesh-2"}}, std::move(tensors));
    }();
    return weights;
}

void check_code(const Error& error) {
    require(error.code() == ErrorCode::invalid_argument || error.code() == ErrorCode::mismatch, "the error's code");
}

/// Any topology: right sizes mostly, and any counts, indices and values.
void decode_any(Input& input) {
    const int coarse = 1 + input.below(6), features = 1 + input.below(20), vertices = 1 + input.below(90);
    const int out = 1 + input.below(20), terms = 1 + input.below(7), last_terms = 1 + input.below(7);
    const int wrong = input.byte();
    const auto real = [&] {
        const float value = input.left() > 0 ? input.number() : 0.25f;
        return std::isfinite(value) ? value : 1.0f;  // as a file's are
    };
    std::vector<Tensor> tensors;
    const auto matrix = [&](const std::string& name, int rows, int columns, int most) {
        std::vector<std::uint8_t> counts, indices;
        for (int row = 0; row < rows; ++row) {
            const int first = input.below(columns + 1), count = std::min(input.byte() % (most + 1), columns - first);
            counts.push_back(static_cast<std::uint8_t>(count));
            for (int i = 0; i < count; ++i) {
                const int index = wrong == 1 && input.byte() == 7 ? input.below(1 << 16) : first + i;
                indices.push_back(static_cast<std::uint8_t>(index));
                indices.push_back(static_cast<std::uint8_t>(index >> 8));
            }
        }
        const auto nonzeros = static_cast<std::int64_t>(indices.size() / 2);
        const auto next = [](const std::vector<std::uint8_t>& from) {
            return [&from, i = std::size_t{0}]() mutable { return from[i++]; };
        };
        tensors.push_back(bytes(name + ".counts", {rows}, next(counts)));
        tensors.push_back(bytes(name + ".indices", {nonzeros + (wrong == 2 ? 1 : 0), 2}, [&, i = std::size_t{0}]() mutable {
            return i < indices.size() ? indices[i++] : std::uint8_t{0};
        }));
        tensors.push_back(floats(name + ".values", {nonzeros}, real));
    };
    tensors.push_back(floats("fc.weight", {coarse, features, 128}, [] { return 0.01f; }));
    tensors.push_back(floats("fc.bias", {coarse, features}, real));
    matrix("level0.upsample", vertices, coarse, wrong == 3 ? 5 : 3);
    matrix("level0.laplacian", vertices, vertices, 12);
    tensors.push_back(floats("level0.weight", {std::int64_t{features} * terms, out}, real));
    tensors.push_back(floats("level0.bias", {out}, real));
    tensors.push_back(floats("last.weight", {std::int64_t{out} * last_terms, 6}, real));
    tensors.push_back(floats("mean", {vertices, 6}, real));
    tensors.push_back(bytes("triangles", {2, 3, 2}, [&, i = 0]() mutable {
        return static_cast<std::uint8_t>(i++ % 2 == 0 ? input.below(vertices) : wrong == 4 ? 1 : 0);
    }));
    if (wrong == 5) tensors.pop_back();
    if (wrong == 6) tensors.push_back(floats("other", {1}, real));
    const int threads = 1 + wrong % 3;
    InOrder executor;
    Result<MeshDecoder> decoder = MeshDecoder::create(
        Weights::from_tensors({{"format", "retinaface-mesh-2"}}, std::move(tensors)), Isa::automatic, &executor, threads);
    if (!decoder) {
        // Columns that do not ascend break the format; no other file here does.
        if (wrong != 1 || decoder.error().code() != ErrorCode::bad_format) check_code(decoder.error());
        return;
    }
    std::vector<float> latents(static_cast<std::size_t>(1 + input.below(9)) * 128);
    for (float& v : latents) v = input.left() > 0 ? input.real() : 0.5f;
    const auto decoded = (*decoder).try_decode(latents);
    if (!decoded) return check_code(decoded.error());
    for (const DecodedMesh& mesh : *decoded)
        require(mesh.vertices.size() == 3 * static_cast<std::size_t>(vertices), "as many vertices as the file says");
}

/// Any five points or outputs of a dense head, on any image.
void estimate_any(Input& input, bool dense) {
    static MeshEstimator plain(small_face()), refined(small_face(), default_refiner_weights());
    Face face;
    for (Point& p : face.landmarks) p = {input.number(), input.number()};
    if (input.byte() % 2 == 0) {
        // A face of some size, about where it should be.
        const float size = static_cast<float>(1 + input.below(300)), x = input.number(), y = input.number();
        const float usual[10] = {-0.3f, -0.3f, 0.3f, -0.3f, 0, 0, -0.25f, 0.35f, 0.25f, 0.35f};
        for (std::size_t i = 0; i < 5; ++i)
            face.landmarks[i] = {x + size * (usual[2 * i] + static_cast<float>(input.byte()) / 2048),
                                 y + size * (usual[2 * i + 1] + static_cast<float>(input.byte()) / 2048)};
    }
    DenseOutputs outputs;
    const bool looks = input.byte() % 4 == 0;
    if (dense) {
        for (std::size_t i = 0; i < 8; ++i) outputs.shape_texture[i] = input.number() / 100;
        for (std::size_t i = 0; i < 3; ++i) {
            outputs.camera.location[i] = input.number();
            outputs.camera.target[i] = input.number();
        }
        outputs.camera.focal_length = input.number();
        outputs.crop = {input.number(), input.number(), input.number(), input.number()};
    }
    MeshCorrection correction;
    correction.known = input.byte() % 2 == 0;
    for (float& value : correction.camera) value = input.number() / 100;
    for (std::size_t i = 0; i < 8; ++i) correction.shape[6 * i] = input.number() / 100;
    const FuzzedImage image = fuzzed_image(input, 90);
    const ImageView view = input.byte() % 8 == 0 ? ImageView{} : image.view;
    const Result<const Mesh*> result = dense   ? plain.try_estimate(view, outputs)
                                       : looks ? refined.try_estimate(view, face, correction)
                                               : plain.try_estimate(view, face, correction);
    if (!result) return check_code(result.error());
    const Mesh& mesh = **result;
    require(std::isfinite(mesh.pose.yaw) && std::isfinite(mesh.pose.pitch) && std::isfinite(mesh.pose.roll), "a pose is finite");
    require(mesh.projected.size() == 68 * 3 && mesh.colours.size() == 68 * 3, "as many vertices as the file says");
    for (const float c : mesh.colours) require(c >= 0 && c <= 1, "colours lie in 0..1");
    if (!dense)
        for (const float v : mesh.projected) require(std::isfinite(v), "places are finite");
}

/// Any triangles through any projection.
void draw_any(Input& input) {
    static Rasteriser rasteriser, reference(Isa::reference);
    const int width = input.side(100), height = input.side(100);
    if (width > 300 || height > 300) return;
    Projection projection;
    projection.perspective = input.byte() % 2 == 1;
    projection.near = input.number();
    for (auto& row : projection.rows)
        for (float& v : row) v = input.number() / 64;
    if (input.byte() % 2 == 0) projection = {{{{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}}}, false, 0};
    RasterOptions options;
    options.cull = input.byte() % 2 == 1;
    options.shaded = input.byte() % 4 != 0;
    const int count = 1 + input.below(30), triangles = input.below(60);
    std::vector<float> vertices(static_cast<std::size_t>(3 * count)), colours;
    for (float& v : vertices) v = input.byte() % 16 != 0 ? static_cast<float>(input.below(256 * 120)) / 256 - 10 : input.real();
    if (input.byte() % 2 == 1)
        for (std::size_t i = 0; i < vertices.size(); ++i) colours.push_back(input.number());
    std::vector<std::int32_t> corners;
    for (int i = 0; i < 3 * triangles; ++i)
        corners.push_back(input.byte() == 255 ? static_cast<int>(input.word()) : input.below(count));
    const MeshView mesh{vertices, corners, colours};
    const Result<const Rendering*> drawn = rasteriser.try_render(mesh, projection, width, height, {}, options),
                                   expected = reference.try_render(mesh, projection, width, height, {}, options);
    require(drawn.has_value() == expected.has_value(), "the same meshes are refused");
    if (!drawn) return check_code(drawn.error());
    const Rendering &a = **drawn, &b = **expected;
    const auto same = [](const auto& x, const auto& y) {
        return x.size() == y.size() && (x.empty() || std::memcmp(x.data(), y.data(), x.size() * sizeof x[0]) == 0);
    };
    require(same(a.mask, b.mask) && same(a.triangles, b.triangles) && same(a.depth, b.depth), "vectors and plain loops agree");
    require(a.normals.size() == b.normals.size() && a.colours.size() == b.colours.size(), "the same maps");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input(data, size);
    switch (input.byte() % 4) {
        case 0: decode_any(input); break;
        case 1: estimate_any(input, false); break;
        case 2: estimate_any(input, true); break;
        default: draw_any(input); break;
    }
    return 0;
}
