// The landmark refiner against naive loops in double, and meshes fitted to 68 landmarks.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "retinaface/mesh.hpp"
#include "support/allocations.hpp"
#include "support/isa_under_test.hpp"
#include "support/trim.hpp"

namespace rf = retinaface;

namespace {

rf::Isa isa() { return retinaface_test::noted_isa_under_test(); }

struct Block {
    int in, out, stride;
};
constexpr Block kBlocks[] = {{3, 16, 2},  {16, 32, 2},  {32, 64, 1},   {64, 64, 2}, {64, 96, 1},
                             {96, 96, 1}, {96, 128, 2}, {128, 128, 1}, {128, 8, 1}};

/// A file of the network with values from `value(tensor, index)` and this mean shape, [68][2].
template <class Value>
rf::Weights refiner_file(Value&& value, const std::vector<float>& mean) {
    std::vector<rf::Tensor> tensors;
    const auto add = [&](const std::string& name, std::vector<std::int64_t> shape) {
        std::size_t size = 1;
        for (const std::int64_t side : shape) size *= static_cast<std::size_t>(side);
        rf::Tensor tensor{name, rf::Tensor::Dtype::f32, std::move(shape), std::vector<float>(size), {}};
        for (float& v : tensor.values) v = value(name, size);
        tensors.push_back(std::move(tensor));
    };
    for (std::size_t i = 0; i < std::size(kBlocks); ++i) {
        const Block& b = kBlocks[i];
        const std::string name = "layer" + std::to_string(i);
        if (i == 0) {
            add(name + ".weight", {b.out, b.in, 3, 3});
            add(name + ".bias", {b.out});
        } else {
            add(name + ".depthwise.weight", {b.in, 1, 3, 3});
            add(name + ".depthwise.bias", {b.in});
            add(name + ".pointwise.weight", {b.out, b.in, 1, 1});
            add(name + ".pointwise.bias", {b.out});
        }
    }
    add("fc.weight", {136, 7 * 7 * 8});
    add("fc.bias", {136});
    tensors.push_back({"mean", rf::Tensor::Dtype::f32, {68, 2}, mean, {}});
    return rf::Weights::from_tensors({{"format", "retinaface-refiner-2"}, {"architecture", "landmarks68"}}, std::move(tensors));
}

using Maps = std::vector<double>;  // [channels][side][side]

/// A 3 x 3 convolution of `groups` 1 or as many as channels, or a 1 x 1, then ReLU.
Maps convolved(const Maps& in, int side, const rf::Weights& weights, const std::string& name, int channels, int stride,
               bool depthwise) {
    const rf::Tensor &w = *weights.find(name + ".weight"), &bias = *weights.find(name + ".bias");
    const int out_channels = static_cast<int>(w.shape[0]), kernel = static_cast<int>(w.shape[2]),
              made = (side + stride - 1) / stride;
    Maps out;
    for (int o = 0; o < out_channels; ++o)
        for (int y = 0; y < made; ++y)
            for (int x = 0; x < made; ++x) {
                double sum = static_cast<double>(bias.values[static_cast<std::size_t>(o)]);
                for (int c = 0; c < (depthwise ? 1 : channels); ++c)
                    for (int ky = 0; ky < kernel; ++ky)
                        for (int kx = 0; kx < kernel; ++kx) {
                            const int iy = y * stride + ky - kernel / 2, ix = x * stride + kx - kernel / 2;
                            if (iy < 0 || ix < 0 || iy >= side || ix >= side) continue;
                            const int from = depthwise ? o : c;
                            sum += in[static_cast<std::size_t>((from * side + iy) * side + ix)] *
                                   static_cast<double>(w.values[static_cast<std::size_t>(
                                       ((o * static_cast<int>(w.shape[1]) + c) * kernel + ky) * kernel + kx)]);
                        }
                out.push_back(sum > 0 ? sum : 0);
            }
    return out;
}

/// The network's 136 numbers for a crop of 112 x 112, rgb8.
std::vector<double> naive(const rf::Weights& weights, const std::vector<std::uint8_t>& crop) {
    int side = 112;
    Maps maps;
    for (std::size_t c = 0; c < 3; ++c)
        for (std::size_t i = 0; i < static_cast<std::size_t>(side * side); ++i) maps.push_back(crop[3 * i + c] - 127.5);
    for (std::size_t i = 0; i < std::size(kBlocks); ++i) {
        const Block& b = kBlocks[i];
        const std::string name = "layer" + std::to_string(i);
        if (i == 0) {
            maps = convolved(maps, side, weights, name, b.in, b.stride, false);
            side /= b.stride;
        } else {
            maps = convolved(maps, side, weights, name + ".depthwise", b.in, b.stride, true);
            side /= b.stride;
            maps = convolved(maps, side, weights, name + ".pointwise", b.in, 1, false);
        }
    }
    const rf::Tensor &w = *weights.find("fc.weight"), &bias = *weights.find("fc.bias");
    std::vector<double> out;
    for (std::size_t o = 0; o < 136; ++o) {
        double sum = static_cast<double>(bias.values[o]);
        for (std::size_t cell = 0; cell < 49; ++cell)
            for (std::size_t c = 0; c < 8; ++c)
                sum += maps[c * 49 + cell] * static_cast<double>(w.values[(o * 49 + cell) * 8 + c]);
        out.push_back(sum);
    }
    return out;
}

std::vector<float> middle_shape() { return std::vector<float>(136, 56.0f); }

/// A refiner that finds the same places in every crop.
rf::Weights blind(const std::vector<float>& places) {
    return refiner_file([](const std::string&, std::size_t) { return 0.0f; }, places);
}

rf::MeshDecoder& shipped() {
    static rf::MeshDecoder decoder(rf::default_mesh_weights(), isa());
    return decoder;
}

struct Head {
    std::array<rf::Point, 68> landmarks;
    rf::Face face;
};

/// What a camera 1 m away sees of a head.
Head seen(const std::vector<float>& latent, const rf::Pose& pose, double pixels_a_centimetre) {
    const rf::DecodedMesh mesh = shipped().decode(latent)[0];
    const auto r = rf::rotation_of(pose);
    Head head;
    for (std::size_t i = 0; i < 68; ++i) {
        const float* const v = mesh.vertices.data() + 3 * static_cast<std::size_t>(shipped().landmarks68()[i]);
        double q[3];
        for (std::size_t k = 0; k < 3; ++k)
            q[k] = r[3 * k] * static_cast<double>(v[0]) + r[3 * k + 1] * static_cast<double>(v[1]) +
                   r[3 * k + 2] * (static_cast<double>(v[2]) - 5);
        const double w = pixels_a_centimetre * 100 / (100 - q[2]);
        head.landmarks[i] = {static_cast<float>(200 + w * q[0]), static_cast<float>(180 - w * q[1])};
    }
    const auto mean = [&](std::size_t first, std::size_t count) {
        rf::Point p{0, 0};
        for (std::size_t i = first; i < first + count; ++i) {
            p.x += head.landmarks[i].x / static_cast<float>(count);
            p.y += head.landmarks[i].y / static_cast<float>(count);
        }
        return p;
    };
    head.face.landmarks = {mean(36, 6), mean(42, 6), mean(30, 1), mean(48, 1), mean(54, 1)};
    return head;
}

}  // namespace

