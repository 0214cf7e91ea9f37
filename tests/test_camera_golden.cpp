// The official weights on camera frames of the golden pictures: the faces of the packed form within a pixel. Skipped without
// ../shared (made readable by golden_files.py, a fixture of ctest).

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "camera_frames.hpp"
#include "retinaface.hpp"
#include "support/isa_under_test.hpp"
#include "support/shared_files.hpp"
#include "support/trim.hpp"

namespace {

using namespace retinaface_test;
using namespace retinaface;

TEST_CASE("camera frames of a picture show its faces") {
    const std::string folder = RETINAFACE_GOLDEN_DIR "/";
    if (!std::filesystem::exists(folder + "biubug6.safetensors")) return skip(folder + "biubug6.safetensors is not there");
    Options options;
    options.isa = isa_under_test();
    const Detector detector(Weights::load(folder + "biubug6.safetensors"), options);
    note_isa(detector.isa());
    Workspace workspace;
    for (const char* name : {"five", "astronaut", "vga", "single", "street", "crowd"}) {
        if (trimmed() && name != std::string("five")) continue;
        const Weights golden = Weights::load(folder + "biubug6_" + name + ".safetensors");
        const Tensor* image = golden.find("image");
        REQUIRE(image != nullptr);
        const ImageView rgb(image->bytes.data(), static_cast<int>(image->shape[1]), static_cast<int>(image->shape[0]));
        const std::vector<Face> expected = detector.detect(rgb);
        REQUIRE(!expected.empty());
        for (const PixelFormat format : {PixelFormat::nv12, PixelFormat::nv21, PixelFormat::yuyv}) {
            for (const YuvRange range : {YuvRange::video, YuvRange::full}) {
                const CameraFrame frame = frame_of(rgb, format, range);
                const Span<const Face> found = detector.detect(frame.view(), workspace);
                CAPTURE(name);
                CAPTURE(static_cast<int>(format));
                CAPTURE(static_cast<int>(range));
                float box = 0, landmark = 0, score = 0;
                int matched = 0;
                for (const Face& face : expected) {
                    const auto distance = [&](const Face& other) {
                        return std::max({std::abs(face.box.x1 - other.box.x1), std::abs(face.box.y1 - other.box.y1),
                                         std::abs(face.box.x2 - other.box.x2), std::abs(face.box.y2 - other.box.y2)});
                    };
                    const auto* nearest = std::min_element(
                        found.begin(), found.end(), [&](const Face& a, const Face& b) { return distance(a) < distance(b); });
                    if (nearest == found.end() || distance(*nearest) > 10) {
                        // A score on the threshold may fall to either side.
                        CHECK(std::abs(face.score - options.score_threshold) < 0.05f);
                        continue;
                    }
                    ++matched;
                    box = std::max(box, distance(*nearest));
                    score = std::max(score, std::abs(nearest->score - face.score));
                    for (std::size_t i = 0; i < 5; ++i)
                        landmark = std::max({landmark, std::abs(face.landmarks[i].x - nearest->landmarks[i].x),
                                             std::abs(face.landmarks[i].y - nearest->landmarks[i].y)});
                }
                std::printf("%s format %d range %d: %d faces, box %.3f px, landmark %.3f px, score %.4f\n", name,
                            static_cast<int>(format), static_cast<int>(range), matched, static_cast<double>(box),
                            static_cast<double>(landmark), static_cast<double>(score));
                CHECK(matched > 0);
                CHECK(box <= 1);
                CHECK(landmark <= 1);
            }
        }
    }
}

}  // namespace
