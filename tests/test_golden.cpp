// The official weights against what their original code computes (../shared/golden, made readable by golden_files.py, a fixture of
// ctest). One ctest entry a kernel set; skipped without the files.

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "retinaface.hpp"
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

std::vector<const char*> pictures() {
    if (trimmed()) return {"tiny", "crowd"};
    return {"tiny", "single", "street", "crowd", "group", "five", "astronaut", "vga"};
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
        std::printf("%s, %s: box %.3g, landmark %.3g, probability %.3g\n", what, to_string(kernels::select(isa_under_test())->isa),
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
            if (std::abs(expected[15 * j] - row[0]) <= tie && !taken[j] && (taken[match] || distance(found[j]) < distance(found[match])))
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
    for (const char* picture : pictures()) {
        CAPTURE(picture);
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

TEST_CASE("insightface: every raw output is the original's") {
    const Weights* weights = golden_file("insightface");
    if (weights == nullptr) return;
    const Detector detector(*weights, test_options(0.5f));
    note_isa(detector.isa());
    Workspace workspace;
    Differences worst;
    for (const char* picture : {"tiny", "crowd", "five", "vga"}) {
        if (trimmed() && std::string(picture) != "tiny") continue;
        CAPTURE(picture);
        const Weights* golden = golden_file(std::string("insightface_") + picture);
        if (golden == nullptr) return;
        const Differences differences = compare(detector.forward(view_of(*golden->find("image")), workspace), *golden);
        CHECK(differences.box <= 1e-4f);
        CHECK(differences.landmark <= 1e-4f);
        CHECK(differences.probability <= 2e-5f);
        worst.include(differences);
    }
    worst.print("insightface");
}

TEST_CASE("official weights pass the self-test that the converter wrote") {
    for (const char* name : {"biubug6", "m2man", "insightface"}) {
        CAPTURE(name);
        const Weights* weights = golden_file(name);
        if (weights == nullptr) return;
        const Detector detector(*weights, test_options(0.5f));
        note_isa(detector.isa());
        const SelfTest result = detector.self_test();
        CHECK(result.present);
        CHECK(result.max_difference < 2e-4f);
    }
}

}  // namespace
