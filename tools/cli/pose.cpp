#include "pose.hpp"

#include "mesh_json.hpp"
#include "model.hpp"
#include "retinaface/mesh.hpp"

namespace cli {

PoseEstimator::PoseEstimator(retinaface::Isa isa)
    : estimator_(std::make_unique<retinaface::MeshEstimator>(load_mesh_weights(), isa)) {}
PoseEstimator::~PoseEstimator() = default;

std::vector<FaceNote> PoseEstimator::of(retinaface::Span<const retinaface::Face> faces) const {
    std::vector<FaceNote> notes;
    for (const retinaface::Face& face : faces) {
        FaceNote note{{{"pose", nullptr}}, "  no pose"};
        try {
            const retinaface::Pose pose = estimator_->estimate_pose(face.landmarks);
            note.json["pose"] = to_json(pose);
            note.text = to_text(pose);
        } catch (const retinaface::Error&) {
            // Said by the null.
        }
        notes.push_back(std::move(note));
    }
    return notes;
}

}  // namespace cli
