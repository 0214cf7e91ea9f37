// Several looks at one image: what they find together is what they find one by one, mapped back and suppressed once.
#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include "images.hpp"
#include "retinaface.hpp"
#include "support/allocations.hpp"
#include "support/isa_under_test.hpp"
#include "support/trim.hpp"
#include "weights_files.hpp"

namespace {

using namespace retinaface_test;
using namespace retinaface;

Options base(float score = 0.3f) {
    Options options;
    options.isa = isa_under_test();
    options.score_threshold = score;
    return options;
}

Detector make(const Options& options, const char* profile = "biubug6") {
    Detector detector(seeded_weights_as(profile), options);
    note_isa(detector.isa());
    return detector;
}

Picture mirrored(const Picture& picture) {
    Picture out = picture;
    for (int y = 0; y < picture.height; ++y)
        for (int x = 0; x < picture.width; ++x)
            for (int c = 0; c < 3; ++c)
                out.bytes[static_cast<std::size_t>((y * picture.width + x) * 3 + c)] =
                    picture.bytes[static_cast<std::size_t>((y * picture.width + picture.width - 1 - x) * 3 + c)];
    return out;
}

/// `extent` - x of everything; left and right change places.
Face mirrored(const Face& face, float extent) {
    const auto flip = [&](Point p) { return Point{extent - p.x, p.y}; };
    const auto& p = face.landmarks;
    return {face.score,
            {extent - face.box.x2, face.box.y1, extent - face.box.x1, face.box.y2},
            {flip(p[1]), flip(p[0]), flip(p[2]), flip(p[4]), flip(p[3])}};
}

float distance(const Face& a, const Face& b) {
    float most = std::max({std::abs(a.box.x1 - b.box.x1), std::abs(a.box.y1 - b.box.y1), std::abs(a.box.x2 - b.box.x2),
                           std::abs(a.box.y2 - b.box.y2), 100 * std::abs(a.score - b.score)});
    for (std::size_t i = 0; i < 5; ++i)
        most = std::max({most, std::abs(a.landmarks[i].x - b.landmarks[i].x), std::abs(a.landmarks[i].y - b.landmarks[i].y)});
    return most;
}

/// The same faces in any order.
void check_same_set(std::vector<Face> found, const std::vector<Face>& expected, float tolerance) {
    REQUIRE(found.size() == expected.size());
    for (const Face& face : expected) {
        const auto best = std::min_element(found.begin(), found.end(),
                                           [&](const Face& a, const Face& b) { return distance(a, face) < distance(b, face); });
        REQUIRE(best != found.end());
        CHECK(distance(*best, face) <= tolerance);
        found.erase(best);
    }
}

std::vector<Face> suppressed(std::vector<Face> all, float threshold, bool equal) {
    std::stable_sort(all.begin(), all.end(), [](const Face& a, const Face& b) { return a.score > b.score; });
    std::vector<Face> kept;
    for (const Face& f : all)
        if (std::none_of(kept.begin(), kept.end(),
                         [&](const Face& k) { return equal ? iou(f.box, k.box) >= threshold : iou(f.box, k.box) > threshold; }))
            kept.push_back(f);
    return kept;
}

}  // namespace

TEST_CASE("looks at several scales and mirrored are merged before one suppression") {
    for (const char* profile : {"biubug6", "insightface"}) {
        const bool pixel_centres = profile == std::string("insightface");
        const Picture picture = random_picture(129, 97, 7), other = mirrored(picture);
        Options options = base();
        options.flip = true;
        // Half sizes of a mirrored and of a straight picture agree to rounding; where coordinates are those of pixel centres, they are
        // mirrored at the network's size, which is no mirroring of the image's coordinates.
        options.scales = pixel_centres ? Scales{1} : Scales{1, 0.5f};
        std::vector<Face> one_by_one;
        for (const float scale : options.scales) {
            Options all = base();
            all.nms_threshold = 1;
            all.scales = {scale};
            const Detector detector = make(all, profile);
            for (const Face& face : detector.detect(picture.view())) one_by_one.push_back(face);
            for (const Face& face : detector.detect(other.view()))
                one_by_one.push_back(mirrored(face, pixel_centres ? 128 : 129));
        }
        const std::vector<Face> expected = suppressed(one_by_one, options.nms_threshold, pixel_centres);
        CAPTURE(std::string(profile));
        CHECK(expected.size() > 5);
        check_same_set(make(options, profile).detect(picture.view()), expected, 0.3f);
    }
}

