// The planned executor against the reference executor (detail/trace.hpp; test_golden.cpp holds that one against the original code).
// One ctest entry a kernel set, `reference` among them.

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "images.hpp"
#include "network_input.hpp"
#include "retinaface/detail/trace.hpp"
#include "support/isa_under_test.hpp"
#include "weights_files.hpp"

namespace {

using namespace retinaface_test;
using namespace retinaface;
using Network = models::RetinaFace<models::MobileNet025>;
using LightNetwork = models::RetinaFace<models::MobileNet025Light>;

const kernels::KernelTable& table() {
    const kernels::KernelTable* chosen = kernels::select(isa_under_test());
    REQUIRE(chosen != nullptr);
    note_isa(chosen->isa);
    return *chosen;
}

/// Runs both executors on the same kernels and compares pyramid, features and every raw output.
template <class AnyNetwork>
void compare_executors(const Weights& weights, const Profile& profile, int width, int height, int threads) {
    CAPTURE(std::string(profile.name));
    CAPTURE(width);
    CAPTURE(height);
    CAPTURE(threads);
    const AnyNetwork network(weights, profile, table());
    const Picture picture = random_picture(width, height, 31);
    const layers::Pixels pixels = pixels_of(picture.view(), profile);

    std::map<std::string, std::vector<float>> traced;
    detail::trace(network, pixels, [&](const std::string& name, const layers::Map& map) {
        traced[name] = std::vector<float>(map.data, map.data + map.size());
    });

    detail::ThreadPool pool(threads);
    const detail::Parallel parallel(&pool, threads);
    detail::AlignedBuffer arena(network.plan(pixels, threads, nullptr).size);
    const models::Network::Plan plan = network.plan(pixels, threads, arena.data());
    network.run(pixels, plan, parallel);

    // The reference set activates in double before it rounds, the others in float as the trace does: those agree to the bit.
    const bool exact = table().isa != Isa::reference;
    const auto check = [&](const std::string& name, const float* found, std::size_t count) {
        CAPTURE(name);
        REQUIRE(traced.count(name) == 1);
        const std::vector<float>& expected = traced[name];
        REQUIRE(expected.size() == count);
        float peak = 0, difference = 0;
        for (std::size_t i = 0; i < count; ++i) {
            peak = std::max(peak, std::abs(expected[i]));
            difference = std::max(difference, std::abs(found[i] - expected[i]));
        }
        CHECK(peak > 0);
        CHECK(difference <= (exact ? 0.0f : 1e-5f * peak));
    };
    const float* logits = plan.logits;
    for (int level = 0; level < kLevels; ++level) {
        const std::string p = ".p" + std::to_string(3 + level);
        const layers::Map& features = plan.features[level];
        check("context" + p, features.data, features.size());
        check("head" + p + ".class", logits, 4 * static_cast<std::size_t>(features.pixels()));
        logits += 4 * features.pixels();
        std::vector<models::Regression> cells(static_cast<std::size_t>(features.pixels()));
        network.regression(plan, level, 0, features.pixels(), cells.data());
        std::vector<float> box, landmark;
        for (const models::Regression& cell : cells) {
            box.insert(box.end(), cell.box[0], cell.box[0] + 8);
            landmark.insert(landmark.end(), cell.landmark[0], cell.landmark[0] + 20);
        }
        check("head" + p + ".box", box.data(), box.size());
        check("head" + p + ".landmark", landmark.data(), landmark.size());
    }
}

TEST_CASE("fused, banded and planned is the same as one operation after the other") {
    struct Size {
        int width, height;
    };
    for (const Size size : {Size{1, 1}, Size{2, 3}, Size{33, 47}, Size{129, 97}, Size{7, 200}, Size{260, 9}}) {
        for (const int threads : {1, 3}) {
            if (table().isa == Isa::reference && (threads > 1 || size.width > 100)) continue;  // slow
            compare_executors<Network>(seeded_weights(), kBiubug6Profile, size.width, size.height, threads);
            compare_executors<Network>(seeded_weights(), kInsightfaceProfile, size.width, size.height, threads);
            compare_executors<LightNetwork>(seeded_weights(true), kPaperProfile, size.width, size.height, threads);
        }
    }
}

TEST_CASE("every convolution of the weights file is traced once") {
    const Network network(seeded_weights(), kBiubug6Profile, table());
    const Picture picture = random_picture(20, 20, 1);
    std::map<std::string, int> seen;
    detail::trace(network, pixels_of(picture.view(), kBiubug6Profile), [&](const std::string& name, const layers::Map&) { ++seen[name]; });
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
