// The official weights against what their original code computes (../shared/golden, made readable by golden_files.py, a fixture of
// ctest). One ctest entry a kernel set; skipped without the files.

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "network_input.hpp"
#include "retinaface/detector.hpp"
#include "retinaface/passes/trace.hpp"
#include "support/isa_under_test.hpp"
#include "support/shared_files.hpp"
#include "support/trim.hpp"

namespace {

using namespace retinaface_test;
using namespace retinaface;

/// A file of the fixture, or nullptr and a skip.
const Weights* golden_file(const std::string& name) {
    static std::map<std::string, Weights> files;
    const auto found = files.find(name);
    if (found != files.end()) return &found->second;
    const std::string path = RETINAFACE_GOLDEN_DIR "/" + name + ".safetensors";
    if (!std::filesystem::exists(path)) {
        skip(path + " is not there: ctest -R golden_files makes it from ../shared with python3 and numpy");
        return nullptr;
    }
    return &files.emplace(name, Weights::load(path)).first->second;
}

Options test_options(float score_threshold) {
    Options options;
    options.isa = isa_under_test();
    options.score_threshold = score_threshold;
    return options;
}

/// Of `all`, as many as the kernels are fast enough for.
std::vector<const char*> pictures(const std::vector<const char*>& all) {
    if (isa_under_test() == Isa::reference) return {"tiny"};
    if (trimmed()) return {"tiny", "crowd"};
    return all;
}

ImageView view_of(const Tensor& image) {
    return {image.bytes.data(), static_cast<int>(image.shape[1]), static_cast<int>(image.shape[0])};
}

float largest_difference(Span<const float> found, const std::vector<float>& expected) {
    REQUIRE(found.size() == expected.size());
    float most = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        const float difference = std::abs(found[i] - expected[i]);
        if (!(difference <= most)) most = difference;
    }
    return most;
}

struct Differences {
    float box = 0, landmark = 0, probability = 0;

    void include(const Differences& other) {
        box = std::max(box, other.box);
        landmark = std::max(landmark, other.landmark);
        probability = std::max(probability, other.probability);
    }
    void print(const char* what) const {
        std::printf("%s, %s: box %.3g, landmark %.3g, probability %.3g\n", what, to_string(resolved(isa_under_test())),
                    static_cast<double>(box), static_cast<double>(landmark), static_cast<double>(probability));
    }
};

/// Raw outputs against a golden file.
Differences compare(const RawOutputs& outputs, const Weights& golden) {
    Differences out;
    out.box = largest_difference(outputs.boxes, golden.find("box")->values);
    out.landmark = largest_difference(outputs.landmarks, golden.find("landmark")->values);
    std::vector<float> probabilities;
    for (std::size_t i = 0; i + 1 < outputs.class_logits.size(); i += 2) {
        const double difference = static_cast<double>(outputs.class_logits[i + 1]) - static_cast<double>(outputs.class_logits[i]);
        probabilities.push_back(static_cast<float>(1 / (1 + std::exp(difference))));
        probabilities.push_back(static_cast<float>(1 / (1 + std::exp(-difference))));
    }
    out.probability = largest_difference({probabilities.data(), probabilities.size()}, golden.find("probability")->values);
    return out;
}

/// Found faces against rows of 15 floats: score, box, landmarks. Where scores differ by more than `tie` the order is theirs.
void check_faces(const std::vector<Face>& found, const std::vector<float>& expected, float tie) {
    REQUIRE(found.size() == expected.size() / 15);
    std::vector<bool> taken(found.size());
    float score = 0, place = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
        const float* row = expected.data() + 15 * i;
        const auto distance = [&](const Face& face) {
            float most = 0;
            const float box[4] = {face.box.x1, face.box.y1, face.box.x2, face.box.y2};
            for (int k = 0; k < 4; ++k) most = std::max(most, std::abs(box[k] - row[1 + k]));
            for (std::size_t k = 0; k < 5; ++k) {
                most = std::max(most, std::abs(face.landmarks[k].x - row[5 + 2 * k]));
                most = std::max(most, std::abs(face.landmarks[k].y - row[6 + 2 * k]));
            }
            return most;
        };
        // The face of the same rank, or one of nearly the same score.
        std::size_t match = i;
        for (std::size_t j = 0; j < found.size(); ++j)
            if (std::abs(expected[15 * j] - row[0]) <= tie && !taken[j] &&
                (taken[match] || distance(found[j]) < distance(found[match])))
                match = j;
        CAPTURE(i);
        CHECK_FALSE(taken[match]);
        taken[match] = true;
        score = std::max(score, std::abs(found[match].score - row[0]));
        place = std::max(place, distance(found[match]));
    }
    CHECK(score <= 2e-5f);
    CHECK(place <= 0.05f);
}