TEST_CASE("the mirrored image gives mirrored faces") {
    for (const char* profile : {"biubug6", "insightface"})
        for (const int width : {128, 129, 150}) {
            const Picture picture = random_picture(width, 97, 11), other = mirrored(picture);
            const float extent = static_cast<float>(profile == std::string("insightface") ? width - 1 : width);
            for (const Voting voting : {Voting::none, Voting::paper, Voting::insightface}) {
                Options options = base();
                options.flip = true;
                options.voting = voting;
                const Detector detector = make(options, profile);
                std::vector<Face> expected;
                for (const Face& face : detector.detect(picture.view())) expected.push_back(mirrored(face, extent));
                CAPTURE(std::string(profile));
                CAPTURE(width);
                CHECK(!expected.empty());
                check_same_set(detector.detect(other.view()), expected, 2e-3f);
            }
        }
}

TEST_CASE("a transform leads there and back") {
    Random random(3);
    for (int round = 0; round < 500; ++round) {
        const auto unit = [&] { return static_cast<float>(random.below(10001)) / 10000; };
        Transform t;
        t.scale_x = 0.1f + 4 * unit();
        t.scale_y = 0.1f + 4 * unit();
        t.mirrored = round % 2 == 1;
        t.extent = 1 + 2000 * unit();
        const Box box{900 * unit(), 900 * unit(), 900 + 100 * unit(), 900 + 100 * unit()};
        const Box there = t.box_to_network(box), back = t.box_to_image(there);
        CHECK(there.x1 <= there.x2);
        std::array<Point, 5> points;
        for (Point& p : points) p = {900 * unit(), 900 * unit()};
        const std::array<Point, 5> returned = t.landmarks_to_image(t.landmarks_to_network(points));
        CHECK(distance({0, box, points}, {0, back, returned}) < 0.02f);
        // The eye on the left is the other one in the mirror.
        const Point first = t.landmarks_to_network(points)[0], expected = t.to_network(points[t.mirrored ? 1 : 0]);
        CHECK(first.x == expected.x);
        CHECK(first.y == expected.y);
    }
}

TEST_CASE("one look more or less is one look") {
    const Picture picture = random_picture(129, 97, 5);
    const std::vector<Face> expected = make(base()).detect(picture.view());
    Options options = base();
    options.scales = {1, 1};
    check_same_set(make(options).detect(picture.view()), expected, 0);
    options = base();
    options.voting = Voting::paper;
    options.voting_threshold = 1;  // nobody votes
    check_same_set(make(options).detect(picture.view()), expected, 0);
}

TEST_CASE("decode gives what detect gives, voting included") {
    const Picture picture = random_picture(150, 110, 9);
    for (const Voting voting : {Voting::none, Voting::paper, Voting::insightface}) {
        Options options = base(0.05f);
        options.voting = voting;
        options.max_faces = 9;
        const Detector detector = make(options);
        Workspace workspace;
        const Span<const Face> decoded = detector.decode(detector.forward(picture.view(), workspace), workspace);
        const std::vector<Face> found = detector.detect(picture.view());
        REQUIRE(decoded.size() == found.size());
        CHECK(found.size() <= 9);
        for (std::size_t i = 0; i < found.size(); ++i) CHECK(distance(decoded[i], found[i]) == 0);
    }
}

TEST_CASE("nothing is allocated at a size already seen") {
    const Picture a = random_picture(129, 97, 1), b = random_picture(60, 170, 2), same_size = random_picture(129, 97, 3);
    for (const Voting voting : {Voting::none, Voting::paper, Voting::insightface})
        for (const char* profile : {"biubug6", "insightface"}) {
            Options options = base(0);  // the most candidates
            options.scales = {1, 0.5f, 1.5f};
            options.flip = true;
            options.voting = voting;
            if (voting == Voting::paper) {
                options.scales = Scales();
                options.min_face = 10;
            }
            const Detector detector = make(options, profile);
            Workspace workspace;
            detector.detect(a.view(), workspace);
            detector.detect(b.view(), workspace);
            const auto again = [&] {
                detector.detect(a.view(), workspace);
                detector.detect(b.view(), workspace);
                detector.detect(same_size.view(), workspace);
            };
            CHECK(allocations_of(again) == 0);
            if (trimmed()) return;
        }
}