TEST_CASE("the network is the naive one, at every place of the crop") {
    std::mt19937 random(3);
    std::uniform_real_distribution<float> uniform(-1, 1);
    const rf::Weights weights = refiner_file(
        [&](const std::string& name, std::size_t size) {
            // As wide as keeps values of a size.
            const double fan = name.find("pointwise.weight") != std::string::npos ? 100 : name == "layer0.weight" ? 5e4 : 9;
            return name == "fc.weight" ? 0.02f * uniform(random)
                   : size < 200        ? 0.3f * uniform(random)
                                       : static_cast<float>(std::sqrt(6 / fan)) * uniform(random);
        },
        middle_shape());
    rf::LandmarkRefiner refiner(weights, isa());
    std::vector<std::uint8_t> crop(112 * 112 * 3);
    for (std::uint8_t& v : crop) v = static_cast<std::uint8_t>(random());
    const std::vector<double> expected = naive(weights, crop);
    double worst = 0, largest = 0;
    const std::array<rf::Point, 68> found = refiner.locate({crop.data(), 112, 112}, rf::LandmarkRefiner::kTemplate);
    for (std::size_t i = 0; i < 136; ++i) {
        const double value = static_cast<double>(i % 2 == 0 ? found[i / 2].x : found[i / 2].y);
        worst = std::max(worst, std::abs(value - (56 + 10 * expected[i])));
        largest = std::max(largest, std::abs(10 * expected[i]));
    }
    CHECK(largest > 1);
    CHECK(worst < 1e-4 * (56 + largest));

    // What is found moves with the face: the same crop in a larger picture.
    std::vector<std::uint8_t> picture(300 * 200 * 3);
    for (std::size_t y = 0; y < 112; ++y)
        std::copy_n(crop.begin() + static_cast<std::ptrdiff_t>(336 * y), 336,
                    picture.begin() + static_cast<std::ptrdiff_t>(900 * (y + 40) + 300));
    std::array<rf::Point, 5> five = rf::LandmarkRefiner::kTemplate;
    for (rf::Point& p : five) p = {p.x + 100, p.y + 40};
    const std::array<rf::Point, 68> moved = refiner.locate({picture.data(), 300, 200}, five);
    for (std::size_t i = 0; i < 68; ++i) {
        CHECK(std::abs(moved[i].x - found[i].x - 100) < 0.1f);
        CHECK(std::abs(moved[i].y - found[i].y - 40) < 0.1f);
    }
}

