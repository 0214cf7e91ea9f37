// The dense branch: graph convolutions against Eigen's sparse algebra, the decoder's file, the rasteriser on scenes with known answers and
// against the reference set, poses of faces with known poses.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <set>
#include <vector>

#include "retinaface/mesh.hpp"
#include "support/allocations.hpp"
#include "support/isa_under_test.hpp"
#include "support/trim.hpp"
#include "temporary_file.hpp"

#if __has_include(<eigen3/Eigen/SparseCore>)
#include <eigen3/Eigen/SparseCore>
#define HAVE_EIGEN 1
#else
#include "support/shared_files.hpp"
#define HAVE_EIGEN 0
#endif

namespace rf = retinaface;

namespace {

rf::Isa isa() { return retinaface_test::noted_isa_under_test(); }

/// As many threads as asked for, one after the other.
class InOrder final : public rf::Executor {
    void run(int count, rf::TaskRef task) override {
        for (int i = 0; i < count; ++i) task(i);
    }
};

/// A random matrix of which every fifth row is empty.
rf::Csr random_csr(int rows, int columns, int most, std::mt19937& random) {
    std::uniform_real_distribution<float> value(-0.4f, 0.4f);
    rf::Csr out{rows, columns, {0}, {}, {}};
    for (int row = 0; row < rows; ++row) {
        std::set<int> taken;
        if (row % 5 != 4)
            for (int i = static_cast<int>(random() % static_cast<unsigned>(most + 1)); i > 0; --i)
                taken.insert(static_cast<int>(random() % static_cast<unsigned>(columns)));
        for (const int column : taken) {
            out.indices.push_back(column);
            out.values.push_back(value(random));
        }
        out.starts.push_back(static_cast<std::int32_t>(out.indices.size()));
    }
    return out;
}

std::vector<float> random_floats(std::size_t count, std::mt19937& random) {
    std::uniform_real_distribution<float> value(-1, 1);
    std::vector<float> out(count);
    for (float& v : out) v = value(random);
    return out;
}

#if HAVE_EIGEN
using Sparse = Eigen::SparseMatrix<double, Eigen::RowMajor>;
using Dense = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Sparse to_eigen(const rf::Csr& csr) {
    std::vector<Eigen::Triplet<double>> entries;
    for (int row = 0; row < csr.rows; ++row)
        for (int e = csr.starts[static_cast<std::size_t>(row)]; e < csr.starts[static_cast<std::size_t>(row) + 1]; ++e)
            entries.emplace_back(row, csr.indices[static_cast<std::size_t>(e)],
                                 static_cast<double>(csr.values[static_cast<std::size_t>(e)]));
    Sparse m(csr.rows, csr.columns);
    m.setFromTriplets(entries.begin(), entries.end());
    return m;
}
#endif

struct Case {
    int vertices, coarse, features_in, features_out, terms, faces;
    bool upsampled, relu;
};

/// Output of a layer with random weights, [faces][vertices][features_out].
struct Layer {
    rf::Csr laplacian, upsample;
    std::vector<float> weight, bias, x;

    Layer(const Case& c, unsigned seed) {
        std::mt19937 random(seed);
        laplacian = random_csr(c.vertices, c.vertices, 9, random);
        if (c.upsampled) upsample = random_csr(c.vertices, c.coarse, 3, random);
        weight = random_floats(static_cast<std::size_t>(c.features_in * c.terms * c.features_out), random);
        if (c.relu) bias = random_floats(static_cast<std::size_t>(c.features_out), random);
        x = random_floats(static_cast<std::size_t>((c.upsampled ? c.coarse : c.vertices) * c.faces * c.features_in), random);
    }

