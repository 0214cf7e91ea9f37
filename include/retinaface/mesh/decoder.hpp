// The mesh decoder (RetinaFace section 3.2): 128 numbers to a coloured mesh. File format: docs/mesh.md.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "../executor.hpp"
#include "../span.hpp"
#include "../weights/archive.hpp"
#include "cheb_conv.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace detail {

/// Hands out the tensors of a mesh file, each checked for its type and shape and taken once.
class MeshFile {
public:
    explicit MeshFile(const Weights& weights) : weights_(weights) {
        const std::string* const format = weights.find_metadata("format");
        if (format == nullptr || *format != kMeshFormat)
            fail(std::string("expected format ") + kMeshFormat + ", found " + (format == nullptr ? "none" : *format));
    }

    bool has(const std::string& name) const { return weights_.find(name) != nullptr; }

    struct Floats {
        std::vector<std::int64_t> shape;
        std::vector<float> values;
    };
    /// -1 in `shape`: any size. The values may still be in the file.
    Floats floats(const std::string& name, const std::vector<std::int64_t>& shape) {
        const Tensor& tensor = take(name, shape);
        if (tensor.dtype == Tensor::Dtype::u8) fail("tensor '" + name + "': expected F32 or F16, found U8");
        return {tensor.shape, weights_.values(tensor)};
    }

    /// Numbers of one byte.
    const std::vector<std::uint8_t>& bytes(const std::string& name, const std::vector<std::int64_t>& shape) {
        const Tensor& tensor = take(name, shape);
        if (tensor.dtype != Tensor::Dtype::u8)
            fail("tensor '" + name + "': expected U8, found " + std::string(to_string(tensor.dtype)));
        return tensor.bytes;
    }

    /// Numbers of two bytes, the low one first, all below `limit`.
    std::vector<std::int32_t> indices(const std::string& name, std::vector<std::int64_t> shape, int limit) {
        shape.push_back(2);
        const std::vector<std::uint8_t>& stored = bytes(name, shape);
        std::vector<std::int32_t> out(stored.size() / 2);
        for (std::size_t i = 0; i < out.size(); ++i) {
            out[i] = stored[2 * i] | stored[2 * i + 1] << 8;
            if (out[i] >= limit)
                fail("tensor '" + name + "': expected indices below " + std::to_string(limit) + ", found " +
                     std::to_string(out[i]));
        }
        return out;
    }

    /// `columns` 0: as many as rows.
    Csr csr(const std::string& name, int columns) {
        const std::vector<std::uint8_t>& counts = bytes(name + ".counts", {-1});
        if (counts.empty() || counts.size() > kMostVertices)
            fail("tensor '" + name + ".counts': expected 1.." + std::to_string(kMostVertices) + " rows, found " +
                 std::to_string(counts.size()));
        Csr out;
        out.rows = static_cast<int>(counts.size());
        out.columns = columns > 0 ? columns : out.rows;
        out.starts.assign(1, 0);
        for (const std::uint8_t count : counts) out.starts.push_back(out.starts.back() + count);
        out.indices = indices(name + ".indices", {out.starts.back()}, out.columns);
        out.values = floats(name + ".values", {out.starts.back()}).values;
        out.validate(name);
        return out;
    }

    void finish() const {
        for (const Tensor& tensor : weights_.tensors())
            if (taken_.count(tensor.name) == 0) fail("tensor '" + tensor.name + "' does not belong to a mesh decoder");
    }

    [[noreturn]] static void fail(const std::string& what) { detail::raise(Error(ErrorCode::mismatch, "mesh: " + what)); }

