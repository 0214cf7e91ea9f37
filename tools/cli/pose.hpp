// The pose of a face for subcommands that do not want its mesh.
#pragma once

#include <memory>
#include <string>

#include "json.hpp"
#include "retinaface/config.hpp"
#include "retinaface/face.hpp"

namespace retinaface {
inline namespace RETINAFACE_ABI {
class MeshEstimator;
}
}  // namespace retinaface

namespace cli {

class PoseEstimator {
public:
    /// Throws retinaface::Error (unsupported).
    explicit PoseEstimator(retinaface::Isa isa);
    ~PoseEstimator();

    /// {yaw, pitch, roll}, or null for five points that are no face's.
    Json as_json(const retinaface::Face& face) const;
    std::string as_text(const retinaface::Face& face) const;

private:
    std::unique_ptr<retinaface::MeshEstimator> estimator_;
};

}  // namespace cli
