// The wide networks against an independent model (tools/oracle/heavy_networks.py: PyTorch in double): every raw output, with weights that
// both make from the same hash. One ctest entry a set. The proof with BatchNorm, checkpoints and large images is run by hand: see
// docs/wide-networks.md.

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "network_input.hpp"
#include "retinaface/passes/describe.hpp"
#include "retinaface/passes/trace.hpp"
#include "retinaface/resnet.hpp"
#include "seeded_networks.hpp"
#include "support/isa_under_test.hpp"
#include "support/trim.hpp"

namespace {

using namespace retinaface_test;
using namespace retinaface;

constexpr double kTolerance = 1e-4;  // of an output's peak

Options test_options(int threads = 1) {
    Options options;
    options.isa = isa_under_test();
    options.threads = threads;
    return options;
}

const Weights& golden(const std::string& network) {
    static std::map<std::string, Weights> files;
    const auto found = files.find(network);
    if (found != files.end()) return found->second;
    return files.emplace(network, Weights::load(RETINAFACE_SOURCE_DIR "/tests/data/" + network + ".golden.safetensors"))
        .first->second;
}

Weights hashed_weights(const std::string& network, const std::string& architecture, const std::string& profile) {
    std::vector<TensorShape> tensors;
    std::istringstream list(golden(network).metadata("tensors"));
    for (std::string entry; list >> entry;) {
        TensorShape tensor{entry.substr(0, entry.find(':')), {}};
        std::istringstream sides(entry.substr(entry.find(':') + 1));
        for (std::string side; std::getline(sides, side, 'x');) tensor.shape.push_back(std::stoi(side));
        tensors.push_back(tensor);
    }
    const std::vector<std::uint8_t> bytes = hashed_weights_file(architecture, profile, tensors);
    return Weights::from_memory(bytes.data(), bytes.size());
}

ImageView picture(const Weights& file, const std::string& size) {
    const Tensor& image = *file.find(size + ".image");
    return {image.bytes.data(), static_cast<int>(image.shape[1]), static_cast<int>(image.shape[0])};
}

/// Largest difference as a share of the peak.
double difference(Span<const float> found, const std::vector<float>& expected) {
    REQUIRE(found.size() == expected.size());
    double peak = 0, most = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        peak = std::max(peak, std::abs(static_cast<double>(expected[i])));
        const double d = std::abs(static_cast<double>(found[i]) - static_cast<double>(expected[i]));
        if (!(d <= most)) most = d;
    }
    return most / peak;
}

template <class Detector>
void check_outputs(const std::string& network, const Weights& weights, int threads) {
    const Detector detector(weights, test_options(threads));
    note_isa(detector.isa());
    const Weights& expected = golden(network);
    Workspace workspace;
    for (const std::string size : {"65x33", "1x1"}) {
        CAPTURE(network);
        CAPTURE(size);
        CAPTURE(threads);
        const RawOutputs found = detector.forward(picture(expected, size), workspace);
        const double worst[3] = {difference(found.class_logits, expected.find(size + ".class")->values),
                                 difference(found.boxes, expected.find(size + ".box")->values),
                                 difference(found.landmarks, expected.find(size + ".landmark")->values)};
        for (const double w : worst) CHECK(w <= kTolerance);
        std::printf("%s %s, %s, threads %d: class %.2g, box %.2g, landmark %.2g of the peak\n", network.c_str(), size.c_str(),
                    to_string(detector.isa()), threads, worst[0], worst[1], worst[2]);
    }
}

/// Floats of packed weights by those of the file, outputs aside: Winograd's have 36 for nine.
template <class Architecture>
void check_packed(const std::string& name, const models::RetinaFace<Architecture>& network, double most) {
    std::int64_t parameters = 0, winograd = 0;
    for (const passes::Description& d : passes::describe(network, 64, 64)) {
        if (d.name.compare(0, 5, "head.") == 0) continue;
        parameters += d.parameters;
        if (d.kernel == "conv3x3") winograd += d.parameters;
    }
    const double ratio = static_cast<double>(parameters + 3 * winograd) / static_cast<double>(parameters);
    CHECK(ratio <= most);
    std::printf("%s: packed weights are %.2f times the file's\n", name.c_str(), ratio);
}

TEST_CASE("ResNet-50: every raw output is PyTorch's") {
    const Weights weights = hashed_weights("resnet50", "resnet50", "biubug6");
    check_outputs<ResNet50Detector>("resnet50", weights, 1);
    if (isa_under_test() != Isa::reference && !trimmed()) check_outputs<ResNet50Detector>("resnet50", weights, 3);
    const models::RetinaFace<models::ResNet50> network(weights, kBiubug6Profile, resolved(isa_under_test()));
    check_packed("resnet50", network, 1.4);
}