    static constexpr std::size_t kMostVertices = std::size_t{1} << 16;

private:
    const Tensor& take(const std::string& name, const std::vector<std::int64_t>& shape) {
        const Tensor* const tensor = weights_.find(name);
        bool fits = tensor != nullptr && tensor->shape.size() == shape.size();
        for (std::size_t i = 0; fits && i < shape.size(); ++i) fits = shape[i] < 0 || shape[i] == tensor->shape[i];
        if (!fits) {
            std::string expected = to_string(shape);
            for (std::size_t at; (at = expected.find("-1")) != std::string::npos;) expected.replace(at, 2, "any");
            fail("tensor '" + name + "': expected shape " + expected + ", found " +
                 (tensor == nullptr ? "none" : to_string(tensor->shape)));
        }
        taken_.insert(name);
        return *tensor;
    }

    const Weights& weights_;
    std::set<std::string> taken_;
};

}  // namespace detail

/// Decoded meshes: views, valid until the decoder's next decode().
struct DecodedMesh {
    Span<const float>
        vertices;  ///< [n][3], in the model's unit (the shipped one: centimetres, x to the image's right, y up, z out of the face)
    Span<const float> colours;  ///< [n][3] albedo, 0..1
};

/// A list of layers: fully connected, levels of up-sampling and Chebyshev convolution with ReLU, a last convolution to x, y, z, r, g, b; and
/// the mesh's topology. One thread at a time (it owns its buffers); allocates nothing for a number of faces already seen.
class MeshDecoder {
public:
    static constexpr int kLatent = 128, kOutputs = 6;

    /// Throws Error (bad_format, mismatch): the file breaks the format, naming the tensor, what was expected and what was found;
    /// (unsupported): no such instruction set; (invalid_argument): `threads` outside 1..kMaxThreads. `executor` (may be nullptr) is used by
    /// `threads` threads and outlives the decoder.
    explicit MeshDecoder(const Weights& weights, Isa isa = Isa::automatic, Executor* executor = nullptr, int threads = 1)
        : isa_(kernels::checked(isa)), kernels_(kernels::find<kernels::GraphConv>(isa_)), parallel_(executor, threads) {
        if (threads < 1 || threads > kMaxThreads)
            detail::raise(Error(ErrorCode::invalid_argument, "mesh: threads must be 1.." + std::to_string(kMaxThreads) +
                                                                 ", found " + std::to_string(threads)));
        detail::MeshFile file(weights);
        int levels = 0;
        while (levels < kMostLevels && file.has("level" + std::to_string(levels) + ".weight")) ++levels;
        if (levels == 0) detail::MeshFile::fail("tensor 'level0.weight': expected at least one level, found none");

        const detail::MeshFile::Floats fc = file.floats("fc.weight", {-1, -1, kLatent});
        if (fc.shape[0] < 1 || fc.shape[0] > static_cast<std::int64_t>(detail::MeshFile::kMostVertices) || fc.shape[1] < 1 ||
            fc.shape[1] > ChebConv::kMostFeatures)
            detail::MeshFile::fail("tensor 'fc.weight': expected 1.." + std::to_string(detail::MeshFile::kMostVertices) +
                                   " vertices of 1.." + std::to_string(ChebConv::kMostFeatures) + " features, found shape " +
                                   to_string(fc.shape));
        int vertices = static_cast<int>(fc.shape[0]), features = static_cast<int>(fc.shape[1]);
        set_fully_connected(fc.values, file.floats("fc.bias", {vertices, features}).values, vertices, features);

        Csr finest;
        for (int level = 0; level < levels; ++level) {
            const std::string name = "level" + std::to_string(level);
            Csr upsample = file.csr(name + ".upsample", vertices);
            for (std::size_t row = 0; row < static_cast<std::size_t>(upsample.rows); ++row)
                if (upsample.starts[row + 1] - upsample.starts[row] > 3)
                    detail::MeshFile::fail("tensor '" + name + ".upsample.counts': expected at most 3 a row, found " +
                                           std::to_string(upsample.starts[row + 1] - upsample.starts[row]) + " in row " +
                                           std::to_string(row));
            finest = file.csr(name + ".laplacian", 0);
            if (finest.rows != upsample.rows)
                detail::MeshFile::fail("tensor '" + name + ".laplacian.counts': expected " + std::to_string(upsample.rows) +
                                       " rows, found " + std::to_string(finest.rows));
            vertices = finest.rows;
            const detail::MeshFile::Floats weight = file.floats(name + ".weight", {-1, -1});
            const auto out = static_cast<int>(weight.shape[1]);
            const int terms = terms_of(weight, name + ".weight", features);
            const std::vector<float> bias = file.floats(name + ".bias", {out}).values;
            layers_.emplace_back(finest, upsample, features, out, terms, weight.values, bias, true, isa_);
            features = out;
        }
        const detail::MeshFile::Floats last = file.floats("last.weight", {-1, kOutputs});
        layers_.emplace_back(finest, Csr{}, features, kColour + 3, terms_of(last, "last.weight", features),
                             apart(last.values, kColour + 3), std::vector<float>{}, false, isa_);
        mean_ = apart(file.floats("mean", {vertices, kOutputs}).values, kRow);
        triangles_ = file.indices("triangles", {-1, 3}, vertices);
        if (file.has("landmarks68.indices")) {
            landmarks_ = file.indices("landmarks68.indices", {68}, vertices);
            five_mean_ = file.floats("five.mean", {5, 3}).values;
            five_basis_ = file.floats("five.basis", {5, 3, kLatent}).values;
        }
        file.finish();
    }
    /// The same, noexcept: an error is the Result's.
    static Result<MeshDecoder> create(const Weights& weights, Isa isa = Isa::automatic, Executor* executor = nullptr,
                                      int threads = 1) noexcept {
        return detail::as_result([&] { return MeshDecoder(weights, isa, executor, threads); });
    }

