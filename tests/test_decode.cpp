// Anchors against a listing of the specification's, and decoding against values worked out by hand.

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "retinaface/decode.hpp"
#include "retinaface/models/mobilenet.hpp"

namespace {

using namespace retinaface;

/// biubug6: centres of cells; one line an anchor, as the original lists them.
std::vector<Anchor> listed_biubug6(int height, int width) {
    std::vector<Anchor> out;
    const int sizes[3][2] = {{16, 32}, {64, 128}, {256, 512}};
    for (int level = 0; level < 3; ++level) {
        const double stride = std::pow(2.0, level + 3);
        for (int i = 0; i < static_cast<int>(std::ceil(height / stride)); ++i)
            for (int j = 0; j < static_cast<int>(std::ceil(width / stride)); ++j)
                for (const int size : sizes[level])
                    out.push_back({static_cast<float>((j + 0.5) * stride), static_cast<float>((i + 0.5) * stride),
                                   static_cast<float>(size)});
    }
    return out;
}

/// insightface: inclusive corners of the base anchors, moved by the stride; listed small first (the original lists large first).
std::vector<Anchor> listed_insightface(int height, int width) {
    const int corners[3][2][2] = {{{0, 15}, {-8, 23}}, {{-24, 39}, {-56, 71}}, {{-120, 135}, {-248, 263}}};
    std::vector<Anchor> out;
    for (int level = 0; level < 3; ++level) {
        const int stride = 8 << level;
        for (int y = 0; y < (height + stride - 1) / stride; ++y)
            for (int x = 0; x < (width + stride - 1) / stride; ++x)
                for (const auto& corner : corners[level]) {
                    const double size = corner[1] - corner[0] + 1, base = corner[0] + 0.5 * (size - 1);
                    out.push_back(
                        {static_cast<float>(base + x * stride), static_cast<float>(base + y * stride), static_cast<float>(size)});
                }
    }
    return out;
}

TEST_CASE("anchors are those of the specification, in its order") {
    const AnchorLayout& layout = models::MobileNet025::kAnchors;
    struct Size {
        int width, height;
    };
    for (const Size size :
         {Size{1, 1}, Size{8, 8}, Size{9, 8}, Size{33, 47}, Size{101, 67}, Size{640, 480}, Size{5000, 3}, Size{1, 5000}}) {
        for (const bool inclusive : {false, true}) {
            CAPTURE(size.width);
            CAPTURE(size.height);
            CAPTURE(inclusive);
            const Profile& profile = inclusive ? kInsightfaceProfile : kBiubug6Profile;
            const AnchorGrid grid(layout, size.height, size.width, profile.first_centre);
            const std::vector<Anchor> expected =
                inclusive ? listed_insightface(size.height, size.width) : listed_biubug6(size.height, size.width);
            REQUIRE(grid.size() == static_cast<int>(expected.size()));
            CHECK(grid.cells() * 2 == grid.size());
            int wrong = 0;
            for (int i = 0; i < grid.size(); ++i) {
                const Anchor a = grid[i], b = expected[static_cast<std::size_t>(i)];
                if (a.x != b.x || a.y != b.y || a.size != b.size) ++wrong;
                const int level = grid.level(i / 2);
                if (i / 2 < grid.cells_before(level) || b.size != layout.sizes[level][i % 2]) ++wrong;
            }
            CHECK(wrong == 0);
        }
    }
    CHECK(AnchorGrid(layout, 480, 640, 0).size() == 12600);
}

InputSize input_of(int width, int height, float scale_x = 1, float scale_y = 1) {
    InputSize size{width, height, width, height, {}};
    size.transform = {scale_x, scale_y};
    return size;
}

struct DecodedBox {
    const char* name;
    const Profile& profile;
    Anchor anchor;
    float delta[4];
    InputSize input;
    Box expected;
};

TEST_CASE("boxes worked out by hand") {
    const float ln2 = 0.69314718f;
    const DecodedBox cases[] = {
        {"no deltas", kBiubug6Profile, {4, 4, 16}, {0, 0, 0, 0}, input_of(640, 480), {-4, -4, 12, 12}},
        {"moved by 0.1 of a size each",
         kBiubug6Profile,
         {100, 60, 32},
         {1, -2, 0, 0},
         input_of(640, 480),
         {87.2f, 37.6f, 119.2f, 69.6f}},
        {"twice and half the size",
         kBiubug6Profile,
         {100, 60, 32},
         {0, 0, 5 * ln2, -5 * ln2},
         input_of(640, 480),
         {68, 52, 132, 68}},
        {"not clipped", kBiubug6Profile, {16, 16, 512}, {0, 0, 0, 0}, input_of(20, 20), {-240, -240, 272, 272}},
        {"scaled back",
         kBiubug6Profile,
         {100, 60, 32},
         {1, -2, 0, 0},
         input_of(640, 480, 2, 0.5f),
         {43.6f, 75.2f, 59.6f, 139.2f}},
        {"paper", kPaperProfile, {100, 60, 32}, {1, -2, 5 * ln2, 0}, input_of(640, 480), {71.2f, 37.6f, 135.2f, 69.6f}},
        {"insightface, no deltas: the anchor's inclusive corners",
         kInsightfaceProfile,
         {55.5f, 55.5f, 32},
         {0, 0, 0, 0},
         input_of(640, 480),
         {40, 40, 71, 71}},
        {"insightface, moved by 0.25 and -0.5 of 32, twice as wide",
         kInsightfaceProfile,
         {103.5f, 103.5f, 32},
         {0.25f, -0.5f, ln2, 0},
         input_of(640, 480),
         {80, 72, 143, 103}},
        {"insightface, clipped left and top",
         kInsightfaceProfile,
         {7.5f, 7.5f, 32},
         {0, 0, 0, 0},
         input_of(640, 480),
         {0, 0, 23, 23}},
        {"insightface, clipped to the image, not its padding",
         kInsightfaceProfile,
         {7.5f, 7.5f, 32},
         {0, 0, 0, 0},
         input_of(20, 10),
         {0, 0, 19, 9}},
        {"insightface, clipped, then scaled back",
         kInsightfaceProfile,
         {7.5f, 7.5f, 32},
         {0, 0, 0, 0},
         input_of(20, 10, 0.5f, 2),
         {0, 0, 38, 4.5f}},
        {"insightface, wholly outside", kInsightfaceProfile, {7.5f, 7.5f, 16}, {-4, 0, 0, 0}, input_of(20, 20), {0, 0, 0, 15}},
    };
    for (const DecodedBox& c : cases) {
        CAPTURE(std::string(c.name));
        const Box box = detail::decode_box(c.profile, c.anchor, c.delta, c.input);
        const float found[4] = {box.x1, box.y1, box.x2, box.y2},
                    expected[4] = {c.expected.x1, c.expected.y1, c.expected.x2, c.expected.y2};
        for (int i = 0; i < 4; ++i) {
            CAPTURE(i);
            CAPTURE(found[i]);
            CAPTURE(expected[i]);
            CHECK(std::abs(found[i] - expected[i]) < 1e-4f);
        }
    }
}

TEST_CASE("landmarks worked out by hand") {
    const float delta[10] = {0, 0, 1, -1, 0.5f, 2, -10, 10, 0.25f, -0.125f};
    struct Case {
        const Profile& profile;
        Transform transform;
        float scale;  ///< of deltas, in pixels
    };
    for (const Case& c :
         {Case{kBiubug6Profile, {}, 6.4f}, Case{kInsightfaceProfile, {}, 64}, Case{kPaperProfile, {2, 4}, 6.4f}}) {
        CAPTURE(std::string(c.profile.name));
        const auto points = detail::decode_landmarks(c.profile, {100, 50, 64}, delta, c.transform);
        for (std::size_t i = 0; i < 5; ++i) {
            CAPTURE(i);
            CHECK(points[i].x == doctest::Approx((100 + delta[2 * i] * c.scale) / c.transform.scale_x).epsilon(1e-6));
            CHECK(points[i].y == doctest::Approx((50 + delta[2 * i + 1] * c.scale) / c.transform.scale_y).epsilon(1e-6));
        }
    }
}

TEST_CASE("probability and logit are each other's inverse") {
    const float infinity = std::numeric_limits<float>::infinity();
    CHECK(detail::probability(0) == 0.5f);
    CHECK(detail::probability(-1000) == 0.0f);
    CHECK(detail::probability(1000) == 1.0f);
    CHECK(detail::probability(-infinity) == 0.0f);
    CHECK(detail::probability(infinity) == 1.0f);
    CHECK(detail::logit(0) == -infinity);
    CHECK(detail::logit(1) == infinity);
    CHECK(detail::logit(0.5f) == 0.0f);
    float before = -infinity;
    for (int i = 1; i < 1000; ++i) {
        const float p = static_cast<float>(i) / 1000;
        CAPTURE(p);
        const float difference = detail::logit(p);
        CHECK(difference > before);
        before = difference;
        CHECK(std::abs(detail::probability(difference) - p) < 2e-7f);
        // The softmax of {background, face}.
        const double softmax = std::exp(static_cast<double>(difference)) / (1 + std::exp(static_cast<double>(difference)));
        CHECK(std::abs(static_cast<double>(detail::probability(difference)) - softmax) < 2e-7);
    }
}

TEST_CASE("profiles are found by name") {
    CHECK(&find_profile("biubug6") == &find_profile(kBiubug6Profile.name));
    CHECK(std::string(find_profile("insightface").name) == "insightface");
    CHECK(std::string(find_profile("paper").name) == "paper");
    CHECK_THROWS_AS(find_profile(""), Error);
    CHECK_THROWS_WITH_AS(find_profile("Paper"), "weights: profile must be biubug6, insightface, paper or mnet12, found 'Paper'",
                         Error);
}

}  // namespace
