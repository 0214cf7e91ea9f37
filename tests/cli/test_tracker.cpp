// The tracker and the one-euro filter on faces whose motion is known.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "video/tracker.hpp"

namespace {

using retinaface::Face;

Face face_at(double x, double y, double side) {
    Face face;
    face.score = 0.9f;
    const auto f = [](double v) { return static_cast<float>(v); };
    face.box = {f(x - side / 2), f(y - side / 2), f(x + side / 2), f(y + side / 2)};
    for (std::size_t i = 0; i < 5; ++i) face.landmarks[i] = {f(x + 0.1 * side * static_cast<double>(i)), f(y)};
    return face;
}

/// Somebody who walks on a curve.
struct Person {
    double x, y, side, dx, dy, turn;

    double at_x(int frame) const { return x + dx * frame + 30 * std::sin(turn * frame); }
    double at_y(int frame) const { return y + dy * frame; }
};

}  // namespace

TEST_CASE("identities stay: faces that cross, tremble, are missed for up to ten frames, come shuffled") {
    std::mt19937 random(1);
    std::normal_distribution<double> tremble(0, 0.02);
    std::uniform_real_distribution<double> chance(0, 1);
    const std::vector<Person> people = {{100, 200, 80, 4, 0, 0.02},  {900, 230, 80, -4, 0, 0.03}, {500, 50, 60, 0, 3, 0.05},
                                        {520, 600, 70, 0, -3, 0.01}, {200, 500, 40, 1, 1, 0.1},   {700, 400, 120, -1, 0, 0}};
    cli::Tracker tracker;
    std::map<std::size_t, std::set<std::uint64_t>> ids;
    std::vector<int> missing(people.size());
    int switches = 0;
    for (int frame = 0; frame < 300; ++frame) {
        std::vector<Face> faces;
        std::vector<std::size_t> who;
        for (std::size_t p = 0; p < people.size(); ++p) {
            if (missing[p] > 0) {
                --missing[p];
                continue;
            }
            if (chance(random) < 0.02) missing[p] = 1 + static_cast<int>(random() % 9);  // and this frame is the last before
            const Person& person = people[p];
            // Behind a larger face nobody is seen.
            bool hidden = false;
            for (const Person& other : people)
                hidden =
                    hidden || (other.side > person.side && std::hypot(other.at_x(frame) - person.at_x(frame),
                                                                      other.at_y(frame) - person.at_y(frame)) < 0.3 * other.side);
            if (hidden) continue;
            faces.push_back(face_at(person.at_x(frame) + person.side * tremble(random),
                                    person.at_y(frame) + person.side * tremble(random), person.side * (1 + tremble(random))));
            who.push_back(p);
        }
        for (std::size_t i = faces.size(); i-- > 1;) {
            const std::size_t k = random() % (i + 1);
            std::swap(faces[i], faces[k]);
            std::swap(who[i], who[k]);
        }
        const std::vector<std::uint64_t>& found = tracker.update(faces);
        REQUIRE(found.size() == faces.size());
        CHECK(std::set<std::uint64_t>(found.begin(), found.end()).size() == found.size());
        for (std::size_t i = 0; i < found.size(); ++i)
            if (ids[who[i]].insert(found[i]).second && ids[who[i]].size() > 1) ++switches;
    }
    CHECK(switches == 0);
}

TEST_CASE("a face that is missed for ten frames keeps its identity, for eleven it gets another; none is given twice") {
    for (const int gap : {0, 1, 10, 11, 50}) {
        CAPTURE(gap);
        cli::Tracker tracker;
        std::uint64_t before = 0, after = 0;
        for (int frame = 0; frame < 100; ++frame) {
            const bool seen = frame < 40 || frame >= 40 + gap;
            const Face face = face_at(100 + 3 * frame, 100, 60);
            const std::vector<std::uint64_t>& ids = tracker.update({&face, seen ? 1u : 0u});
            if (seen && frame < 40) before = ids[0];
            if (seen) after = ids[0];
        }
        CHECK((before == after) == (gap <= 10));
        CHECK(before == 1);
        CHECK(after <= 2);
    }
}

TEST_CASE("no faces, and very many") {
    cli::Tracker tracker;
    CHECK(tracker.update({}).empty());
    std::vector<Face> crowd;
    for (int i = 0; i < 500; ++i) crowd.push_back(face_at(30 * (i % 25), 30 * (i / 25), 20));
    const std::vector<std::uint64_t> first = tracker.update(crowd);
    CHECK(tracker.update(crowd) == first);
}

TEST_CASE("the one-euro filter: less noise at rest, little lag in motion, the first frame as it is") {
    std::mt19937 random(2);
    std::normal_distribution<double> noise(0, 1);
    const std::vector<std::uint64_t> id{7};
    double rest_before = 0, rest_after = 0, lag = 0;
    cli::Smoother rest(30), motion(30);
    for (int frame = 0; frame < 300; ++frame) {
        std::vector<Face> faces{face_at(200 + noise(random), 200 + noise(random), 100)};
        const double seen = faces[0].landmarks[0].x;
        rest.update(faces, id);
        if (frame == 0) CHECK(faces[0].landmarks[0].x == doctest::Approx(seen));
        if (frame >= 30) {
            rest_before += (seen - 200) * (seen - 200);
            rest_after += (faces[0].landmarks[0].x - 200.0) * (faces[0].landmarks[0].x - 200.0);
        }
        // Two sides a second.
        std::vector<Face> moving{face_at(200 + 200.0 * frame / 30, 200, 100)};
        motion.update(moving, id);
        if (frame >= 60) lag = std::max(lag, std::abs(200 + 200.0 * frame / 30 - static_cast<double>(moving[0].landmarks[0].x)));
    }
    CHECK(rest_after < rest_before / 4);
    CHECK(lag < 6);  // of 100 pixels of side
}