    Isa isa() const noexcept { return isa_; }
    int vertices() const noexcept { return layers_.back().vertices(); }
    /// [t][3], corners counter-clockwise seen from outside.
    Span<const std::int32_t> triangles() const noexcept { return triangles_; }
    /// [68] vertices in the order of iBUG, or empty where the file has none.
    Span<const std::int32_t> landmarks68() const noexcept { return landmarks_; }
    /// The detector's five points of the mean mesh, [5][3], and how the 128 numbers move them, [5][3][128]; empty as the landmarks.
    Span<const float> five_mean() const noexcept { return five_mean_; }
    Span<const float> five_basis() const noexcept { return five_basis_; }
    /// Levels coarse to fine, then the last convolution.
    const std::vector<ChebConv>& layers() const noexcept { return layers_; }

    /// Meshes of `latents`, [faces][128]. Throws Error (invalid_argument): not a multiple of 128 numbers, or one that is not finite.
    Span<const DecodedMesh> decode(Span<const float> latents) {
        if (latents.empty() || latents.size() % kLatent != 0 || latents.size() / kLatent > kMostMeshes)
            detail::raise(Error(ErrorCode::invalid_argument, "mesh: expected 128 numbers a face for 1.." +
                                                                 std::to_string(kMostMeshes) + " faces, found " +
                                                                 std::to_string(latents.size())));
        for (const float v : latents)
            if (!detail::is_finite(v)) detail::raise(Error(ErrorCode::invalid_argument, "mesh: a latent number is not finite"));
        const std::size_t faces = latents.size() / kLatent, n = 3 * static_cast<std::size_t>(vertices());
        vertices_.resize(faces * n);
        colours_.resize(faces * n);
        meshes_.resize(faces);
        for (std::size_t first = 0; first < faces; first += kTogether) {
            const auto count = static_cast<int>(std::min(faces - first, static_cast<std::size_t>(kTogether)));
            fully_connected(latents.data() + first * kLatent, count);
            for (int face = 0; face < count; ++face)
                decode_one(coarse_maps_.data() + face * coarse_map(), first + static_cast<std::size_t>(face));
        }
        for (std::size_t face = 0; face < faces; ++face)
            meshes_[face] = {{vertices_.data() + face * n, n}, {colours_.data() + face * n, n}};
        return meshes_;
    }
    Result<Span<const DecodedMesh>> try_decode(Span<const float> latents) noexcept {
        return detail::as_result([&] { return decode(latents); });
    }

private:
    /// Faces for which the fully connected layer's weights are read once. The layers after it take one face after the other: several
    /// would share what a row costs, and their terms leave the caches.
    static constexpr int kTogether = ChebConv::kMostFaces;
    static constexpr int kMostLevels = 8;
    static constexpr int kColour = 4;  ///< where colours begin in a row of the last layer, after a vertex and a zero
    static constexpr int kRow = ChebConv::channels(kColour + 3);
    static constexpr std::size_t kMostMeshes = 4096;

