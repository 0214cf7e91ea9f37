// Box voting against both rules written out plainly over whole matrices of overlaps.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "retinaface/voting.hpp"

namespace rf = retinaface;

namespace {

rf::Face face_of(float score, const rf::Box& box) {
    rf::Face face{score, box, {}};
    for (std::size_t i = 0; i < 5; ++i)
        face.landmarks[i] = {box.x1 + 2.0f * static_cast<float>(i), box.y2 - 3.0f * static_cast<float>(i)};
    return face;
}

/// Crowds of overlapping boxes and some that stand alone, sorted by descending score.
std::vector<rf::Face> candidates(unsigned seed, int crowds, int most) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<float> unit(0, 1);
    std::vector<rf::Face> faces;
    for (int c = 0; c < crowds; ++c) {
        const float side = 10 + 150 * unit(random), x = 1500 * unit(random), y = 900 * unit(random);
        const int count = 1 + static_cast<int>(unit(random) * static_cast<float>(most));
        for (int i = 0; i < count; ++i) {
            const auto shift = [&] { return (unit(random) - 0.5f) * side * 0.5f; };
            faces.push_back(
                face_of(0.02f + 0.97f * unit(random), {x + shift(), y + shift(), x + side + shift(), y + side + shift()}));
        }
    }
    std::stable_sort(faces.begin(), faces.end(), [](const rf::Face& a, const rf::Face& b) { return a.score > b.score; });
    return faces;
}

std::vector<rf::Face> vote(const std::vector<rf::Face>& all, rf::Voting voting, float threshold) {
    rf::detail::Suppressor suppressor;
    rf::detail::Voter voter;
    std::vector<rf::Face> faces;
    const auto box_at = [&](std::size_t i) { return all[i].box; };
    for (const std::uint32_t k : suppressor.run(all.size(), box_at, threshold, voting == rf::Voting::insightface, 0))
        faces.push_back(all[k]);
    voter.run(
        voting, threshold, all.size(), [&](std::size_t i) { return all[i]; }, suppressor, faces);
    return faces;
}

rf::Face mean_of(const std::vector<rf::Face>& voters) {
    double weight = 0, box[4] = {}, points[10] = {};
    for (const rf::Face& f : voters) {
        const double s = static_cast<double>(f.score);
        const float values[4] = {f.box.x1, f.box.y1, f.box.x2, f.box.y2};
        weight += s;
        for (int i = 0; i < 4; ++i) box[i] += s * static_cast<double>(values[i]);
        for (std::size_t i = 0; i < 5; ++i) {
            points[2 * i] += s * static_cast<double>(f.landmarks[i].x);
            points[2 * i + 1] += s * static_cast<double>(f.landmarks[i].y);
        }
    }
    rf::Face mean;
    const auto at = [&](double v) { return static_cast<float>(v / weight); };
    mean.box = {at(box[0]), at(box[1]), at(box[2]), at(box[3])};
    for (std::size_t i = 0; i < 5; ++i) mean.landmarks[i] = {at(points[2 * i]), at(points[2 * i + 1])};
    return mean;
}

/// The paper: survivors, each the mean of everything above the threshold.
std::vector<rf::Face> paper(const std::vector<rf::Face>& all, float threshold) {
    std::vector<rf::Face> kept;
    for (const rf::Face& f : all)
        if (std::none_of(kept.begin(), kept.end(), [&](const rf::Face& k) { return rf::iou(f.box, k.box) > threshold; }))
            kept.push_back(f);
    for (rf::Face& k : kept) {
        std::vector<rf::Face> voters;
        for (const rf::Face& f : all)
            if (rf::iou(f.box, k.box) > threshold) voters.push_back(f);
        if (voters.empty()) continue;
        const rf::Face mean = mean_of(voters);
        k.box = mean.box;
        k.landmarks = mean.landmarks;
    }
    return kept;
}

/// insightface's bbox_vote(): take the first, with all that overlap it; drop it if there were none, unless nothing is left.
std::vector<rf::Face> insightface(std::vector<rf::Face> left, float threshold) {
    std::vector<rf::Face> kept;
    while (!left.empty() && kept.size() < 750) {
        std::vector<rf::Face> taken, others;
        for (const rf::Face& f : left) (rf::iou(left[0].box, f.box) >= threshold ? taken : others).push_back(f);
        rf::Face first = left[0];
        left = others;
        if (taken.size() <= 1) {
            if (left.empty()) kept.push_back(first);
            continue;
        }
        first.box = mean_of(taken).box;
        kept.push_back(first);
    }
    return kept;
}