TEST_CASE("a mesh fitted to 68 landmarks is the head that has them") {
    std::mt19937 random(8);
    std::normal_distribution<float> normal;
    const std::vector<std::uint8_t> picture(400 * 360 * 3, 90);
    double worst = 0, turned = 0;
    int count = 0;
    for (const float yaw : {-40.0f, 0.0f, 25.0f}) {
        for (const float pitch : {-20.0f, 10.0f}) {
            if (retinaface_test::trimmed() && count == 2) continue;
            std::vector<float> latent(128, 0.0f);
            for (std::size_t k = 0; k < 40; ++k) latent[k] = normal(random);
            const Head head = seen(latent, {yaw, pitch, 12}, 9);
            const rf::Similarity to_crop = rf::estimate_similarity(head.face.landmarks, rf::LandmarkRefiner::kTemplate);
            std::vector<float> places;
            for (const rf::Point& p : head.landmarks) {
                const rf::Point q = to_crop(p);
                places.insert(places.end(), {q.x, q.y});
            }
            rf::MeshEstimator estimator(rf::default_mesh_weights(), blind(places), isa());
            const rf::Mesh& mesh = estimator.estimate({picture.data(), 400, 360}, head.face);
            for (std::size_t i = 17; i < 68; ++i)
                worst = std::max(worst, static_cast<double>(std::hypot(mesh.landmarks68[i][0] - head.landmarks[i].x,
                                                                       mesh.landmarks68[i][1] - head.landmarks[i].y)));
            turned += static_cast<double>(std::abs(mesh.pose.yaw - yaw) + std::abs(mesh.pose.pitch - pitch) +
                                          std::abs(mesh.pose.roll - 12)) /
                      3;
            ++count;
            // Without a picture there is nothing to look at: the five points alone.
            rf::MeshEstimator plain(rf::default_mesh_weights(), isa());
            CHECK(estimator.estimate({}, head.face).pose.yaw == plain.estimate({}, head.face).pose.yaw);
        }
    }
    MESSAGE("mean error of the pose ", turned / count, " degrees; landmarks at most ", worst, " pixels of a face of 130");
    CHECK(turned / count < 2);
    CHECK(worst < 2.5);
}