    /// Rows of kOutputs as rows of `columns` with colours from kColour on.
    static std::vector<float> apart(const std::vector<float>& rows, int columns) {
        const std::size_t count = rows.size() / kOutputs;
        std::vector<float> out(count * static_cast<std::size_t>(columns), 0.0f);
        for (std::size_t i = 0; i < count; ++i) {
            const float* const row = rows.data() + i * kOutputs;
            float* const to = out.data() + i * static_cast<std::size_t>(columns);
            std::copy_n(row, 3, to);
            std::copy_n(row + 3, 3, to + kColour);
        }
        return out;
    }

    static int terms_of(const detail::MeshFile::Floats& weight, const std::string& name, int features) {
        const std::int64_t rows = weight.shape[0], out = weight.shape[1];
        if (rows < features || rows % features != 0 || rows / features > ChebConv::kMostTerms || out < 1 ||
            out > ChebConv::kMostFeatures)
            detail::MeshFile::fail("tensor '" + name + "': expected " + std::to_string(features) + " x K rows, K = 1.." +
                                   std::to_string(ChebConv::kMostTerms) + ", and 1.." + std::to_string(ChebConv::kMostFeatures) +
                                   " columns, found shape " + to_string(weight.shape));
        return static_cast<int>(rows / features);
    }

    /// Packs the layer as one small product a block of vertices, [128][columns]; blocks hold at least 16 columns.
    void set_fully_connected(const std::vector<float>& weight, const std::vector<float>& bias, int vertices, int features) {
        coarse_ = vertices;
        channels_ = ChebConv::channels(features);
        block_ = channels_ == 8 ? 2 : 1;
        const std::ptrdiff_t columns = std::ptrdiff_t{block_} * channels_;
        const int blocks = (vertices + block_ - 1) / block_;
        fc_.reserve(static_cast<std::size_t>(blocks) * (kLatent + 1) * static_cast<std::size_t>(columns));
        std::fill_n(fc_.data(), fc_.size(), 0.0f);
        for (int v = 0; v < vertices; ++v) {
            for (int f = 0; f < features; ++f) {
                const auto row = static_cast<std::size_t>(v) * static_cast<std::size_t>(features) + static_cast<std::size_t>(f);
                float* const block = fc_.data() + std::ptrdiff_t{v / block_} * (kLatent + 1) * columns;
                const std::ptrdiff_t column = v % block_ * channels_ + f;
                for (std::size_t i = 0; i < kLatent; ++i)
                    block[kernels::panel_place(kLatent, columns, static_cast<std::ptrdiff_t>(i), column)] =
                        weight[row * kLatent + i];
                block[kLatent * columns + column] = bias[row];
            }
        }
    }

    /// Floats of a face in coarse_maps_, to a 64-byte boundary.
    std::ptrdiff_t coarse_map() const noexcept { return (std::ptrdiff_t{coarse_} * channels_ + 15) / 16 * 16; }

