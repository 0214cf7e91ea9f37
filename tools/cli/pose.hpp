// What makes meshes, and the pose of a face for subcommands that do not want its mesh.
#pragma once

#include <memory>
#include <string>

#include "records.hpp"
#include "retinaface/config.hpp"
#include "retinaface/face.hpp"

namespace retinaface {
inline namespace RETINAFACE_ABI {
class MeshEstimator;
}
}  // namespace retinaface

namespace cli {

/// Of the weights that come with the tool. Throws retinaface::Error (unsupported).
retinaface::MeshEstimator make_mesh_estimator(retinaface::Isa isa, bool refine);

class PoseEstimator {
public:
    /// Throws retinaface::Error (unsupported).
    explicit PoseEstimator(retinaface::Isa isa);
    ~PoseEstimator();

    /// The poses of faces, for their record; null for five points that are no face's. `corrections`: of each.
    std::vector<FaceNote> of(retinaface::Span<const retinaface::Face> faces,
                             retinaface::Span<const retinaface::MeshCorrection> corrections) const;

private:
    std::unique_ptr<retinaface::MeshEstimator> estimator_;
};

}  // namespace cli