TEST_CASE("pre-activation ResNet-50: every raw output is PyTorch's") {
    const Weights weights = hashed_weights("preactivation", "resnet50_preactivation", "insightface");
    check_outputs<ResNet50Detector>("preactivation", weights, 1);
    const models::RetinaFace<models::ResNet50Preactivation> network(weights, kInsightfaceProfile, resolved(isa_under_test()));
    check_packed("preactivation", network, 1.6);
}

TEST_CASE("the paper's network: every raw output is PyTorch's, the dense branch's too") {
    if (trimmed()) return;  // 280 MB of weights
    const Weights weights = hashed_weights("paper", "resnet152_deformable", "paper");
    check_outputs<PaperDetector>("paper", weights, isa_under_test() == Isa::reference ? 1 : 2);

    const models::RetinaFace<models::ResNet152Deformable> network(weights, kPaperProfile, resolved(isa_under_test()));
    for (const std::string size : {"65x33", "1x1"}) {
        CAPTURE(size);
        std::vector<float> found[3];
        passes::trace(network, pixels_of(picture(golden("paper"), size), kPaperProfile),
                      [&](const std::string& name, const layers::Map& map) {
                          if (name != "head.dense") return;
                          const models::HeadLayout& head = network.head();
                          for (int i = 0; i < map.pixels(); ++i) {
                              const float* const row = map.data + i * map.pitch;
                              for (int group = 0; group < 3; ++group) {
                                  const float* const first = row + head.dense_group(group, 0);
                                  found[group].insert(found[group].end(), first, first + head.anchors * head.dense[group]);
                              }
                          }
                      });
        const char* const names[3] = {".shape_texture", ".camera", ".light"};
        for (std::size_t i = 0; i < 3; ++i) {
            CAPTURE(names[i]);
            CHECK(difference({found[i].data(), found[i].size()}, golden("paper").find(size + names[i])->values) <= kTolerance);
        }
    }

    // The dense branch of faces alone: the same values, at the anchors of the faces.
    Options options = test_options();
    options.score_threshold = 0.5f;
    const PaperDetector detector(weights, options);
    const Weights& expected = golden("paper");
    Result<PaperDetector> made = PaperDetector::create(weights, options);
    REQUIRE(made);
    static_assert(noexcept(PaperDetector::create(weights, options)));
    static_assert(noexcept(made->try_detect_dense({})));
    CHECK(made->try_detect_dense({}).error().code() == ErrorCode::invalid_argument);
    CHECK(made->try_detect_dense(picture(expected, "65x33")).value().size() ==
          detector.detect_dense(picture(expected, "65x33")).size());
    const std::vector<DenseFace> faces = detector.detect_dense(picture(expected, "65x33"));
    const std::vector<Face> plain = detector.detect(picture(expected, "65x33"));
    REQUIRE(faces.size() == plain.size());
    CHECK_FALSE(faces.empty());
    const std::vector<float>& codes = expected.find("65x33.shape_texture")->values;
    for (std::size_t i = 0; i < faces.size(); ++i) {
        CHECK(faces[i].face.score == plain[i].score);
        double nearest = 1e9;
        for (std::size_t anchor = 0; anchor < codes.size() / 128; ++anchor) {
            double most = 0;
            for (std::size_t k = 0; k < 128; ++k) {
                const double found_value = static_cast<double>(faces[i].shape_texture[k]);
                most = std::max(most, std::abs(found_value - static_cast<double>(codes[anchor * 128 + k])));
            }
            nearest = std::min(nearest, most);
        }
        CHECK(nearest <= 1e-3);
    }
    options.flip = true;
    CHECK_THROWS_AS(PaperDetector(weights, options).detect_dense(picture(expected, "65x33")), Error);

    check_packed("paper", network, 1.2);
}

TEST_CASE("Table 2: 102,300 anchors at 640 x 640, three a cell") {
    const AnchorGrid grid(models::ResNet152Deformable::kAnchors, 640, 640, 0);
    REQUIRE(grid.size() == 102300);
    int index = 0;
    for (const int stride : {4, 8, 16, 32, 64}) {
        for (int y = 0; y < 640 / stride; ++y) {
            for (int x = 0; x < 640 / stride; ++x) {
                for (int k = 0; k < 3; ++k) {
                    const Anchor anchor = grid[index++];
                    const double side = 4.0 * stride * std::pow(2.0, k / 3.0);
                    const bool right = anchor.x == (static_cast<float>(x) + 0.5f) * static_cast<float>(stride) &&
                                       anchor.y == (static_cast<float>(y) + 0.5f) * static_cast<float>(stride) &&
                                       std::abs(static_cast<double>(anchor.size) - side) <= 1e-5 * side;
                    if (!right) FAIL("anchor " << index - 1);
                }
            }
        }
    }
}

}  // namespace
