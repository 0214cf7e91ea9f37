// Rotation::automatic and Options::clip: the faces are those of the detector that was told the turn, their boxes within the frame.
#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include "images.hpp"
#include "retinaface.hpp"
#include "support/allocations.hpp"
#include "support/trim.hpp"
#include "weights_files.hpp"

namespace {

using namespace retinaface_test;
using namespace retinaface;

constexpr Rotation kRotations[] = {Rotation::none, Rotation::clockwise_90, Rotation::clockwise_180, Rotation::clockwise_270};

Options options(Rotation rotation) {
    Options options;
    options.score_threshold = 0.3f;
    options.rotation = rotation;
    return options;
}

float sum_of_scores(const std::vector<Face>& faces) {
    float sum = 0;
    for (const Face& face : faces) sum += face.score;
    return sum;
}

void check_equal(Span<const Face> found, const std::vector<Face>& expected) {
    REQUIRE(found.size() == expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
        CHECK(found[i].score == expected[i].score);
        CHECK(found[i].box.x1 == expected[i].box.x1);
        CHECK(found[i].landmarks[2].y == expected[i].landmarks[2].y);
    }
}

}  // namespace

TEST_CASE("the turn found is the one whose small look finds most") {
    const Detector automatic(seeded_weights(), options(Rotation::automatic));
    int turned = 0;
    for (const auto& [width, height] : {std::pair(200, 150), std::pair(90, 400), std::pair(700, 500), std::pair(1, 1)}) {
        for (std::uint64_t seed = 1; seed <= (trimmed() ? 1 : 3); ++seed) {
            if (trimmed() && width > 200) continue;
            const Picture picture = random_picture(width, height, seed);
            Workspace workspace;
            const Span<const Face> found = automatic.detect(picture.view(), workspace);
            const Rotation rotation = workspace.rotation();
            CAPTURE(static_cast<int>(rotation));
            check_equal(found, Detector(seeded_weights(), options(rotation)).detect(picture.view()));
            check_equal(automatic.detect(picture.view(), workspace), automatic.detect(picture.view()));
            turned += rotation != Rotation::none ? 1 : 0;
            if (std::max(width, height) > kTurnSide) continue;  // there the small look is a smaller one
            float most = 0;
            Rotation best = Rotation::none;
            for (const Rotation each : kRotations) {
                const float sum = sum_of_scores(Detector(seeded_weights(), options(each)).detect(picture.view()));
                if (sum > most) {
                    most = sum;
                    best = each;
                }
            }
            CHECK(rotation == best);
        }
    }
    CHECK((turned > 0 || trimmed()));
}

TEST_CASE("camera frames too, and no memory at a size already seen") {
    const Detector automatic(seeded_weights(), options(Rotation::automatic));
    const std::vector<std::uint8_t> frame = Random(5).bytes(320 * 240 * 2);
    const ImageView view(frame.data(), 320, 240, PixelFormat::yuyv);
    Workspace workspace;
    const Span<const Face> found = automatic.detect(view, workspace);
    check_equal(found, Detector(seeded_weights(), options(workspace.rotation())).detect(view));
    const long before = allocations();
    automatic.detect(view, workspace);
    CHECK(allocations() == before);
    CHECK(automatic.forward(view, workspace).input.width == (static_cast<int>(workspace.rotation()) % 180 == 0 ? 320 : 240));
}

TEST_CASE("a picture without faces stays as it is") {
    const std::vector<std::uint8_t> pixels(300 * 200 * 3, 128);
    Options strict = options(Rotation::automatic);
    strict.score_threshold = 1;
    Workspace workspace;
    CHECK(Detector(seeded_weights(), strict).detect({pixels.data(), 300, 200}, workspace).size() == 0);
    CHECK(workspace.rotation() == Rotation::none);
}

TEST_CASE("clipped boxes are the others, cut at the upright frame") {
    const Picture picture = random_picture(230, 140, 9);
    for (const bool several : {false, true}) {
        Options free = options(Rotation::clockwise_90), clip = free;
        if (several) {
            free.scales = {1, 0.5f};
            free.flip = true;
        }
        clip = free;
        clip.clip = true;
        const std::vector<Face> expected = Detector(seeded_weights(), free).detect(picture.view());
        Workspace workspace;
        const Detector clipping(seeded_weights(), clip);
        const Span<const Face> found = clipping.detect(picture.view(), workspace);
        REQUIRE(found.size() == expected.size());
        int cut = 0;
        for (std::size_t i = 0; i < expected.size(); ++i) {
            const Box& box = expected[i].box;
            const auto within = [&](float v, float most) {
                cut += v < 0 || v > most ? 1 : 0;
                return std::min(std::max(v, 0.0f), most);
            };
            CHECK(found[i].box.x1 == within(box.x1, 140));
            CHECK(found[i].box.x2 == within(box.x2, 140));
            CHECK(found[i].box.y1 == within(box.y1, 230));
            CHECK(found[i].box.y2 == within(box.y2, 230));
            CHECK(found[i].landmarks[0].x == expected[i].landmarks[0].x);
        }
        CHECK(cut > 0);
        if (several) continue;
        const std::vector<Face> again(found.begin(), found.end());
        check_equal(clipping.decode(clipping.forward(picture.view(), workspace), workspace), again);
    }
}
