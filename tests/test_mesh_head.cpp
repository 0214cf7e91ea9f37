// What a mesh head says of a detector's faces (MeshCorrection), against plain loops over the features that reference kernels make. What a mesh
// becomes by it: test_mesh.cpp. One ctest entry a kernel set.

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "images.hpp"
#include "network_input.hpp"
#include "retinaface.hpp"
#include "retinaface/passes/trace.hpp"
#include "support/isa_under_test.hpp"
#include "weights_files.hpp"

namespace {

using namespace retinaface_test;
using namespace retinaface;

/// The seeded weights with a mesh head of random numbers.
Weights with_mesh_head() {
    EditableWeights edit(seeded_weights());
    Random random(5);
    for (const char* level : {"p3", "p4", "p5"}) {
        for (const bool bias : {false, true}) {
            Tensor tensor;
            tensor.name = std::string("head.") + level + (bias ? ".mesh.bias" : ".mesh.weight");
            tensor.dtype = Tensor::Dtype::f32;
            tensor.shape = bias ? std::vector<std::int64_t>{54} : std::vector<std::int64_t>{54, 64, 1, 1};
            tensor.values.resize(bias ? 54 : 54 * 64);
            for (float& value : tensor.values) value = random.uniform(-1, 1);
            edit.tensors.push_back(std::move(tensor));
        }
    }
    return edit.weights();
}

TEST_CASE("a mesh head says something of every face") {
    const Weights weights = with_mesh_head();
    Options options;
    options.isa = isa_under_test();
    options.score_threshold = 0.02f;
    const Picture picture = random_picture(200, 150, 3);
    const Detector detector(weights, options);
    note_isa(detector.isa());
    Workspace workspace;
    CHECK(detector.mesh_corrections(workspace).empty());

    // Every cell's, from the features that reference kernels make, by plain loops.
    const models::RetinaFace<models::MobileNet025> network(weights, kBiubug6Profile, Isa::reference);
    std::vector<std::vector<double>> cells;
    passes::trace(network, pixels_of(picture.view(), kBiubug6Profile), [&](const std::string& name, const layers::Map& map) {
        if (name.size() != 10 || name.rfind("context.p", 0) != 0) return;
        const std::string head = "head." + name.substr(8) + ".mesh.";
        const std::vector<float>&w = weights.find(head + "weight")->values, &b = weights.find(head + "bias")->values;
        for (int i = 0; i < map.pixels(); ++i) {
            std::vector<double> row;
            for (std::size_t o = 0; o < b.size(); ++o) {
                double sum = static_cast<double>(b[o]);
                for (std::size_t c = 0; c < 64; ++c)
                    sum +=
                        static_cast<double>(w[64 * o + c]) * static_cast<double>(map.data[i * map.pitch + static_cast<int>(c)]);
                row.push_back(sum);
            }
            cells.push_back(std::move(row));
        }
    });

    const std::vector<float> logits = [&] {
        const Span<const float> found = detector.forward(picture.view(), workspace).class_logits;
        return std::vector<float>(found.begin(), found.end());
    }();
    CHECK(detector.mesh_corrections(workspace).empty());  // the faces of no detect()
    REQUIRE(logits.size() == 4 * cells.size());
    const Span<const Face> faces = detector.detect(picture.view(), workspace);
    REQUIRE(faces.size() > 5);
    const Span<const MeshCorrection> corrections = detector.mesh_corrections(workspace);
    REQUIRE(corrections.size() == faces.size());
    for (std::size_t i = 0; i < faces.size(); ++i) {
        // The face's anchor has its score.
        std::size_t anchor = 0;
        double nearest = 1;
        for (std::size_t a = 0; a < logits.size() / 2; ++a) {
            const double score = 1 / (1 + std::exp(static_cast<double>(logits[2 * a] - logits[2 * a + 1])));
            if (std::abs(score - static_cast<double>(faces[i].score)) < nearest) {
                nearest = std::abs(score - static_cast<double>(faces[i].score));
                anchor = a;
            }
        }
        REQUIRE(nearest < 1e-5);
        const std::vector<double>& expected = cells[anchor / 2];
        double most = 0, peak = 0;
        for (std::size_t k = 0; k < expected.size(); ++k) {
            const float found = k < 48 ? corrections[i].shape[k] : corrections[i].camera[k - 48];
            most = std::max(most, std::abs(static_cast<double>(found) - expected[k]));
            peak = std::max(peak, std::abs(expected[k]));
        }
        CHECK(corrections[i].known);
        CHECK(most < 1e-4 * peak);
    }

    // Without a workspace: the same, of one picture, of pictures side by side, and of one that is left over.
    const auto is_same = [&](const std::vector<MeshCorrection>& found) {
        REQUIRE(found.size() == corrections.size());
        for (std::size_t i = 0; i < found.size(); ++i) {
            CHECK(found[i].shape == corrections[i].shape);
            CHECK(found[i].camera == corrections[i].camera);
        }
    };
    // What was moved from knows nothing, what took its place everything.
    Workspace first;
    detector.detect(picture.view(), first);
    Workspace second = std::move(first);
    for (const MeshCorrection& correction : detector.mesh_corrections(first)) CHECK_FALSE(correction.known);
    const Span<const MeshCorrection> moved = detector.mesh_corrections(second);
    is_same({moved.begin(), moved.end()});
    std::vector<MeshCorrection> one;
    CHECK(detector.detect(picture.view(), one).size() == faces.size());
    is_same(one);
    options.threads = 2;
    const Detector side_by_side(weights, options);
    const ImageView views[3] = {picture.view(), picture.view(), picture.view()};
    std::vector<std::vector<MeshCorrection>> batch(7);
    CHECK(side_by_side.try_detect(Span<const ImageView>(views, 3), batch).value().size() == 3);
    REQUIRE(batch.size() == 3);
    for (const std::vector<MeshCorrection>& found : batch) is_same(found);

    // Another detector's faces, faces of several looks, and weights without such a head.
    const auto knows_nothing = [](Span<const MeshCorrection> found, std::size_t count) {
        CHECK(found.size() == count);
        for (const MeshCorrection& correction : found) CHECK_FALSE(correction.known);
    };
    knows_nothing(Detector(weights, options).mesh_corrections(workspace), faces.size());
    CHECK(detector.try_mesh_corrections(workspace).has_value());
    options.flip = true;
    const Detector mirrored(weights, options);
    const std::size_t twice = mirrored.detect(picture.view(), workspace).size();
    CHECK(twice > 0);
    knows_nothing(mirrored.mesh_corrections(workspace), twice);
    options.flip = false;
    const Detector plain(seeded_weights(), options);
    const Span<const Face> same = plain.detect(picture.view(), workspace);
    knows_nothing(plain.mesh_corrections(workspace), same.size());
    CHECK(plain.detect(picture.view(), one).size() == one.size());

    EditableWeights half(weights);
    half.remove("head.p4.mesh.bias");
    CHECK(Detector::create(half.weights(), options).error().code() == ErrorCode::mismatch);
}

TEST_CASE("the self-test looks at the mesh head") {
    Options options;
    options.isa = isa_under_test();
    const auto tested = [&](const EditableWeights& edit) { return Detector(edit.weights(), options).self_test(); };
    EditableWeights edit(Weights::from_embedded(embedded::kDefaultWeights));
    CHECK(tested(edit).passed);
    for (const char* level : {"p3", "p4", "p5"}) {
        EditableWeights other = edit;
        other.tensor(std::string("head.") + level + ".mesh.bias").values[53] += 0.01f;
        CHECK_FALSE(tested(other).passed);
        CHECK(tested(other).max_difference == doctest::Approx(0.01).epsilon(0.02));
    }

    Tensor& last = edit.tensor("selftest.mesh.3");
    last.shape = {2, 54};
    last.values.resize(2 * 54);
    const Result<SelfTest> short_of_a_level = Detector(edit.weights(), options).try_self_test();
    REQUIRE_FALSE(short_of_a_level);
    CHECK(short_of_a_level.error().code() == ErrorCode::mismatch);
    CHECK(std::string(short_of_a_level.error().what()).find("'selftest.mesh.3': expected 162 values, found 108") !=
          std::string::npos);
    for (const char* index : {"", ".2", ".3"}) edit.remove(std::string("selftest.mesh") + index);
    CHECK(tested(edit).passed);  // a file of before
}

}  // namespace
