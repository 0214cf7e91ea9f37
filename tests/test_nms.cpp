// Suppression: exactly what comparing every pair gives, and fast.

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "buffers.hpp"
#include "retinaface/nms.hpp"
#include "support/trim.hpp"

namespace {

using namespace retinaface_test;
using namespace retinaface;

std::vector<std::uint32_t> naive(const std::vector<Box>& boxes, float threshold, bool equal, std::size_t most) {
    std::vector<std::uint32_t> kept;
    for (std::uint32_t i = 0; i < boxes.size(); ++i) {
        const bool suppressed = std::any_of(kept.begin(), kept.end(), [&](std::uint32_t k) {
            const float value = iou(boxes[i], boxes[k]);
            return equal ? value >= threshold : value > threshold;
        });
        if (suppressed) continue;
        kept.push_back(i);
        if (kept.size() == most) break;
    }
    return kept;
}

enum class Shape { octaves, clusters, ties, lattice, flat, huge_coordinates, nested };
constexpr Shape kShapes[] = {Shape::octaves, Shape::clusters,         Shape::ties,  Shape::lattice,
                             Shape::flat,    Shape::huge_coordinates, Shape::nested};

std::vector<Box> random_boxes(Shape shape, int count, std::uint64_t seed) {
    Random random(seed);
    std::vector<Box> boxes;
    std::vector<Point> centres;
    for (int i = 0; i < 12; ++i) centres.push_back({random.uniform(0, 600), random.uniform(0, 600)});
    for (int i = 0; i < count; ++i) {
        Point centre{random.uniform(0, 640), random.uniform(0, 640)};
        float width = std::ldexp(random.uniform(1, 2), random.below(10)), height = width * random.uniform(0.5f, 2);
        switch (shape) {
            case Shape::octaves: break;
            case Shape::clusters: {
                const Point c = centres[static_cast<std::size_t>(random.below(12))];
                centre = {c.x + random.uniform(-6, 6), c.y + random.uniform(-6, 6)};
                width = random.uniform(20, 60);
                height = width * random.uniform(0.9f, 1.2f);
                break;
            }
            case Shape::ties:  // few different boxes, many times
                centre = centres[static_cast<std::size_t>(random.below(12))];
                width = height = static_cast<float>(8 << random.below(4));
                break;
            case Shape::lattice:  // whole numbers: IoUs that equal a threshold
                centre = {static_cast<float>(4 * random.below(20)), static_cast<float>(4 * random.below(20))};
                width = static_cast<float>(7 + 8 * random.below(3));
                height = static_cast<float>(7 + 8 * random.below(3));
                break;
            case Shape::flat:
                if (random.below(2) == 0) std::swap(width, height);
                height = random.uniform(-1, 1);  // down to x2 = x1 - 1, which is empty
                break;
            case Shape::huge_coordinates:
                centre = {random.uniform(-1.6e7f, 1.6e7f), random.below(2) == 0 ? 1.6e7f : -1.6e7f};
                width = std::ldexp(random.uniform(1, 1.5f), random.below(19));
                height = width;
                break;
            case Shape::nested:
                centre = {300 + random.uniform(-1, 1), 300 + random.uniform(-1, 1)};
                width = height = std::exp(random.uniform(0, 6));
                break;
        }
        const Box box{centre.x - width / 2, centre.y - height / 2, centre.x + width / 2, centre.y + height / 2};
        if (detail::is_usable(box)) boxes.push_back(box);
    }
    return boxes;
}

TEST_CASE("the grid finds what comparing all pairs finds") {
    detail::Suppressor suppressor;
    std::uint64_t seed = 1;
    std::size_t suppressed_somewhere = 0;
    for (const Shape shape : kShapes) {
        for (const int count : {0, 1, 2, 10, 100, trimmed() ? 300 : 1200}) {
            const std::vector<Box> boxes = random_boxes(shape, count, ++seed);
            for (const float threshold : {0.0f, 1e-4f, 0.002f, 0.1f, 0.25f, 0.4f, 0.5f, 0.75f, 0.9f, 0.999f, 1.0f}) {
                for (const bool equal : {false, true}) {
                    for (const std::size_t most : {std::size_t{0}, std::size_t{1}, std::size_t{7}}) {
                        CAPTURE(static_cast<int>(shape));
                        CAPTURE(count);
                        CAPTURE(seed);
                        CAPTURE(threshold);
                        CAPTURE(equal);
                        CAPTURE(most);
                        const std::vector<std::uint32_t> expected = naive(boxes, threshold, equal, most);
                        const Span<const std::uint32_t> found = suppressor.run(
                            boxes.size(), [&](std::size_t i) { return boxes[i]; }, threshold, equal, most);
                        CHECK(std::vector<std::uint32_t>(found.begin(), found.end()) == expected);
                        if (most == 0 && expected.size() < boxes.size() && expected.size() > 1) ++suppressed_somewhere;
                    }
                }
            }
        }
    }
    CHECK(suppressed_somewhere > 100);
}

TEST_CASE("an IoU that equals the threshold") {
    // 10 x 10 and 10 x 5 of it: IoU exactly 0.5.
    const std::vector<Box> boxes = {{0, 0, 9, 9}, {0, 0, 9, 4}, {100, 100, 109, 109}};
    REQUIRE(iou(boxes[0], boxes[1]) == 0.5f);
    detail::Suppressor suppressor;
    const auto kept = [&](float threshold, bool equal) {
        return suppressor
            .run(
                boxes.size(), [&](std::size_t i) { return boxes[i]; }, threshold, equal, 0)
            .size();
    };
    CHECK(kept(0.5f, false) == 3);
    CHECK(kept(0.5f, true) == 2);
    CHECK(kept(std::nextafter(0.5f, 0.0f), false) == 2);
    CHECK(kept(std::nextafter(0.5f, 1.0f), true) == 3);
    CHECK(kept(0.0f, true) == 1);
    CHECK(kept(1.0f, true) == 3);
}

TEST_CASE("twenty thousand boxes take well under a second") {
    struct Load {
        Shape shape;
        float threshold;
    };
    for (const Load load : {Load{Shape::octaves, 0.4f}, Load{Shape::clusters, 0.4f}, Load{Shape::ties, 1.0f},
                            Load{Shape::octaves, 0.8f}, Load{Shape::lattice, 0.95f}}) {
        const std::vector<Box> boxes = random_boxes(load.shape, trimmed() ? 2000 : 20000, 5);
        detail::Suppressor suppressor;
        const std::clock_t before = std::clock();
        const std::size_t kept = suppressor
                                     .run(
                                         boxes.size(), [&](std::size_t i) { return boxes[i]; }, load.threshold, false, 0)
                                     .size();
        const double seconds = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
        CAPTURE(static_cast<int>(load.shape));
        CAPTURE(load.threshold);
        CAPTURE(kept);
        CHECK(kept > 0);
        MESSAGE(boxes.size() << " boxes, threshold " << load.threshold << ", " << kept << " kept: " << seconds << " s");
        if (!trimmed()) CHECK(seconds < 1.0);
    }
}

TEST_CASE("boxes that coincide, as many as a large picture has anchors, at any threshold") {
    const std::vector<Box> boxes(85200, Box{10, 10, 60, 70});
    for (const float threshold : {0.0f, 0.4f, 1.0f}) {
        for (const bool equal : {false, true}) {
            CAPTURE(threshold);
            CAPTURE(equal);
            detail::Suppressor suppressor;
            const std::clock_t before = std::clock();
            const auto kept = suppressor
                                  .run(
                                      boxes.size(), [&](std::size_t i) { return boxes[i]; }, threshold, equal, 0)
                                  .size();
            CHECK(kept == (threshold == 1 && !equal ? boxes.size() : 1));
            if (!trimmed()) CHECK(static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC < 1.0);
        }
    }
}

TEST_CASE("no IoU exceeds 1") {
    Random random(3);
    for (int i = 0; i < 20000; ++i) {
        const float x = random.uniform(-1e6f, 1e6f), y = random.uniform(-1000, 1000), w = random.uniform(0, 300),
                    h = random.uniform(0, 9);
        const Box box{x, y, x + w, y + h};
        const Box near{std::nextafter(x, x + 1), y, x + w, std::nextafter(y + h, y)};
        REQUIRE(iou(box, box) <= 1.0f);
        REQUIRE(iou(box, near) <= 1.0f);
    }
}

TEST_CASE("IoU counts the last pixel") {
    struct Pair {
        Box a, b;
        float value;
    };
    const Pair pairs[] = {
        {{0, 0, 9, 9}, {0, 0, 9, 9}, 1.0f},
        {{0, 0, 9, 9}, {10, 0, 19, 9}, 0.0f},           // neighbours
        {{0, 0, 9, 9}, {9, 0, 18, 9}, 10.0f / 190.0f},  // one column in common
        {{0, 0, 9, 9}, {5, 5, 14, 14}, 25.0f / 175.0f},
        {{0, 0, 9, 9}, {2, 2, 5, 5}, 16.0f / 100.0f},
        {{0, 0, 0, 0}, {0, 0, 0, 0}, 1.0f},  // one pixel
        {{0, 0, 9, 9}, {50, 50, 59, 59}, 0.0f},
        {{0.5f, 0.5f, 2.5f, 2.5f}, {1.5f, 0.5f, 3.5f, 2.5f}, 6.0f / 12.0f},
        {{5, 5, 4, 4}, {5, 5, 4, 4}, 0.0f},  // empty
    };
    for (const Pair& pair : pairs) {
        CAPTURE(pair.b.x1);
        CAPTURE(pair.b.y1);
        CHECK(iou(pair.a, pair.b) == doctest::Approx(pair.value).epsilon(1e-6));
        CHECK(iou(pair.a, pair.b) == iou(pair.b, pair.a));
    }
}

TEST_CASE("boxes that are none are told apart") {
    const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
    CHECK(detail::is_usable({0, 0, 10, 10}));
    CHECK(detail::is_usable({0, 0, 0, 0}));
    CHECK(detail::is_usable({0, 0, -1, -1}));
    CHECK(detail::is_usable({-1e6f, -1e6f, 1e6f, 1e6f}));
    for (const Box& box :
         {Box{nan, 0, 1, 1}, Box{0, nan, 1, 1}, Box{0, 0, nan, 1}, Box{0, 0, 1, nan}, Box{0, 0, infinity, 1},
          Box{-infinity, 0, 1, 1}, Box{0, 0, 2e7f, 1}, Box{0, -2e7f, 1, 1}, Box{0, 0, -2, 0}, Box{0, 0, 0, -1.5f}}) {
        CAPTURE(box.x1);
        CAPTURE(box.y1);
        CAPTURE(box.x2);
        CAPTURE(box.y2);
        CHECK_FALSE(detail::is_usable(box));
    }
}

}  // namespace
