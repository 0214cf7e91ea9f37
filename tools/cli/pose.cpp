#include "pose.hpp"

#include "mesh_json.hpp"
#include "retinaface/mesh.hpp"
#include "shipped.hpp"

namespace cli {

retinaface::MeshEstimator make_mesh_estimator(retinaface::Isa isa, bool refine) {
    const auto weights = [](const std::vector<std::uint8_t>& bytes) {
        return retinaface::Weights::from_memory(bytes.data(), bytes.size());
    };
    const retinaface::Weights mesh = weights(shipped_mesh());
    return refine ? retinaface::MeshEstimator(mesh, weights(shipped_refiner()), isa) : retinaface::MeshEstimator(mesh, isa);
}

PoseEstimator::PoseEstimator(retinaface::Isa isa)
    : estimator_(std::make_unique<retinaface::MeshEstimator>(make_mesh_estimator(isa, false))) {}
PoseEstimator::~PoseEstimator() = default;

std::vector<FaceNote> PoseEstimator::of(retinaface::Span<const retinaface::Face> faces,
                                        retinaface::Span<const retinaface::MeshCorrection> corrections) const {
    std::vector<FaceNote> notes;
    for (std::size_t i = 0; i < faces.size(); ++i) {
        FaceNote note{{{"pose", nullptr}}, "  no pose"};
        try {
            const retinaface::Pose pose = estimator_->estimate_pose(faces[i].landmarks, corrections[i]);
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
