// The planned pass against the one that explains (passes/run.hpp, passes/trace.hpp; test_golden.cpp holds that one against the original code).
// One ctest entry a kernel set, `reference` among them.

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "images.hpp"
#include "network_input.hpp"
#include "retinaface/models/mnet12.hpp"
#include "retinaface/models/mobilenet.hpp"
#include "retinaface/models/retinaface.hpp"
#include "retinaface/passes/run.hpp"
#include "retinaface/passes/trace.hpp"
#include "support/isa_under_test.hpp"
#include "weights_files.hpp"

namespace {

using namespace retinaface_test;
using namespace retinaface;
using Network = models::RetinaFace<models::MobileNet025>;
using Mnet12Network = models::RetinaFace<models::Mnet12>;
using LightNetwork = models::RetinaFace<models::MobileNet025Light>;

Isa isa() {
    const Isa chosen = resolved(isa_under_test());
    REQUIRE(available(chosen));
    note_isa(chosen);
    return chosen;
}

/// Runs the plan and the trace on the same kernels and compares features and every raw output.
template <class AnyNetwork>
void compare_passes(const Weights& weights, const Profile& profile, int width, int height, int threads) {
    CAPTURE(std::string(profile.name));
    CAPTURE(width);
    CAPTURE(height);
    CAPTURE(threads);
    const AnyNetwork network(weights, profile, isa());
    const Picture picture = random_picture(width, height, 31);
    const layers::Pixels pixels = pixels_of(picture.view(), profile);

    std::map<std::string, std::vector<float>> traced;
    const auto values_of = [](const layers::Map& map) {
        std::vector<float> values;
        for (int i = 0; i < map.pixels(); ++i)
            values.insert(values.end(), map.data + i * map.pitch, map.data + i * map.pitch + map.channels);
        return values;
    };
    passes::trace(network, pixels, [&](const std::string& name, const layers::Map& map) { traced[name] = values_of(map); });

    detail::ThreadPool pool(threads);
    passes::Plan plan;
    network.plan(pixels.shape(), threads, plan);
    detail::AlignedArray<std::byte> arena(plan.size);
    // Whatever lies in the arena, nothing is read before it is made.
    for (std::size_t i = 0; i < plan.size; ++i) arena.data()[i] = std::byte{0xFF};
    passes::Progress progress;
    passes::run(plan, pixels, arena.data(), {&pool, threads}, progress);

    // The reference set activates in double before it rounds, the others in float as the trace does: those agree to the bit.
    const bool exact = isa() != Isa::reference;
    const auto check = [&](const std::string& name, const std::vector<float>& found) {
        CAPTURE(name);
        REQUIRE(traced.count(name) == 1);
        const std::vector<float>& expected = traced[name];
        REQUIRE(expected.size() == found.size());
        float peak = 0, difference = 0;
        for (std::size_t i = 0; i < found.size(); ++i) {
            peak = std::max(peak, std::abs(expected[i]));
            const float distance = std::abs(found[i] - expected[i]);
            if (!(distance <= difference)) difference = distance;
        }
        CHECK(peak > 0);
        CHECK(difference <= (exact ? 0.0f : 1e-5f * peak));
    };
    const models::HeadLayout& head = network.head();
    const float* logits = plan.map(plan.logits, arena.data()).data;
    for (int level = 0; level < network.anchors().levels; ++level) {
        const std::string p = ".p" + std::to_string(3 + level);
        const layers::Map features = plan.map(plan.features[static_cast<std::size_t>(level)], arena.data());
        const auto cells = static_cast<std::size_t>(features.pixels());
        check("context" + p, values_of(features));
        const std::size_t classes = cells * static_cast<std::size_t>(head.class_size());
        check("head" + p + ".class", std::vector<float>(logits, logits + classes));
        logits += classes;
        std::vector<float> rows(cells * static_cast<std::size_t>(head.row_size())), box, landmark;
        network.deltas(level, features.data, features.pixels(), rows.data());
        for (std::size_t i = 0; i < cells; ++i) {
            const float* row = rows.data() + i * static_cast<std::size_t>(head.row_size());
            box.insert(box.end(), row, row + head.box_size());
            landmark.insert(landmark.end(), row + head.landmark(0), row + head.landmark(0) + head.landmark_size());
        }
        check("head" + p + ".box", box);
        check("head" + p + ".landmark", landmark);
    }
}

TEST_CASE("fused, planned and split is the same as one operation after the other") {
    struct Size {
        int width, height;
    };
    for (const Size size : {Size{1, 1}, Size{2, 3}, Size{33, 47}, Size{129, 97}, Size{7, 200}, Size{260, 9}}) {
        for (const int threads : {1, 3}) {
            if (isa() == Isa::reference && (threads > 1 || size.width > 100)) continue;  // slow
            compare_passes<Network>(seeded_weights(), kBiubug6Profile, size.width, size.height, threads);
            compare_passes<Network>(seeded_weights(), kInsightfaceProfile, size.width, size.height, threads);
            compare_passes<LightNetwork>(seeded_weights(true), kPaperProfile, size.width, size.height, threads);
            compare_passes<Mnet12Network>(seeded_mnet12(), kMnet12Profile, size.width, size.height, threads);
        }
    }
}

TEST_CASE("every convolution of the weights file is traced once") {
    const Network network(seeded_weights(), kBiubug6Profile, isa());
    const Picture picture = random_picture(20, 20, 1);
    std::map<std::string, int> seen;
    passes::trace(network, pixels_of(picture.view(), kBiubug6Profile),
                  [&](const std::string& name, const layers::Map&) { ++seen[name]; });
    for (const Tensor& tensor : seeded_weights().tensors()) {
        const std::size_t end = tensor.name.rfind(".weight");
        if (end == std::string::npos) continue;
        const std::string name = tensor.name.substr(0, end);
        CAPTURE(name);
        CHECK(seen[name.rfind("head.", 0) == 0 ? name : name + ".norm"] == 1);
    }
    for (const auto& entry : seen) {
        CAPTURE(entry.first);
        CHECK(entry.second == 1);
    }
}

}  // namespace
