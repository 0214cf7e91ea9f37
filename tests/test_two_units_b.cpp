// The second unit of test_two_units_a.cpp. tests/CMakeLists.txt compiles it with -mavx2 -mfma on x86-64.
#define RETINAFACE_STATIC_DISPATCH
#define RETINAFACE_NO_DEFAULT_WEIGHTS
#include "test_two_units.hpp"

#include <typeinfo>

#include "retinaface.hpp"

UnitReport report_of_unit_b(const std::string& weights_path, const unsigned char* rgb, int width, int height) {
    retinaface::Options options;
    options.score_threshold = 0.1f;
    const retinaface::Detector detector(retinaface::Weights::load(weights_path), options);
    UnitReport report{typeid(retinaface::Detector).name(), retinaface::to_string(detector.isa()), {}};
    for (const retinaface::Face& face : detector.detect({rgb, width, height})) {
        report.faces.push_back(face.score);
        report.faces.insert(report.faces.end(), {face.box.x1, face.box.y1, face.box.x2, face.box.y2});
    }
    return report;
}