TEST_CASE("biubug6: every raw output and every face is the original's") {
    const Weights* weights = golden_file("biubug6");
    if (weights == nullptr) return;
    Workspace workspace;
    Differences worst;
    std::size_t faces = 0;
    for (const char* picture : pictures({"tiny", "single", "street", "crowd", "group", "five", "astronaut", "vga"})) {
        CAPTURE(std::string(picture));
        const Weights* golden = golden_file(std::string("biubug6_") + picture);
        if (golden == nullptr) return;
        const ImageView image = view_of(*golden->find("image"));
        const Detector detector(*weights, test_options(0.5f));
        note_isa(detector.isa());
        const Differences differences = compare(detector.forward(image, workspace), *golden);
        CHECK(differences.box <= 1e-4f);
        CHECK(differences.landmark <= 1e-4f);
        CHECK(differences.probability <= 2e-5f);
        worst.include(differences);

        const std::vector<float>& expected = golden->find("faces.0.5")->values;
        faces += expected.size() / 15;
        check_faces(detector.detect(image), expected, 2e-5f);
    }
    CHECK(faces > 0);
    worst.print("biubug6");
}

/// insightface's networks; `prefix` of their files.
template <class AnyOf>
void check_insightface_outputs(const std::string& prefix) {
    const Weights* weights = golden_file(prefix);
    if (weights == nullptr) return;
    const AnyOf detector(*weights, test_options(0.5f));
    note_isa(detector.isa());
    Workspace workspace;
    Differences worst;
    for (const char* picture : pictures({"tiny", "crowd", "five", "vga"})) {
        CAPTURE(std::string(picture));
        const Weights* golden = golden_file(prefix + "_" + picture);
        if (golden == nullptr) return;
        const Differences differences = compare(detector.forward(view_of(*golden->find("image")), workspace), *golden);
        CHECK(differences.box <= 1e-4f);
        CHECK(differences.landmark <= 1e-4f);
        CHECK(differences.probability <= 2e-5f);
        worst.include(differences);
    }
    worst.print(prefix.c_str());
}

TEST_CASE("insightface: every raw output is the original's") { check_insightface_outputs<Detector>("insightface"); }

TEST_CASE("insightface's mnet12: every raw output is the original's") {
    check_insightface_outputs<AnyDetector>("insightface_mnet12");
}

/// Name in the weights file of a BatchNorm or activation output that the original calls `act.<module>`; "" for the convolutions
/// before BatchNorm.
std::string canonical_name(const std::string& module) {
    // body.stageS.B.I, fpn.outputL.I, fpn.mergeL.I, sshL.CONV.I, XHead.L.conv1x1
    std::vector<std::string> parts;
    std::size_t from = 0;
    for (std::size_t dot; (dot = module.find('.', from)) != std::string::npos; from = dot + 1)
        parts.push_back(module.substr(from, dot - from));
    parts.push_back(module.substr(from));
    const std::string& last = parts.back();
    if (last == "conv1x1") {
        const std::string level = ".p" + std::to_string(3 + std::stoi(parts[1]));
        return "head" + level + (parts[0] == "ClassHead" ? ".class" : parts[0] == "BboxHead" ? ".box" : ".landmark");
    }
    const int index = std::stoi(last);
    if (index % 3 == 0) return "";
    const std::string what = index % 3 == 1 ? ".norm" : ".activation";
    if (parts[0] == "body") {
        const int stage = parts[1].back() - '1', block = std::stoi(parts[2]);
        if (stage == 0 && block == 0) return "backbone.conv0" + what;
        const int first[3] = {0, 6, 12};
        return "backbone.block" + std::to_string(first[stage] + block) + (index < 3 ? ".depthwise" : ".pointwise") + what;
    }
    const std::string level = ".p" + std::to_string(3 + ((parts[0] == "fpn" ? parts[1] : parts[0]).back() - '1'));
    if (parts[0] == "fpn") return "fpn" + level + (parts[1].rfind("output", 0) == 0 ? ".lateral" : ".merge") + what;
    const std::map<std::string, std::string> convolutions = {{"conv3X3", ".conv3"},
                                                             {"conv5X5_1", ".conv5_1"},
                                                             {"conv5X5_2", ".conv5_2"},
                                                             {"conv7X7_2", ".conv7_2"},
                                                             {"conv7x7_3", ".conv7_3"}};
    return "context" + level + convolutions.at(parts[1]) + what;
}