    std::vector<float> run(const Case& c, rf::Isa set, rf::Executor* executor, int threads, int first_face = 0,
                           int faces = -1) const {
        faces = faces < 0 ? c.faces : faces;
        const rf::ChebConv layer(laplacian, upsample, c.features_in, c.features_out, c.terms, weight, bias, c.relu, set);
        const int in = c.upsampled ? c.coarse : c.vertices, wide = rf::ChebConv::channels(c.features_in);
        const int out = rf::ChebConv::channels(c.features_out);
        rf::detail::AlignedBuffer input(static_cast<std::size_t>(in * faces * wide)),
            output(static_cast<std::size_t>(c.vertices * faces * out) + 16);
        rf::detail::AlignedBuffer scratch(layer.scratch(faces, threads) + 16);
        std::fill_n(input.data(), in * faces * wide, 0.0f);
        const std::size_t used = static_cast<std::size_t>(c.vertices * faces * out);
        std::fill_n(output.data(), used + 16, 77.0f);
        std::fill_n(scratch.data() + layer.scratch(faces, threads), 16, 78.0f);
        for (int v = 0; v < in; ++v)
            for (int face = 0; face < faces; ++face)
                for (int f = 0; f < c.features_in; ++f)
                    input.data()[(v * faces + face) * wide + f] =
                        x[static_cast<std::size_t>((v * c.faces + first_face + face) * c.features_in + f)];
        layer.run(input.data(), faces, output.data(), scratch.data(), {executor, threads});
        for (std::size_t i = 0; i < 16; ++i) {
            CHECK(output.data()[used + i] == 77.0f);
            CHECK(scratch.data()[layer.scratch(faces, threads) + i] == 78.0f);
        }
        std::vector<float> result;
        for (int face = 0; face < faces; ++face)
            for (int v = 0; v < c.vertices; ++v)
                for (int o = 0; o < out; ++o) {
                    const float value = output.data()[(v * faces + face) * out + o];
                    if (o < c.features_out)
                        result.push_back(value);
                    else
                        CHECK(value == 0.0f);
                }
        return result;
    }
};

/// Vertices of a sphere of radius 1, seen from outside, and its triangles.
void sphere(int rings, std::vector<float>& vertices, std::vector<std::int32_t>& triangles) {
    const int around = 2 * rings;
    for (int i = 0; i <= rings; ++i)
        for (int j = 0; j < around; ++j) {
            const double a = 3.14159265358979 * i / rings, b = 2 * 3.14159265358979 * j / around;
            vertices.push_back(static_cast<float>(std::sin(a) * std::cos(b)));
            vertices.push_back(static_cast<float>(std::cos(a)));
            vertices.push_back(static_cast<float>(std::sin(a) * std::sin(b)));
        }
    for (int i = 0; i < rings; ++i)
        for (int j = 0; j < around; ++j) {
            const int a = i * around + j, b = i * around + (j + 1) % around, c = a + around, d = b + around;
            triangles.insert(triangles.end(), {a, b, c, b, d, c});
        }
}

/// Pixels are the mesh's x and -y; depth is -z.
rf::Projection identity_projection() {
    rf::Projection p;
    p.rows[0][0] = 1;
    p.rows[1][1] = -1;
    p.rows[2][2] = -1;
    return p;
}

bool same_bits(rf::Span<const float> a, const std::vector<float>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

rf::MeshDecoder& shipped() {
    static rf::MeshDecoder decoder(rf::default_mesh_weights());
    return decoder;
}

/// The five points of a decoded mesh under a pose, seen in perspective from `distance` centimetres.
std::array<rf::Point, 5> five_points(rf::Span<const float> vertices, const rf::Pose& pose, double distance) {
    const std::array<double, 9> r = rf::rotation_of(pose);
    const auto point = [&](std::initializer_list<std::size_t> landmarks) {
        double p[3] = {};
        for (const std::size_t l : landmarks)
            for (std::size_t i = 0; i < 3; ++i)
                p[i] += static_cast<double>(vertices[3 * static_cast<std::size_t>(shipped().landmarks68()[l]) + i]) /
                        static_cast<double>(landmarks.size());
        // The camera looks at the face: a head beside its axis would appear turned.
        for (std::size_t i = 0; i < 15; ++i) p[i % 3] -= static_cast<double>(shipped().five_mean()[i]) / 5;
        const double x = r[0] * p[0] + r[1] * p[1] + r[2] * p[2], y = r[3] * p[0] + r[4] * p[1] + r[5] * p[2];
        const double z = distance - (r[6] * p[0] + r[7] * p[1] + r[8] * p[2]);
        return rf::Point{static_cast<float>(300 + 900 * x / z), static_cast<float>(200 - 900 * y / z)};
    };
    return {point({36, 37, 38, 39, 40, 41}), point({42, 43, 44, 45, 46, 47}), point({30}), point({48}), point({54})};
}

}  // namespace

TEST_CASE("graph convolution is Eigen's, for any shape, number of threads and of faces") {
#if HAVE_EIGEN
    std::vector<Case> cases;
    const bool trim = retinaface_test::trimmed();
    for (const int terms : {1, 2, 3, 4, 5, 6})
        for (const int in : {1, 3, 8, 9, 16, 32})
            for (const int out : {1, 6, 8, 16, 20, 32})
                if (!trim || (in + out + terms) % 4 == 0)
                    cases.push_back({131, 40, in, out, terms, 1 + (in + 2 * out + terms) % 3, (in + out) % 2 == 0, out % 3 != 0});
    for (const int faces : {1, 2, 5, 8}) {
        cases.push_back({300, 70, 16, 16, 6, faces, true, true});
        cases.push_back({300, 70, 16, 6, 6, faces, false, false});
        cases.push_back({300, 70, 64, 33, 2, faces, true, true});
    }
    cases.push_back({1, 1, 5, 5, 6, 2, true, true});
    rf::detail::ThreadPool pool(3);
    unsigned seed = 0;
    for (const Case& c : cases) {
        CAPTURE(c.features_in);
        CAPTURE(c.features_out);
        CAPTURE(c.terms);
        CAPTURE(c.faces);
        const Layer layer(c, ++seed);
        const std::vector<float> y = layer.run(c, isa(), nullptr, 1);
        const Sparse laplacian = to_eigen(layer.laplacian);
        double worst = 0;
        for (int face = 0; face < c.faces; ++face) {
            const int in = c.upsampled ? c.coarse : c.vertices;
            Dense x(in, c.features_in);
            for (int v = 0; v < in; ++v)
                for (int f = 0; f < c.features_in; ++f)
                    x(v, f) = static_cast<double>(layer.x[static_cast<std::size_t>((v * c.faces + face) * c.features_in + f)]);
            Dense before, current = c.upsampled ? Dense(to_eigen(layer.upsample) * x) : x;
            Dense sum = Dense::Zero(c.vertices, c.features_out), size = sum;
            for (int k = 0; k < c.terms; ++k) {
                Dense w(c.features_in, c.features_out);
                for (int f = 0; f < c.features_in; ++f)
                    for (int o = 0; o < c.features_out; ++o)
                        w(f, o) =
                            static_cast<double>(layer.weight[static_cast<std::size_t>((f * c.terms + k) * c.features_out + o)]);
                sum += current * w;
                size += current.cwiseAbs() * w.cwiseAbs();
                const Dense product = laplacian * current;
                const Dense next = k == 0 ? product : Dense(2 * product - before);
                before = current;
                current = next;
            }
            for (int v = 0; v < c.vertices; ++v)
                for (int o = 0; o < c.features_out; ++o) {
                    double expected = sum(v, o) + (c.relu ? static_cast<double>(layer.bias[static_cast<std::size_t>(o)]) : 0.0);
                    if (c.relu && expected < 0) expected = 0;
                    const auto found =
                        static_cast<double>(y[static_cast<std::size_t>((face * c.vertices + v) * c.features_out + o)]);
                    worst = std::max(worst, std::abs(found - expected) / (1 + size(v, o)));
                }
        }
        CHECK(worst < 1e-5);
        CHECK(same_bits(y, layer.run(c, isa(), &pool, 3)));
        if (c.faces > 1) {
            const std::vector<float> alone = layer.run(c, isa(), nullptr, 1, 1, 1);
            CHECK(std::memcmp(alone.data(), y.data() + alone.size(), alone.size() * sizeof(float)) == 0);
        }
    }
#else
    retinaface_test::skip("Eigen is not there");
#endif
}

TEST_CASE("the shipped decoder: every set and number of faces, and its mean") {
    std::mt19937 random(3);
    std::normal_distribution<float> normal;
    std::vector<float> latents(128 * (retinaface_test::trimmed() ? 2 : 11));
    for (std::size_t i = 128; i < latents.size(); ++i) latents[i] = normal(random);
    rf::MeshDecoder decoder(rf::default_mesh_weights(), isa());
    CHECK(decoder.vertices() == 9409);
    rf::MeshDecoder reference(rf::default_mesh_weights(), rf::Isa::reference);
    const rf::Span<const rf::DecodedMesh> meshes = decoder.decode(latents);
    const rf::DecodedMesh expected = reference.decode({latents.data() + 128, 128})[0];
    double worst = 0, largest = 0;
    for (std::size_t i = 0; i < expected.vertices.size(); ++i) {
        worst = std::max(worst, static_cast<double>(std::abs(meshes[1].vertices[i] - expected.vertices[i])));
        worst = std::max(worst, static_cast<double>(std::abs(meshes[1].colours[i] - expected.colours[i])));
        largest = std::max(largest, static_cast<double>(std::abs(expected.vertices[i])));
    }
    CHECK(worst < 1e-5 * (largest + 16));  // its ReLUs are held open by 16
    const std::vector<float> second(meshes[1].vertices.begin(), meshes[1].vertices.end());
    CHECK(same_bits(decoder.decode({latents.data() + 128, 128})[0].vertices, second));
    // Five points of the mean mesh.
    const rf::DecodedMesh mean = decoder.decode({latents.data(), 128})[0];
    for (std::size_t i = 0; i < 3; ++i)
        CHECK(decoder.five_mean()[3 * 2 + i] ==
              doctest::Approx(mean.vertices[3 * static_cast<std::size_t>(decoder.landmarks68()[30]) + i]).epsilon(1e-3));

    latents[5] = std::numeric_limits<float>::quiet_NaN();
    CHECK_THROWS_WITH_AS(decoder.decode(latents), doctest::Contains("not finite"), rf::Error);
    CHECK_THROWS_WITH_AS(decoder.decode({latents.data(), 100}), doctest::Contains("expected 128 numbers"), rf::Error);
}

/// A face as a detector finds it, frontal, in a picture of 300 x 200.
rf::Face frontal_face() {
    rf::Face face;
    face.landmarks = {rf::Point{120, 80}, {180, 80}, {150, 110}, {128, 140}, {172, 140}};
    return face;
}

TEST_CASE("bands of threads begin with what their first rows look at") {
    // Vertices in an order of small bandwidth, many times as many as a ring holds.
    std::mt19937 random(21);
    constexpr int kVertices = 5000, kFeatures = 8;
    for (const bool on_outputs : {false, true}) {
        for (const int reach : {3, 40, 150}) {
            const int in = on_outputs ? 16 : kFeatures, out = on_outputs ? 6 : kFeatures, terms = 6;
            rf::Csr laplacian{kVertices, kVertices, {0}, {}, {}};
            for (int row = 0; row < kVertices; ++row) {
                std::set<int> taken;
                for (int i = 0; i < 5; ++i)
                    taken.insert(std::clamp(row - reach + static_cast<int>(random() % static_cast<unsigned>(2 * reach + 1)), 0,
                                            kVertices - 1));
                for (const int column : taken) {
                    laplacian.indices.push_back(column);
                    laplacian.values.push_back(-0.2f);
                }
                laplacian.starts.push_back(static_cast<std::int32_t>(laplacian.indices.size()));
            }
            const rf::ChebConv layer(laplacian, {}, in, out, terms,
                                     random_floats(static_cast<std::size_t>(in * terms * out), random), {}, false, isa());
            rf::detail::AlignedBuffer x(static_cast<std::size_t>(kVertices * in)), y(static_cast<std::size_t>(kVertices * 8));
            const std::vector<float> values = random_floats(static_cast<std::size_t>(kVertices * in), random);
            std::copy(values.begin(), values.end(), x.data());
            rf::detail::AlignedBuffer scratch(layer.scratch(1, 8));
            std::vector<float> expected;
            for (const int threads : {1, 2, 3, 8}) {
                std::fill_n(scratch.data(), layer.scratch(1, threads), std::numeric_limits<float>::quiet_NaN());
                InOrder executor;
                layer.run(x.data(), 1, y.data(), scratch.data(), {&executor, threads});
                if (threads == 1) expected.assign(y.data(), y.data() + kVertices * 8);
                CAPTURE(on_outputs);
                CAPTURE(reach);
                CAPTURE(threads);
                CHECK(same_bits(rf::Span<const float>(y.data(), static_cast<std::size_t>(kVertices * 8)), expected));
            }
        }
    }

    const std::vector<float> latent(128, 0.5f);
    rf::MeshDecoder alone(rf::default_mesh_weights(), isa());
    const rf::DecodedMesh mesh = alone.decode(latent)[0];
    for (const int threads : {2, 3, 8}) {
        InOrder executor;
        rf::MeshDecoder decoder(rf::default_mesh_weights(), isa(), &executor, threads);
        CAPTURE(threads);
        CHECK(same_bits(decoder.decode(latent)[0].vertices, std::vector<float>(mesh.vertices.begin(), mesh.vertices.end())));
    }
    CHECK(rf::MeshDecoder::create(rf::default_mesh_weights(), isa(), nullptr, 0).error().code() ==
          rf::ErrorCode::invalid_argument);
}

TEST_CASE("five points of a file that are those of no head are refused") {
    const rf::Weights shipped = rf::default_mesh_weights();
    for (const float scale : {0.0f, 1e6f}) {
        std::vector<rf::Tensor> tensors(shipped.tensors().begin(), shipped.tensors().end());
        for (rf::Tensor& tensor : tensors)
            if (tensor.name == "five.mean")
                for (float& v : tensor.values) v *= scale;
        const auto made = rf::MeshEstimator::create(rf::Weights::from_tensors(shipped.metadata(), std::move(tensors)), isa());
        REQUIRE_FALSE(made.has_value());
        CHECK(std::string(made.error().what()).find("tensor 'five.mean'") != std::string::npos);
    }
}

TEST_CASE("a mesh file's tensors may stay in the file") {
    const retinaface_test::TemporaryFile file(retinaface_test::bytes_of(rf::embedded::kDefaultMesh));
    const std::vector<float> latent(128, 0.5f);
    rf::MeshDecoder opened(rf::Weights::open(file.path.string()), isa()), held(rf::default_mesh_weights(), isa());
    const rf::DecodedMesh mesh = held.decode(latent)[0];
    CHECK(same_bits(opened.decode(latent)[0].vertices, std::vector<float>(mesh.vertices.begin(), mesh.vertices.end())));
}

TEST_CASE("a picture that is turned gives the mesh the colours of the upright one") {
    rf::MeshEstimator estimator(rf::default_mesh_weights(), isa());
    const rf::Face face = frontal_face();
    constexpr int kWidth = 300, kHeight = 200;
    std::vector<std::uint8_t> upright(kWidth * kHeight * 3), stored(upright.size());
    for (std::size_t i = 0; i < upright.size(); ++i) upright[i] = static_cast<std::uint8_t>(i * 2654435761u >> 24);
    const rf::Mesh& mesh = estimator.estimate({upright.data(), kWidth, kHeight}, face);
    const std::vector<float> expected(mesh.colours.begin(), mesh.colours.end());
    for (const rf::Rotation rotation : {rf::Rotation::clockwise_90, rf::Rotation::clockwise_180, rf::Rotation::clockwise_270}) {
        // Where a pixel of the upright picture lies in the stored one.
        const bool quarter = rotation != rf::Rotation::clockwise_180;
        const int width = quarter ? kHeight : kWidth, height = quarter ? kWidth : kHeight;
        for (int y = 0; y < kHeight; ++y)
            for (int x = 0; x < kWidth; ++x) {
                const int at_x = rotation == rf::Rotation::clockwise_90 ? y : quarter ? width - 1 - y : width - 1 - x;
                const int at_y = rotation == rf::Rotation::clockwise_90 ? height - 1 - x : quarter ? x : height - 1 - y;
                std::copy_n(upright.data() + 3 * (y * kWidth + x), 3, stored.data() + 3 * (at_y * width + at_x));
            }
        CAPTURE(static_cast<int>(rotation));
        CHECK(same_bits(estimator.estimate({stored.data(), width, height}, face, rotation).colours, expected));
    }
    for (const int degrees : {static_cast<int>(rf::Rotation::automatic), 45, 360, -90})
        CHECK(estimator.try_estimate({}, face, static_cast<rf::Rotation>(degrees)).error().code() ==
              rf::ErrorCode::invalid_argument);
}

TEST_CASE("decoding, estimating and drawing allocate nothing at a size already seen") {
    rf::MeshEstimator estimator(rf::default_mesh_weights(), isa());
    rf::MeshDecoder decoder(rf::default_mesh_weights(), isa());
    rf::Rasteriser rasteriser(isa());
    const std::vector<std::uint8_t> picture(300 * 200 * 3, 90);
    const std::vector<float> latents(3 * 128, 0.2f);
    rf::Face face = frontal_face();
    const auto all = [&] {
        const rf::Mesh& mesh = estimator.estimate({picture.data(), 300, 200}, face);
        estimator.estimate_pose(face.landmarks);
        rasteriser.render({mesh.vertices3d, estimator.triangles(), mesh.colours}, mesh.projection, 120, 90);
        decoder.decode(latents);
        decoder.decode({latents.data(), 128});
    };
    CHECK(retinaface_test::allocations_of(all) > 0);
    face.landmarks[2].x += 4;
    CHECK(retinaface_test::allocations_of(all) == 0);
    CHECK(retinaface_test::allocations_of([&] {
              rasteriser.render({decoder.decode(latents)[2].vertices, decoder.triangles()}, rf::Camera{}.projection(90, 60), 90,
                                60);
          }) == 0);
}

TEST_CASE("every function of the mesh that can fail has a form that does not throw") {
    const rf::Weights* weights = nullptr;
    const rf::Camera away{{0, 0, 5}, {0, 0, 5}, 300};
    rf::Rasteriser* rasteriser = nullptr;
    rf::MeshDecoder* decoder = nullptr;
    rf::MeshEstimator* estimator = nullptr;
    const rf::Rendering nothing;
    const rf::Span<const float> latents;
    static_assert(noexcept(rf::Rasteriser::create()));
    static_assert(noexcept(rf::MeshDecoder::create(*weights)));
    static_assert(noexcept(rf::MeshEstimator::create(*weights)));
    static_assert(noexcept(rf::try_default_mesh_estimator()));
    static_assert(noexcept(away.try_projection(1, 1)));
    static_assert(noexcept(rasteriser->try_render({}, {}, 1, 1)));
    static_assert(noexcept(decoder->try_decode(latents)));
    static_assert(noexcept(estimator->try_estimate({}, rf::Face())));
    static_assert(noexcept(estimator->try_estimate({}, rf::DenseOutputs())));
    static_assert(noexcept(estimator->try_estimate({}, rf::Face(), rf::MeshCorrection())));
    static_assert(noexcept(estimator->try_estimate_pose({}, rf::MeshCorrection())));
    static_assert(noexcept(estimator->try_estimate_pose({})));
    static_assert(noexcept(rf::try_pixel_loss(nothing, {})));

    // And they say what the throwing forms say.
    CHECK_THROWS_WITH_AS(away.projection(8, 8), away.try_projection(8, 8).error().what(), rf::Error);
    CHECK(rf::Camera{}.try_projection(8, 8)->perspective);
    const std::uint8_t pixel[3] = {};
    CHECK_THROWS_WITH_AS(rf::pixel_loss(nothing, {pixel, 1, 1}), rf::try_pixel_loss(nothing, {pixel, 1, 1}).error().what(),
                         rf::Error);
    const rf::Isa foreign = rf::available(rf::Isa::neon) ? rf::Isa::avx2 : rf::Isa::neon;
    CHECK(rf::MeshDecoder::create(rf::default_mesh_weights(), foreign).error().code() == rf::ErrorCode::unsupported);
    CHECK(rf::Rasteriser::create(foreign).error().code() == rf::ErrorCode::unsupported);
    CHECK(rf::Rasteriser::create(isa())->isa() == rf::resolved(isa()));
    auto made = rf::try_default_mesh_estimator({isa()});
    CHECK(made->try_estimate_pose({}).error().code() == rf::ErrorCode::invalid_argument);
    CHECK(made->try_estimate({}, rf::Face()).error().code() == rf::ErrorCode::invalid_argument);
    rf::DenseOutputs outputs;
    outputs.crop = {3, 3, 3, 9};
    CHECK(made->try_estimate({}, outputs).error().code() == rf::ErrorCode::invalid_argument);
    outputs.crop = {0, 0, 90, 90};
    CHECK((*made->try_estimate({}, outputs))->landmarks68.size() == 68);
}

TEST_CASE("memory that ends anywhere while meshes are made is an error, never the end of the program") {
    const std::vector<std::uint8_t> picture(300 * 200 * 3, 90);
    const auto attempt = [&]() -> rf::Result<bool> {
        const auto weights = rf::Weights::try_from_embedded(rf::embedded::kDefaultMesh);
        if (!weights) return weights.error();
        auto estimator = rf::MeshEstimator::create(*weights, isa());
        if (!estimator) return estimator.error();
        const auto mesh = estimator->try_estimate({picture.data(), 300, 200}, frontal_face());
        if (!mesh) return mesh.error();
        rf::Rasteriser rasteriser(isa());
        const auto drawn =
            rasteriser.try_render({(*mesh)->vertices3d, estimator->triangles(), (*mesh)->colours}, (*mesh)->projection, 40, 30);
        if (!drawn) return drawn.error();
        return true;
    };
    int points = 0, wrong = 0;
    bool done = false;
    for (long allowed = 0; !done && allowed < 100000; allowed += allowed / (retinaface_test::trimmed() ? 2 : 8) + 1, ++points) {
        rf::Result<bool> found = true;
        {
            const retinaface_test::FailingAllocations failing(allowed);
            found = attempt();
        }
        done = found.has_value();
        wrong += !done && found.error().code() != rf::ErrorCode::out_of_memory;
    }
    CHECK(done);
    CHECK(wrong == 0);
    CHECK(points > 10);

    // Memory that comes back is used again.
    rf::MeshDecoder decoder(rf::default_mesh_weights(), isa());
    const std::vector<float> latents(3 * 128, 0.2f);
    bool failed = false;
    {
        const retinaface_test::FailingAllocations failing(2);
        failed = !decoder.try_decode(latents).has_value();
    }
    CHECK(failed);
    const std::vector<float> last(shipped().decode(latents)[2].vertices.begin(), shipped().decode(latents)[2].vertices.end());
    CHECK(decoder.decode(latents)[2].vertices.size() == last.size());
    CHECK(std::abs(decoder.decode(latents)[2].vertices[100] - last[100]) < 1e-4f);
}

TEST_CASE("sparse matrices are checked") {
    const auto message = [](rf::Csr csr) {
        try {
            csr.validate("level0.laplacian");
        } catch (const rf::Error& error) {
            return std::string(error.what());
        }
        return std::string("none");
    };
    CHECK(message({2, 3, {0, 1, 2}, {0, 2}, {1, 1}}) == "none");
    CHECK(message({2, 3, {0, 1, 2}, {0, 3}, {1, 1}}) == "mesh: level0.laplacian: row 1: expected columns below 3, found 3");
    CHECK(message({1, 3, {0, 2}, {1, 1}, {1, 1}}) == "mesh: level0.laplacian: row 0: columns must ascend, found 1 behind 1");
    CHECK(message({2, 3, {0, 2, 1}, {0}, {1}}) == "mesh: level0.laplacian: row 1 has a negative length");
    CHECK(message({2, 3, {0, 1}, {0}, {1}}) == "mesh: level0.laplacian: expected 2 rows");
}

TEST_CASE("a triangle: exact coverage, depth, inclusive edges") {
    rf::Rasteriser rasteriser(isa());
    for (const float size : {7.0f, 60.0f}) {  // by edges, by spans
        const std::vector<float> vertices{1.5f, -1.5f, 2, 1.5f + size, -1.5f, 2 + size, 1.5f, -1.5f - size, 2};
        const std::vector<std::int32_t> triangles{0, 1, 2};
        const rf::Rendering& r = rasteriser.render({vertices, triangles}, identity_projection(), 80, 70);
        int wrong = 0;
        double worst = 0;
        for (int y = 0; y < 70; ++y)
            for (int x = 0; x < 80; ++x) {
                const auto cx = static_cast<float>(x) + 0.5f, cy = static_cast<float>(y) + 0.5f;
                const bool inside = cx >= 1.5f && cy >= 1.5f && cx - 1.5f + cy - 1.5f <= size;
                const auto i = static_cast<std::size_t>(80 * y + x);
                wrong += (r.mask[i] == 1) != inside;
                if (inside) worst = std::max(worst, static_cast<double>(std::abs(r.depth[i] + 2 + cx - 1.5f)));
                if (!inside) wrong += r.depth[i] != std::numeric_limits<float>::infinity() || r.triangles[i] != -1;
            }
        CHECK(wrong == 0);
        CHECK(worst < 1e-4);
    }
}

TEST_CASE("a sphere in perspective: silhouette within a pixel, depth, normals and shading") {
    std::vector<float> vertices;
    std::vector<std::int32_t> triangles;
    sphere(400, vertices, triangles);
    rf::Camera camera;
    camera.location = {0, 0, 5};
    camera.focal_length = 300;
    rf::Light light{{0, 0, 50}, {1, 0.5f, 0}, {0.25f, 0, 0}};
    rf::Rasteriser rasteriser(isa());
    const rf::Rendering& r = rasteriser.render({vertices, triangles}, camera.projection(160, 160), 160, 160, light, {true, true});
    int wrong = 0;
    double worst_depth = 0, worst_normal = 0, worst_colour = 0;
    for (int y = 0; y < 160; ++y) {
        for (int x = 0; x < 160; ++x) {
            const double u = (x + 0.5 - 80) / 300, v = -(y + 0.5 - 80) / 300;  // the ray (u, v, -1) from (0, 0, 5)
            const double a = u * u + v * v + 1, b = -5, c = 24, root = b * b - a * c;
            const double limb = 300 * std::sqrt(u * u + v * v) - 300 / std::sqrt(24.0);
            const auto i = static_cast<std::size_t>(160 * y + x);
            if (std::abs(limb) > 1) wrong += (r.mask[i] == 1) != (root > 0);
            if (limb > -4 || root <= 0) continue;
            const double t = (-b - std::sqrt(root)) / a;
            const double n[3] = {t * u, t * v, 5 - t};
            worst_depth = std::max(worst_depth, std::abs(static_cast<double>(r.depth[i]) - t));
            for (std::size_t k = 0; k < 3; ++k) {
                worst_normal = std::max(worst_normal, std::abs(static_cast<double>(r.normals[3 * i + k]) - n[k]));
                worst_normal = std::max(worst_normal, std::abs(static_cast<double>(r.coordinates[3 * i + k]) - n[k]));
            }
            const double l[3] = {-n[0], -n[1], 50 - n[2]},
                         lambert = (l[0] * n[0] + l[1] * n[1] + l[2] * n[2]) / std::sqrt(l[0] * l[0] + l[1] * l[1] + l[2] * l[2]);
            worst_colour = std::max(worst_colour, std::abs(static_cast<double>(r.colours[3 * i]) - 0.8 * (0.25 + lambert)));
            worst_colour = std::max(worst_colour, std::abs(static_cast<double>(r.colours[3 * i + 1]) - 0.8 * 0.5 * lambert));
        }
    }
    CHECK(wrong == 0);
    CHECK(worst_depth < 1e-4);
    CHECK(worst_normal < 5e-3);
    CHECK(worst_colour < 5e-3);
}

TEST_CASE("the same image on every set; hostile triangles are harmless") {
    rf::Rasteriser rasteriser(isa()), reference(rf::Isa::reference);
    std::mt19937 random(11);
    const int count = retinaface_test::trimmed() ? 5000 : 100000;
    std::vector<float> vertices;
    std::vector<std::int32_t> triangles;
    std::uniform_real_distribution<float> near(-20, 90), z(-5, 60);
    for (int i = 0; i < 3 * count; ++i) {
        const auto kind = static_cast<unsigned>(random() % 40);
        float scale = kind == 0   ? 1e6f
                      : kind == 1 ? 1e20f
                      : kind == 2 ? 30.0f
                      : kind == 3 ? std::numeric_limits<float>::infinity()
                                  : 1.0f;
        if (kind == 4) scale = std::numeric_limits<float>::quiet_NaN();
        if (kind == 5) scale = 0;
        for (int c = 0; c < 3; ++c) vertices.push_back((c == 2 ? z(random) : near(random)) * scale);
        triangles.push_back(i % 3 == 0 || kind > 8 ? i : static_cast<std::int32_t>(random() % static_cast<unsigned>(i)));
    }
    const auto same = [](const auto& x, const auto& y) {
        return x.size() == y.size() && std::memcmp(x.data(), y.data(), x.size() * sizeof(x[0])) == 0;
    };
    // Of overflow comes NaN, of either sign.
    const auto same_or_nan = [](rf::Span<const float> x, rf::Span<const float> y) {
        bool alike = x.size() == y.size();
        for (std::size_t i = 0; alike && i < x.size(); ++i)
            alike = std::memcmp(&x[i], &y[i], sizeof x[i]) == 0 || (std::isnan(x[i]) && std::isnan(y[i]));
        return alike;
    };
    rf::Projection p = identity_projection();
    p.rows[1][1] = 1;
    p.rows[2] = {0, 0, 1, 10};
    p.near = 2;
    for (const bool perspective : {false, true}) {
        p.perspective = perspective;
        p.rows[0][2] = perspective ? 20.0f : 0.0f;
        const rf::MeshView mesh{vertices, triangles};
        const rf::Rendering& a = rasteriser.render(mesh, p, 67, 53);
        const rf::Rendering& b = reference.render(mesh, p, 67, 53);
        CHECK(same(a.mask, b.mask));
        CHECK(same(a.triangles, b.triangles));
        CHECK(same(a.depth, b.depth));
        for (const auto member : {&rf::Rendering::normals, &rf::Rendering::coordinates, &rf::Rendering::colours})
            CHECK(same_or_nan(a.*member, b.*member));
    }
    // Triangles of 1 to 17 pixels a side, with corners on pixel centres and without; edges of the image, too, and of the largest one.
    vertices.clear();
    triangles.clear();
    for (int i = 0; i < 3 * 4000; ++i) {
        const float side = static_cast<float>(1 + i / 3 % 17), at = static_cast<float>(i / 3 % 89) - 8;
        const float offset = i / 3 % 3 == 0 ? 0.5f : near(random) / 100;
        vertices.push_back((i / 3 % 5 == 0 ? 65500.0f : 0) + at + (i % 3 == 1 ? side : 0) + offset);
        vertices.push_back(std::floor(near(random) / 8) + (i % 3 == 2 ? side : 0) + offset);
        vertices.push_back(z(random));
        triangles.push_back(i);
    }
    p = identity_projection();
    p.rows[1][1] = 1;
    for (const int width : {65536, 70, 3}) {
        for (const bool cull : {false, true}) {
            const rf::Rendering& a = rasteriser.render({vertices, triangles}, p, width, 16, {}, {cull, true});
            const rf::Rendering& b = reference.render({vertices, triangles}, p, width, 16, {}, {cull, true});
            CHECK(same(a.triangles, b.triangles));
            for (const auto member :
                 {&rf::Rendering::depth, &rf::Rendering::normals, &rf::Rendering::coordinates, &rf::Rendering::colours})
                CHECK(same_or_nan(a.*member, b.*member));
        }
    }
    // The shipped mesh, with everything; from near, too, where triangles are large.
    const std::vector<float> latent(128, 0.3f);
    const rf::DecodedMesh face = shipped().decode(latent)[0];
    rf::Camera camera;
    camera.location = {20, 5, 60};
    camera.focal_length = 300;
    const rf::MeshView mesh{face.vertices, shipped().triangles(), face.colours};
    for (const float focal_length : {300.0f, 5000.0f}) {
        camera.focal_length = focal_length;
        const rf::Rendering& a = rasteriser.render(mesh, camera.projection(131, 128), 131, 128);
        const rf::Rendering& b = reference.render(mesh, camera.projection(131, 128), 131, 128);
        for (const auto member :
             {&rf::Rendering::depth, &rf::Rendering::normals, &rf::Rendering::coordinates, &rf::Rendering::colours})
            CHECK(same(a.*member, b.*member));
    }

    std::vector<std::int32_t> bad{0, 1, 3};
    const std::vector<float> three(9, 1.0f);
    CHECK_THROWS_WITH_AS(rasteriser.render({three, bad}, p, 8, 8), "rasteriser: triangles: expected indices below 3, found 3",
                         rf::Error);
    CHECK_THROWS_AS(rasteriser.render({three, {}}, p, 0, 8), rf::Error);
}

TEST_CASE("pixel loss is equation 3") {
    const std::vector<float> vertices{0, 0, 0, 20, 0, 0, 0, -20, 0};
    const std::vector<std::int32_t> triangles{0, 1, 2};
    rf::Rasteriser rasteriser(rf::Isa::reference);
    const rf::Rendering& r =
        rasteriser.render({vertices, triangles}, identity_projection(), 4, 4, {{0, 0, 1e6f}, {0, 0, 0}, {0.5f, 0.5f, 0.5f}});
    std::vector<std::uint8_t> pixels(3 * 16, 0);
    CHECK(rf::pixel_loss(r, {pixels.data(), 4, 4}) == doctest::Approx(3 * 0.4));
    CHECK_THROWS_AS(rf::pixel_loss(r, {pixels.data(), 2, 4}), rf::Error);
}

TEST_CASE("poses: the convention, there and back") {
    for (const rf::Pose pose :
         {rf::Pose{0, 0, 0}, rf::Pose{60, 0, 0}, rf::Pose{0, 30, 0}, rf::Pose{0, 0, 45}, rf::Pose{-50, 25, -100}}) {
        const rf::Pose back = rf::pose_of(rf::rotation_of(pose));
        CHECK(back.yaw == doctest::Approx(pose.yaw).epsilon(1e-5));
        CHECK(back.pitch == doctest::Approx(pose.pitch).epsilon(1e-5));
        CHECK(back.roll == doctest::Approx(pose.roll).epsilon(1e-5));
    }
    // The nose (z) goes to the right and up, the crown (y) to the right.
    CHECK(rf::rotation_of({30, 0, 0})[2] > 0.4);
    CHECK(rf::rotation_of({0, 30, 0})[5] > 0.4);
    CHECK(rf::rotation_of({0, 0, 30})[1] > 0.4);
}

TEST_CASE("pose from five points of heads with known poses; mirrored points give mirrored poses") {
    rf::MeshEstimator estimator(rf::default_mesh_weights(), isa());
    std::mt19937 random(5);
    std::normal_distribution<float> normal;
    for (const bool neutral : {true, false}) {
        double sum = 0;
        int count = 0;
        for (const float yaw : {-60.0f, -30.0f, 0.0f, 30.0f, 60.0f}) {
            for (const float pitch : {-30.0f, 0.0f, 30.0f}) {
                for (const float roll : {-45.0f, 0.0f, 45.0f}) {
                    std::vector<float> latent(128, 0.0f);
                    if (!neutral)
                        for (float& v : latent) v = normal(random);
                    const rf::Pose pose{yaw, pitch, roll};
                    const rf::DecodedMesh mesh = shipped().decode(latent)[0];
                    const std::array<rf::Point, 5> points = five_points(mesh.vertices, pose, 70);
                    const rf::Pose found = estimator.estimate_pose(points);
                    sum += static_cast<double>(std::abs(found.yaw - yaw) + std::abs(found.pitch - pitch) +
                                               std::abs(found.roll - roll)) /
                           3;
                    ++count;
                    std::array<rf::Point, 5> mirrored{points[1], points[0], points[2], points[4], points[3]};
                    for (rf::Point& p : mirrored) p.x = 600 - p.x;
                    const rf::Pose other = estimator.estimate_pose(mirrored);
                    CHECK(std::abs(other.yaw + found.yaw) < 1.5f);
                    CHECK(std::abs(other.pitch - found.pitch) < 1.5f);
                    CHECK(std::abs(other.roll + found.roll) < 1.5f);
                }
            }
        }
        MESSAGE("pose from five points, ", std::string(neutral ? "mean head" : "random heads and expressions"), ": mean error ",
                sum / count, " degrees");
        CHECK(sum / count < (neutral ? 3.0 : 3.5));
    }
    std::array<rf::Point, 5> same{};
    CHECK_THROWS_AS(estimator.estimate_pose(same), rf::Error);
    same[3].x = std::numeric_limits<float>::quiet_NaN();
    CHECK_THROWS_AS(estimator.estimate_pose(same), rf::Error);
}

TEST_CASE("a dense head's outputs go through the same mesh") {
    rf::MeshEstimator estimator(rf::default_mesh_weights(), isa());
    rf::DenseOutputs outputs;
    outputs.camera.location = {80 * 0.5f, 0, 80 * 0.8660254f};
    outputs.camera.focal_length = 400;
    outputs.crop = {10, 20, 210, 220};
    const rf::Mesh& mesh = estimator.estimate({}, outputs);
    // The camera stands at the face's left by 30 degrees: it sees the face turned to the other side.
    CHECK(mesh.pose.yaw == doctest::Approx(-30).epsilon(1e-3));
    CHECK(mesh.pose.pitch == doctest::Approx(0).epsilon(1e-3));
    CHECK(mesh.landmarks68[30][0] > 10);
    CHECK(mesh.landmarks68[30][0] < 210);
    // Depth in pixels, as across: eyes' outer corners lie as far apart in space as in the model.
    const auto apart = [](auto a, auto b) {
        double squares = 0;
        for (std::size_t c = 0; c < 3; ++c) squares += std::pow(static_cast<double>(a[c] - b[c]), 2);
        return std::sqrt(squares);
    };
    const auto vertex = [&](std::size_t i) {
        return mesh.vertices3d.data() + 3 * static_cast<std::size_t>(estimator.decoder().landmarks68()[i]);
    };
    const double pixels = 400.0 / outputs.camera.distance();
    CHECK(apart(mesh.landmarks68[36], mesh.landmarks68[45]) ==
          doctest::Approx(pixels * apart(vertex(36), vertex(45))).epsilon(0.15));
    outputs.crop = {};
    CHECK_THROWS_AS(estimator.estimate({}, outputs), rf::Error);
    outputs.crop = {10, 20, 210, 220};
    outputs.shape_texture[3] = std::numeric_limits<float>::infinity();
    CHECK_THROWS_AS(estimator.estimate({}, outputs), rf::Error);
}

TEST_CASE("a mesh head's correction takes the fit to five points further") {
    rf::MeshEstimator estimator(rf::default_mesh_weights(), isa());
    // Where a mesh of known numbers, seen by a known camera, has its five points.
    rf::Face face;
    face.landmarks = {{{100, 110}, {150, 112}, {127, 140}, {107, 165}, {146, 166}}};
    const rf::Pose plain = estimator.estimate_pose(face.landmarks);
    const auto said = [] {
        rf::MeshCorrection correction;
        correction.known = true;
        return correction;
    };
    CHECK(estimator.estimate({}, face, rf::MeshCorrection()).latent[0] != 0);
    const rf::MeshCorrection none = said();
    const rf::Mesh mean = estimator.estimate({}, face, none);
    CHECK(mean.pose.yaw == doctest::Approx(plain.yaw).epsilon(1e-6));
    CHECK(std::all_of(mean.latent.begin(), mean.latent.end(), [](float z) { return z == 0; }));
    const std::array<std::array<float, 3>, 68> before = mean.landmarks68;
    const auto middle = [](const std::array<std::array<float, 3>, 68>& points) {
        std::array<double, 2> sum{};
        for (const auto& p : points)
            for (std::size_t c = 0; c < 2; ++c) sum[c] += static_cast<double>(p[c]) / 68;
        return sum;
    };
    const auto width = [](const std::array<std::array<float, 3>, 68>& points) {
        return static_cast<double>(points[16][0] - points[0][0]);
    };

    SUBCASE("shape") {
        rf::MeshCorrection c = said();
        c.shape[0] = 2;
        c.shape[5] = -100;  // of at most four deviations
        const rf::Mesh& mesh = estimator.estimate({}, face, c);
        CHECK(mesh.latent[0] == 2);
        CHECK(mesh.latent[5] == -4);
        CHECK(mesh.pose.yaw == doctest::Approx(plain.yaw).epsilon(1e-6));
    }
    SUBCASE("a turn about the upward axis is yaw") {
        rf::MeshCorrection c = said();
        c.camera[1] = 0.1f;
        CHECK(estimator.estimate({}, face, c).pose.yaw - mean.pose.yaw == doctest::Approx(0.1 * 180 / 3.14159265).epsilon(0.03));
        CHECK(estimator.estimate_pose(face.landmarks, c).yaw ==
              doctest::Approx(estimator.estimate({}, face, c).pose.yaw).epsilon(1e-6));
    }
    SUBCASE("scale") {
        rf::MeshCorrection c = said();
        c.camera[3] = std::log(1.25f);
        CHECK(width(estimator.estimate({}, face, c).landmarks68) == doctest::Approx(1.25 * width(before)).epsilon(1e-3));
    }
    SUBCASE("a shift, in the face's own size") {
        rf::MeshCorrection c = said();
        c.camera[4] = 2;
        c.camera[5] = -1;
        const auto moved = middle(estimator.estimate({}, face, c).landmarks68), still = middle(before);
        const double x = moved[0] - still[0], y = moved[1] - still[1];
        CHECK(x == doctest::Approx(-2 * y).epsilon(1e-3));
        // A head is some 14 cm wide.
        CHECK(x == doctest::Approx(2 * width(before) / 14).epsilon(0.25));
    }
    SUBCASE("what is not finite is an error") {
        for (const float wrong : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), 1e30f}) {
            rf::MeshCorrection c = said();
            c.shape[47] = wrong;
            CHECK_THROWS_AS(estimator.estimate({}, face, c), rf::Error);
            CHECK_FALSE(estimator.try_estimate_pose(face.landmarks, c).has_value());
            c = said();
            c.camera[5] = wrong;
            CHECK_FALSE(estimator.try_estimate({}, face, c).has_value());
        }
    }
}
