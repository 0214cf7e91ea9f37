// RetinaFace: backbone, feature pyramid, context modules, heads.
#pragma once

#include "network.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace models {

/// `Architecture` is a struct as in mobilenet.hpp: kName, kAnchors, Backbone, Neck, Context, Head, activation().
template <class Architecture>
class RetinaFace final : public Network {
    static constexpr std::size_t kLevels = Architecture::kAnchors.levels;
    using Head = typename Architecture::Head;

public:
    /// The caller asks `parameters` whether all tensors were the architecture's.
    RetinaFace(detail::Parameters& parameters, const Profile& profile)
        : Network(profile, parameters.isa(), Architecture::kAnchors, Head::kLayout) {
        const layers::Activation activation = Architecture::activation(parameters.weights(), profile);
        const layers::Scope root = parameters.root();
        backbone_.load(root["backbone"], activation);
        neck_.load(root["fpn"], activation);
        for (std::size_t level = 0; level < kLevels; ++level) {
            const std::string p = "p" + std::to_string(level_number(level));
            context_[level].load(root["context"][p], activation);
            if constexpr (!Head::kShared) heads_[level].load(root["head"][p]);
        }
        if constexpr (Head::kShared) heads_[0].load(root["head"]);
    }
    /// Throws Error (mismatch) where they are not.
    RetinaFace(const Weights& weights, const Profile& profile, Isa isa) : RetinaFace(detail::Parameters(weights, isa), profile) {}

    /// The network, whatever a pass makes of it (passes/).
    template <class Pass>
    void forward(Pass& pass) const {
        using Value = typename Pass::Value;
        const auto pyramid = pass(neck_, pass(backbone_, pass.image()));
        std::array<Value, kLevels> features;
        std::array<const Head*, kLevels> heads;
        for (std::size_t level = 0; level < kLevels; ++level) {
            features[level] = pass(context_[level], pyramid[level]);
            heads[level] = &head_of(level);
        }
        pass.outputs(heads, features);
    }

    void deltas(int level, const float* features, int cells, float* dst) const override {
        head_of(static_cast<std::size_t>(level)).deltas().pixels(features, cells, dst);
    }
    void dense(int level, const float* features, int cells, float* dst) const override {
        if constexpr (Head::kLayout.dense_size() > 0)
            head_of(static_cast<std::size_t>(level)).dense().pixels(features, cells, dst);
    }
    bool mesh(int level, const float* features, MeshCorrection& correction) const override {
        const typename Head::Mesh* const mesh = head_of(static_cast<std::size_t>(level)).mesh();
        if (mesh == nullptr) return false;
        alignas(64) float row[(kMeshSize + 7) / 8 * 8];
        mesh->pixels(features, 1, row);
        correction.known = true;
        std::copy_n(row, correction.shape.size(), correction.shape.begin());
        std::copy_n(row + correction.shape.size(), correction.camera.size(), correction.camera.begin());
        return true;
    }

private:
    RetinaFace(detail::Parameters&& parameters, const Profile& profile) : RetinaFace(parameters, profile) {
        parameters.finish().value();
    }

    void lay_out(passes::Layout& layout) const override { forward(layout); }

    /// Level pN has stride 2^N.
    static int level_number(std::size_t level) {
        int number = 0;
        while (1 << number < Architecture::kAnchors.strides[level]) ++number;
        return number;
    }
    const Head& head_of(std::size_t level) const { return heads_[Head::kShared ? 0 : level]; }

    typename Architecture::Backbone backbone_;
    typename Architecture::Neck neck_;
    std::array<typename Architecture::Context, kLevels> context_;
    std::array<Head, Head::kShared ? 1 : kLevels> heads_;
};

}  // namespace models
RETINAFACE_END_NAMESPACE
