#pragma once

#include "stages/postprocess.hpp"

RETINAFACE_BEGIN_NAMESPACE

namespace detail {
class Engine;
}

/// Memory of detect(): buffers grow to the largest image seen and stay. One thread at a time; any detector may use it.
class Workspace {
public:
    Workspace() = default;
    Workspace(Workspace&&) = default;
    Workspace& operator=(Workspace&&) = default;

    /// How the last image was turned: what Options::rotation says, or which turn Rotation::automatic found.
    Rotation rotation() const noexcept { return rotation_; }

    /// Gives the memory back; the next image takes what it needs anew. What lies in the workspace is no longer valid.
    void trim() noexcept { *this = Workspace(); }

private:
    friend class detail::Engine;

    stages::Preprocessor before_;
    stages::Inference inference_;
    stages::Postprocessor after_;
    Rotation rotation_ = Rotation::none;
    std::size_t found_ = 0;     ///< faces of the last detect()
    bool looked_once_ = false;  ///< they are those of one look, whose maps still lie here
    std::vector<MeshCorrection> corrections_;
    std::vector<float> boxes_;      ///< of forward()
    std::vector<float> landmarks_;  ///< of forward()
};

RETINAFACE_END_NAMESPACE