    void fully_connected(const float* latents, int faces) {
        const int blocks = (coarse_ + block_ - 1) / block_, columns = block_ * channels_;
        coarse_maps_.reserve(static_cast<std::size_t>(faces * coarse_map()));
        parallel_.bands(blocks, 1, [&](int begin, int end, int) {
            alignas(64) float out[kTogether * 128];
            for (int b = begin; b < end; ++b) {
                kernels::ChebDenseArgs a{};
                a.t[0] = latents;
                a.terms = 1;
                a.channels_in = kLatent;
                a.weights = fc_.data() + std::ptrdiff_t{b} * (kLatent + 1) * columns;
                a.bias = a.weights + kLatent * columns;
                a.y = out;
                a.channels_out = columns;
                a.pixels = faces;
                kernels_.dense(a);
                const int first = b * block_, count = std::min(block_, coarse_ - first);
                for (int face = 0; face < faces; ++face)
                    std::copy_n(out + face * columns, count * channels_,
                                coarse_maps_.data() + face * coarse_map() + std::ptrdiff_t{first} * channels_);
            }
        });
    }

    void decode_one(const float* x, std::size_t face) {
        std::size_t map = 0, scratch = 0;
        for (const ChebConv& layer : layers_) {
            map = std::max(map, static_cast<std::size_t>(layer.vertices()) *
                                    static_cast<std::size_t>(ChebConv::channels(layer.features_out())));
            scratch = std::max(scratch, layer.scratch(1, parallel_.threads()));
        }
        maps_[0].reserve(map);
        maps_[1].reserve(map);
        scratch_.reserve(scratch);
        std::size_t next = 0;
        for (std::size_t i = 0; i + 1 < layers_.size(); ++i, next = 1 - next) {
            layers_[i].run(x, 1, maps_[next].data(), scratch_.data(), parallel_);
            x = maps_[next].data();
        }
        // The last layer's rows become vertices and colours at once.
        float* const rows = maps_[next].data();
        constexpr std::ptrdiff_t kRows = std::ptrdiff_t{ChebConv::kGroup} * kRow;
        layers_.back().run(
            x, 1, scratch_.data(), parallel_, [&](int, int band) { return rows + band * kRows; },
            [&](int begin, int count, const float* y) { finish(begin, count, y, face); });
    }

    /// The mean is added to rows [begin, begin + count), `y` [count][kRow], and they are stored.
    void finish(int begin, int count, const float* y, std::size_t face) {
        const std::size_t at = (face * static_cast<std::size_t>(vertices()) + static_cast<std::size_t>(begin)) * 3;
        float *vertex = vertices_.data() + at, *colour = colours_.data() + at;
        const float *in = y, *mean = mean_.data() + std::ptrdiff_t{begin} * kRow;
        const auto store = [&](auto numbers) {
            float sum[kRow];
            for (int c = 0; c < kRow; ++c) sum[c] = in[c] + mean[c];
            std::copy_n(sum, +numbers, vertex);
            std::copy_n(sum + kColour, +numbers, colour);
            vertex += 3;
            colour += 3;
            mean += kRow;
            in += kRow;
        };
        // Fours are one store each; the fourth is overwritten by the next row.
        for (int i = 0; i + 1 < count; ++i) store(std::integral_constant<int, 4>{});
        store(std::integral_constant<int, 3>{});
    }

    Isa isa_;
    kernels::GraphConv kernels_;
    detail::Parallel parallel_;
    int coarse_ = 0, channels_ = 0, block_ = 1;
    detail::AlignedBuffer fc_;  ///< [blocks]: [128][block * channels] in panels, and biases
    std::vector<ChebConv> layers_;
    std::vector<float> mean_;  ///< [n][kRow]
    std::vector<float> five_mean_, five_basis_;
    std::vector<std::int32_t> triangles_, landmarks_;

    detail::AlignedBuffer coarse_maps_, maps_[2], scratch_;
    std::vector<float> vertices_, colours_;
    std::vector<DecodedMesh> meshes_;
};

RETINAFACE_END_NAMESPACE