TEST_CASE("the shortest side") {
    const auto size = [](int width, int height, SizePolicy policy, double factor = 1) {
        const InputSize input = detail::input_size(width, height, policy, 1, factor).value();
        return std::make_pair(input.width, input.height);
    };
    CHECK(size(640, 480, SizePolicy::shortest_side(240)) == std::make_pair(320, 240));
    CHECK(size(480, 640, SizePolicy::shortest_side(960)) == std::make_pair(960, 1280));
    CHECK(size(1000, 100, SizePolicy::shortest_side(800, 1200)) == std::make_pair(1200, 120));
    CHECK(size(640, 480, SizePolicy::shortest_side(500), 1.6) == std::make_pair(1067, 800));
    CHECK(size(640, 480, SizePolicy::original(), 0.5) == std::make_pair(320, 240));
    CHECK(size(5, 3, SizePolicy::original(), 1.0 / 64) == std::make_pair(1, 1));
    CHECK(size(1280, 960, SizePolicy::longest_side(640), 0.5) == std::make_pair(320, 240));
    const InputSize exact = detail::input_size(1280, 640, SizePolicy::exact(640, 640), 1, 0.5).value();
    CHECK(exact.width == 320);
    CHECK(exact.height == 160);
    CHECK(exact.padded_height == 320);
    CHECK_THROWS_AS(detail::input_size(8000, 8000, SizePolicy::original(), 1, 4).value(), Error);
}

TEST_CASE("scales that show the faces of interest") {
    for (const float smallest : {0.0f, 5.0f, 20.0f, 90.0f})
        for (const float largest : {0.0f, 95.0f, 300.0f, 1000.0f, 60000.0f})
            for (const int side : {100, 480, 2000, 9000}) {
                if (smallest == 0 && largest == 0) continue;
                const Scales scales = detail::scales_for_faces(smallest, largest, side, side + 200);
                const float least = smallest > 0 ? smallest : detail::kBestFaces[0];
                const float most = std::min(largest > 0 ? largest : 1e9f, static_cast<float>(side));
                for (float face = least; face <= most; face *= 1.1f)
                    CHECK(std::any_of(scales.begin(), scales.end(), [&](float s) {
                        return face * s >= 0.94f * detail::kBestFaces[0] && face * s <= 1.06f * detail::kBestFaces[1];
                    }));
                CHECK(std::is_sorted(scales.begin(), scales.end(), std::greater<float>()));
            }
    CHECK(detail::scales_for_faces(80, 0, 640, 480).size() == 1);  // large faces alone: a small look suffices
    CHECK(detail::scales_for_faces(80, 0, 640, 480)[0] == 0.25f);
}

TEST_CASE("options that make no sense are refused") {
    const auto refused = [](const Options& options) {
        const Result<Detector> result = Detector::create(seeded_weights(), options);
        return !result && result.error().code() == ErrorCode::invalid_argument;
    };
    CHECK_THROWS_AS(Scales({}), Error);
    CHECK_THROWS_AS(Scales({1, 1, 1, 1, 1, 1, 1, 1, 1}), Error);
    for (const float bad : {0.0f, -1.0f, 17.0f, std::nanf(""), HUGE_VALF}) CHECK_THROWS_AS(Scales({1, bad}), Error);
    Options options = base();
    CHECK(!refused(options));
    options.voting_threshold = 1.5f;
    CHECK(refused(options));
    options = base();
    options.voting = static_cast<Voting>(7);
    CHECK(refused(options));
    for (const float bad : {-1.0f, std::nanf(""), 1e6f}) {
        options = base();
        options.min_face = bad;
        CHECK(refused(options));
        options = base();
        options.max_face = bad;
        CHECK(refused(options));
    }
    options = base();
    options.min_face = 50;
    CHECK(!refused(options));
    options.max_face = 40;
    CHECK(refused(options));
    options.max_face = 60;
    CHECK(!refused(options));
    options.scales = {0.5f};
    CHECK(refused(options));
    options.scales = {};
    options.size = SizePolicy::longest_side(100);
    CHECK(refused(options));
    options = base();
    options.size = SizePolicy::shortest_side(0);
    CHECK(refused(options));
}

TEST_CASE("the paper's augmentation") {
    const Options options = with_paper_augmentation(base());
    const detail::Looks passes = detail::make_looks(750, 500, options, 1, 0).value();
    REQUIRE(passes.count == 10);
    const int expected[5] = {500, 800, 1100, 1400, 1700};
    for (std::size_t i = 0; i < 10; ++i) {
        CHECK(passes.inputs[i].height == expected[i / 2]);
        CHECK(passes.inputs[i].transform.mirrored == (i % 2 == 1));
    }
}
