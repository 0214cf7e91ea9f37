// What detect() allocates: nothing at a size already seen.

#include <doctest/doctest.h>

#include <string>

#include "images.hpp"
#include "retinaface.hpp"
#include "support/allocations.hpp"
#include "support/isa_under_test.hpp"
#include "support/trim.hpp"
#include "weights_files.hpp"

namespace {

using namespace retinaface_test;
using namespace retinaface;

TEST_CASE("detect, forward and decode allocate nothing at a size already seen") {
    const Picture pictures[] = {random_picture(129, 97, 1), random_picture(64, 48, 2), random_picture(9, 160, 3),
                                random_picture(300, 7, 4)};
    for (const char* profile : {"biubug6", "insightface"}) {
        for (const int threads : {1, 3}) {
            for (const SizePolicy size : {SizePolicy::original(), SizePolicy::longest_side(60), SizePolicy::exact(150, 110)}) {
                if (trimmed() && std::string(profile) != "biubug6") continue;
                CAPTURE(std::string(profile));
                CAPTURE(threads);
                CAPTURE(size.width());
                Options options;
                options.isa = isa_under_test();
                options.threads = threads;
                options.size = size;
                options.score_threshold = 0;  // the most candidates
                const Detector detector(seeded_weights_as(profile), options);
                note_isa(detector.isa());
                Workspace workspace, decoding;
                const auto detect_all = [&] {
                    for (const Picture& picture : pictures) detector.detect(picture.view(), workspace);
                };
                CHECK(allocations_of(detect_all) > 0);
                CHECK(allocations_of(detect_all) == 0);
                CHECK(allocations_of(detect_all) == 0);
                const auto forward_all = [&] {
                    for (const Picture& picture : pictures)
                        detector.decode(detector.forward(picture.view(), workspace), decoding);
                };
                forward_all();
                CHECK(allocations_of(forward_all) == 0);
                CHECK(allocations_of(detect_all) == 0);

                // Other pictures of a size seen: more or fewer faces make no difference.
                const Picture other = random_picture(129, 97, 77);
                CHECK(allocations_of([&] { detector.detect(other.view(), workspace); }) == 0);

                // detect(image) allocates its result alone.
                std::vector<Face> faces = detector.detect(pictures[0].view());
                CHECK(allocations_of([&] { faces = detector.detect(pictures[0].view()); }) == 1);
            }
        }
    }
}

TEST_CASE("alternating policies on one workspace allocate nothing once seen") {
    std::vector<Detector> detectors;
    for (const SizePolicy size : {SizePolicy::original(), SizePolicy::longest_side(50), SizePolicy::exact(200, 120)}) {
        Options options;
        options.isa = isa_under_test();
        options.size = size;
        options.score_threshold = 0;
        detectors.emplace_back(seeded_weights(), options);
    }
    const Picture first = random_picture(100, 80, 1), second = random_picture(31, 77, 2);
    Workspace workspace;
    const auto all = [&] {
        for (const Detector& detector : detectors)
            for (const Picture* picture : {&first, &second}) detector.detect(picture->view(), workspace);
    };
    all();
    CHECK(allocations_of(all) == 0);
}

}  // namespace
