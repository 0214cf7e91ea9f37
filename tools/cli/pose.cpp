#include "pose.hpp"

#include "mesh_json.hpp"
#include "retinaface/mesh.hpp"

namespace cli {

PoseEstimator::PoseEstimator(retinaface::Isa isa)
    : estimator_(std::make_unique<retinaface::MeshEstimator>(retinaface::default_mesh_weights(), isa)) {}
PoseEstimator::~PoseEstimator() = default;

Json PoseEstimator::as_json(const retinaface::Face& face) const {
    try {
        return to_json(estimator_->estimate_pose(face.landmarks));
    } catch (const retinaface::Error&) {
        return nullptr;
    }
}

std::string PoseEstimator::as_text(const retinaface::Face& face) const {
    try {
        return to_text(estimator_->estimate_pose(face.landmarks));
    } catch (const retinaface::Error&) {
        return "  no pose";
    }
}

}  // namespace cli