void check_equal(const std::vector<rf::Face>& found, const std::vector<rf::Face>& expected) {
    REQUIRE(found.size() == expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
        CHECK(found[i].score == expected[i].score);
        CHECK(found[i].box.x1 == doctest::Approx(expected[i].box.x1).epsilon(1e-6));
        CHECK(found[i].box.y1 == doctest::Approx(expected[i].box.y1).epsilon(1e-6));
        CHECK(found[i].box.x2 == doctest::Approx(expected[i].box.x2).epsilon(1e-6));
        CHECK(found[i].box.y2 == doctest::Approx(expected[i].box.y2).epsilon(1e-6));
        for (std::size_t k = 0; k < 5; ++k) {
            CHECK(found[i].landmarks[k].x == doctest::Approx(expected[i].landmarks[k].x).epsilon(1e-6));
            CHECK(found[i].landmarks[k].y == doctest::Approx(expected[i].landmarks[k].y).epsilon(1e-6));
        }
    }
}

}  // namespace

TEST_CASE("the paper's voting") {
    for (const float threshold : {0.1f, 0.4f, 0.7f})
        for (unsigned seed = 1; seed <= 8; ++seed) {
            const std::vector<rf::Face> all = candidates(seed, static_cast<int>(seed * seed), 1 + static_cast<int>(seed) * 3);
            CAPTURE(seed);
            CAPTURE(threshold);
            check_equal(vote(all, rf::Voting::paper, threshold), paper(all, threshold));
        }
}

TEST_CASE("insightface's voting") {
    for (const float threshold : {0.1f, 0.4f, 0.7f})
        for (unsigned seed = 1; seed <= 8; ++seed) {
            const std::vector<rf::Face> all = candidates(seed, static_cast<int>(seed * seed), 1 + static_cast<int>(seed) * 3);
            CAPTURE(seed);
            CAPTURE(threshold);
            check_equal(vote(all, rf::Voting::insightface, threshold), insightface(all, threshold));
        }
}

TEST_CASE("insightface gives 750 faces at most") {
    std::vector<rf::Face> all;
    for (int i = 0; i < 800; ++i)
        for (int twin = 0; twin < 2; ++twin) {
            const float x = 40.0f * static_cast<float>(i % 40), y = 40.0f * static_cast<float>(i / 40);
            all.push_back(face_of(0.9f - 0.001f * static_cast<float>(i), {x, y, x + 20 + static_cast<float>(twin), y + 20}));
        }
    CHECK(vote(all, rf::Voting::insightface, 0.4f).size() == 750);
    check_equal(vote(all, rf::Voting::insightface, 0.4f), insightface(all, 0.4f));
    CHECK(vote(all, rf::Voting::paper, 0.4f).size() == 800);
}

TEST_CASE("who stands alone") {
    const std::vector<rf::Face> apart = {face_of(0.9f, {0, 0, 20, 20}), face_of(0.8f, {100, 0, 120, 20}),
                                         face_of(0.7f, {200, 0, 220, 20})};
    CHECK(vote(apart, rf::Voting::paper, 0.4f).size() == 3);
    const std::vector<rf::Face> last = vote(apart, rf::Voting::insightface, 0.4f);
    REQUIRE(last.size() == 1);
    CHECK(last[0].score == 0.7f);
    CHECK(vote({}, rf::Voting::paper, 0.4f).empty());
    CHECK(vote({}, rf::Voting::insightface, 0.4f).empty());
}

TEST_CASE("an overlap equal to the threshold") {
    // Areas of 10 x 10 and 10 x 4 inclusive pixels, one within the other: IoU 0.4, which is not exact in binary on either side.
    const rf::Face whole = face_of(0.9f, {0, 0, 9, 9}), part = face_of(0.8f, {0, 0, 9, 3});
    const float equal = rf::iou(whole.box, part.box);
    CHECK(vote({whole, part}, rf::Voting::insightface, equal).size() == 1);
    const std::vector<rf::Face> both = vote({whole, part}, rf::Voting::paper, equal);
    REQUIRE(both.size() == 2);
    CHECK(both[0].box.y2 == 9);
}

TEST_CASE("scores of zero make no NaN") {
    const std::vector<rf::Face> all = {face_of(0, {0, 0, 20, 20}), face_of(0, {1, 0, 21, 20})};
    for (const rf::Voting voting : {rf::Voting::paper, rf::Voting::insightface}) {
        const std::vector<rf::Face> found = vote(all, voting, 0.4f);
        REQUIRE(found.size() == 1);
        CHECK(found[0].box.x1 == 0);
    }
}