TEST_CASE("landmarks that do not improve the fit do not count, nor do those of a face beside the picture") {
    const std::vector<std::uint8_t> picture(300 * 200 * 3, 90);
    rf::MeshEstimator plain(rf::default_mesh_weights(), isa());
    const auto refined = [&](const std::vector<float>& places, const rf::Face& face) {
        rf::MeshEstimator estimator(rf::default_mesh_weights(), blind(places), isa());
        const rf::Mesh& mesh = estimator.estimate({picture.data(), 300, 200}, face);
        return std::vector<float>(mesh.projected.begin(), mesh.projected.end());
    };
    const auto of_five = [&](const rf::Face& face) {
        const rf::Mesh& mesh = plain.estimate({picture.data(), 300, 200}, face);
        return std::vector<float>(mesh.projected.begin(), mesh.projected.end());
    };
    rf::Face face;
    face.landmarks = {{{120, 80}, {160, 82}, {141, 100}, {125, 120}, {157, 121}}};
    std::vector<float> wild = middle_shape();
    for (float& v : wild) v *= 1e30f;
    CHECK(refined(wild, face) == of_five(face));
    std::vector<float> shape = middle_shape();
    for (std::size_t i = 0; i < 136; ++i) shape[i] += 20 * std::sin(static_cast<float>(i));
    CHECK(refined(shape, face) != of_five(face));
    for (rf::Point& p : face.landmarks) p.x += 1000;
    CHECK(refined(shape, face) == of_five(face));
}

TEST_CASE("refining allocates nothing at a size seen, and its errors have forms that do not throw") {
    std::vector<float> places = middle_shape();
    for (std::size_t i = 0; i < 136; ++i) places[i] += 20 * std::sin(static_cast<float>(i));
    const rf::Weights weights = blind(places);
    rf::MeshEstimator estimator(rf::default_mesh_weights(), weights, isa());
    const std::vector<std::uint8_t> picture(300 * 200 * 3, 90);
    rf::Face face;
    face.landmarks = {{{120, 80}, {160, 82}, {141, 100}, {125, 120}, {157, 121}}};
    const auto once = [&] { estimator.estimate({picture.data(), 300, 200}, face); };
    CHECK(retinaface_test::allocations_of(once) > 0);
    face.landmarks[1].y += 2;
    CHECK(retinaface_test::allocations_of(once) == 0);

    static_assert(noexcept(rf::LandmarkRefiner::create(weights)));
    static_assert(noexcept(rf::MeshEstimator::create(weights, weights)));
    rf::LandmarkRefiner refiner(weights, isa());
    static_assert(noexcept(refiner.try_locate({}, face.landmarks)));
    CHECK(refiner.try_locate({picture.data(), 300, 0}, face.landmarks).error().code() == rf::ErrorCode::invalid_argument);
    CHECK(refiner.try_locate({picture.data(), 300, 200}, {}).error().code() == rf::ErrorCode::invalid_argument);
    CHECK(std::string(rf::LandmarkRefiner::create(rf::default_mesh_weights()).error().what()) ==
          "refiner: expected format retinaface-refiner-2, found retinaface-mesh-2");
    std::vector<rf::Tensor> tensors(weights.tensors().begin(), weights.tensors().end());
    tensors.pop_back();
    CHECK(
        std::string(
            rf::LandmarkRefiner::create(rf::Weights::from_tensors({{"format", "retinaface-refiner-2"}}, tensors)).error().what())
            .find("tensor 'mean' is missing") != std::string::npos);
}
