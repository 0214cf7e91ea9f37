// Two translation units with different machine flags and options in one program: each runs its own code, because an inline namespace
// that encodes flags and options keeps their functions apart. This one is compiled as the rest of the tests are.
#include <doctest/doctest.h>

#include <cmath>
#include <typeinfo>

#include "images.hpp"
#include "retinaface.hpp"
#include "support/shared_files.hpp"
#include "test_two_units.hpp"

namespace {

using namespace retinaface_test;

TEST_CASE("units compiled for different machines live in one program") {
    const std::string path = source_file("tests/data/seeded_mobilenet025.safetensors");
    const Picture picture = random_picture(129, 97, 5);
    const auto report_a = [&] {
        retinaface::Options options;
        options.score_threshold = 0.1f;
        const retinaface::Detector detector(retinaface::Weights::load(path), options);
        UnitReport report{typeid(retinaface::Detector).name(), retinaface::to_string(detector.isa()), {}};
        for (const retinaface::Face& face : detector.detect(picture.view())) {
            report.faces.push_back(face.score);
            report.faces.insert(report.faces.end(), {face.box.x1, face.box.y1, face.box.x2, face.box.y2});
        }
        return report;
    };
    const UnitReport a = report_a();
    CHECK(!a.faces.empty());

#if RETINAFACE_X86_64
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
        skip("this CPU cannot run the unit compiled for AVX2");
        return;
    }
#endif
    const UnitReport b = report_of_unit_b(path, picture.bytes.data(), picture.width, picture.height);
    CAPTURE(a.scope);
    CAPTURE(b.scope);
    CHECK(a.scope != b.scope);
    CHECK(a.scope.find("static") == std::string::npos);
    CHECK(b.scope.find("_static_no_weights") != std::string::npos);
#if RETINAFACE_X86_64
    CHECK(a.scope.find("avx2") == std::string::npos);
    CHECK(b.scope.find("_avx2_") != std::string::npos);
    CHECK(b.isa == "avx2");
    CHECK(a.isa == retinaface::to_string(retinaface::resolved(retinaface::Isa::automatic)));
#else
    CHECK(b.isa == a.isa);
#endif
    REQUIRE(a.faces.size() == b.faces.size());
    for (std::size_t i = 0; i < a.faces.size(); ++i) {
        CAPTURE(i);
        CHECK(std::abs(a.faces[i] - b.faces[i]) < 1e-2f);
    }
    // And again: what the other unit ran has not changed this one.
    CHECK(report_a().faces == a.faces);
}

}  // namespace