TEST_CASE("every BatchNorm and activation output is the original's") {
    const Weights *weights = golden_file("biubug6"), *golden = golden_file("biubug6_tiny");
    if (weights == nullptr || golden == nullptr) return;
    const Isa isa = resolved(isa_under_test());
    note_isa(isa);
    const models::RetinaFace<models::MobileNet025> network(*weights, kBiubug6Profile, isa);
    std::map<std::string, const Tensor*> expected;
    for (const Tensor& tensor : golden->tensors())
        if (tensor.name.rfind("act.", 0) == 0)
            if (const std::string name = canonical_name(tensor.name.substr(4)); !name.empty()) expected[name] = &tensor;
    // 27 convolutions with both in the backbone, 5 in the pyramid; a context module has 5 BatchNorms and 2 activations; 9 heads.
    CHECK(expected.size() == 2 * (27 + 5) + 3 * 7 + 9);

    float worst = 0;
    std::string worst_name;
    std::set<std::string> seen;
    const Tensor& image = *golden->find("image");
    passes::trace(network, pixels_of(view_of(image), kBiubug6Profile), [&](const std::string& name, const layers::Map& map) {
        const auto found = expected.find(name);
        if (found == expected.end()) return;
        CAPTURE(name);
        CHECK(seen.insert(name).second);
        const Tensor& tensor = *found->second;
        REQUIRE(tensor.shape == std::vector<std::int64_t>{map.channels, map.height, map.width});
        float peak = 0, difference = 0;
        for (int c = 0; c < map.channels; ++c)
            for (int i = 0; i < map.pixels(); ++i) {
                const float value = tensor.values[static_cast<std::size_t>(c * map.pixels() + i)];
                peak = std::max(peak, std::abs(value));
                difference = std::max(difference, std::abs(map.data[i * map.pitch + c] - value));
            }
        const float relative = difference / peak;
        CHECK(relative <= 1e-4f);
        if (relative > worst) {
            worst = relative;
            worst_name = name;
        }
    });
    CHECK(seen.size() == expected.size());
    std::printf("layers of tiny, %s: worst %.3g of the peak (%s)\n", to_string(isa), static_cast<double>(worst),
                worst_name.c_str());
}

template <class AnyOf>
void check_insightface_faces(const std::string& prefix) {
    const Weights* weights = golden_file(prefix);
    if (weights == nullptr) return;
    const AnyOf detector(*weights, test_options(0.5f));
    note_isa(detector.isa());
    int faces = 0, matched = 0;
    double overlap = 0, distance = 0;
    for (const char* picture : {"tiny", "crowd", "five", "vga", "single", "astronaut"}) {
        const Weights* golden = golden_file(std::string("biubug6_") + picture);
        if (golden == nullptr) return;
        const std::vector<Face> found = detector.detect(view_of(*golden->find("image")));
        const std::vector<float>& expected = golden->find("faces.0.5")->values;
        for (std::size_t i = 0; i < expected.size(); i += 15) {
            const float* row = expected.data() + i;
            if (row[0] < 0.9f) continue;
            ++faces;
            const Box box{row[1], row[2], row[3], row[4]};
            const auto best = std::max_element(found.begin(), found.end(),
                                               [&](const Face& a, const Face& b) { return iou(a.box, box) < iou(b.box, box); });
            if (best == found.end() || iou(best->box, box) < 0.5f) continue;
            ++matched;
            overlap += static_cast<double>(iou(best->box, box));
            for (std::size_t p = 0; p < 5; ++p)
                distance +=
                    static_cast<double>(std::hypot(best->landmarks[p].x - row[5 + 2 * p], best->landmarks[p].y - row[6 + 2 * p]) /
                                        (5 * (box.x2 - box.x1)));
        }
    }
    std::printf("%s on biubug6's faces: %d of %d, IoU %.3f, landmarks %.3f of a width apart\n", prefix.c_str(), matched, faces,
                overlap / matched, distance / matched);
    CHECK(faces > 0);
    CHECK(matched >= 0.9 * faces);
    // Two networks trained apart; anchors off by 4 pixels would show at once.
    CHECK(overlap / matched > 0.75);
    CHECK(distance / matched < 0.08);
}

TEST_CASE("insightface: its faces lie where biubug6's do") { check_insightface_faces<Detector>("insightface"); }

TEST_CASE("insightface's mnet12: its faces lie where biubug6's do") {
    check_insightface_faces<AnyDetector>("insightface_mnet12");
}

TEST_CASE("official weights pass the self-test that the converter wrote") {
    for (const char* name : {"biubug6", "m2man", "insightface", "insightface_mnet12"}) {
        CAPTURE(std::string(name));
        const Weights* weights = golden_file(name);
        if (weights == nullptr) return;
        const AnyDetector detector(*weights, test_options(0.5f));
        note_isa(detector.isa());
        const SelfTest result = detector.self_test();
        CHECK(result.present);
        CHECK(result.max_difference < 2e-4f);
    }
}

}  // namespace
