// Heads of one pyramid level: class logits of every cell, box and landmark deltas of the cells that matter.
#pragma once

#include <memory>

#include "../face.hpp"
#include "../layers/conv2d.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace models {

/// What a head gives a cell: class logits [anchors][background, face]; and a row of deltas, [anchors][x, y, w, h] then
/// [anchors][5][x, y], padded to whole vectors.
struct HeadLayout {
    int anchors;  ///< a cell
    int dense[3] = {0, 0,
                    0};  ///< values an anchor of the dense branch's groups (shape and texture, camera, light); 0: it has none

    constexpr int class_size() const { return 2 * anchors; }
    constexpr int box_size() const { return 4 * anchors; }
    constexpr int landmark_size() const { return 10 * anchors; }
    constexpr int dense_values() const { return dense[0] + dense[1] + dense[2]; }
    /// Of a cell's row of the dense branch: [anchors][dense[0]], [anchors][dense[1]], [anchors][dense[2]].
    constexpr int dense_size() const { return dense_values() * anchors; }
    constexpr int dense_group(int group, int anchor) const {
        return (group > 0 ? dense[0] * anchors : 0) + (group > 1 ? dense[1] * anchors : 0) + dense[group] * anchor;
    }
    constexpr int row_size() const { return (box_size() + landmark_size() + 7) / 8 * 8; }

    constexpr int box(int anchor) const { return 4 * anchor; }
    constexpr int landmark(int anchor) const { return box_size() + 10 * anchor; }
};

/// Numbers of a MeshCorrection.
constexpr int kMeshSize =
    static_cast<int>(std::tuple_size_v<decltype(MeshCorrection::shape)> + std::tuple_size_v<decltype(MeshCorrection::camera)>);

/// Class logits as a layer: 1 x 1, so few outputs that each is a dot product.
template <int C, int Outputs>
class ClassHead : public layers::Leaf {
    static_assert(C % 8 == 0, "channel counts are multiples of 8");

public:
    static constexpr const char* kKernel = "class_logits";

    void load(const layers::Scope& parameters) {
        kernel_ = kernels::find<kernels::ClassLogits<Outputs>>(parameters.isa());
        const std::vector<float>& weights = begin_load(parameters, layers::kIdentity, Outputs, C, 1);
        weights_ = layers::AlignedBuffer(weights.size());
        std::copy(weights.begin(), weights.end(), weights_.data());
    }

    layers::Shape output(const layers::Shape& in) const { return {in.height, in.width, Outputs}; }
    layers::Work work(const layers::Shape& in) const { return {in.height, 1, 0}; }
    static layers::Rows made(const layers::Shape&, int begin, int end) { return {begin, end}; }
    static layers::Rows needed(layers::Rows made) { return made; }
    void run(const layers::Io& io, int begin, int end, float*) const {
        kernel_.run({io.in.row(begin), (end - begin) * io.in.width, C, weights_.data(), bias_.data(), io.out.row(begin)});
    }
    layers::Cost cost() const { return {1LL * C * Outputs, (C + 1LL) * Outputs, 1, 1}; }

private:
    kernels::ClassLogits<Outputs> kernel_;
};

template <int C, int Anchors>
class Heads {
public:
    static constexpr HeadLayout kLayout{Anchors};
    static constexpr bool kShared = false;  ///< one for all levels

    void load(const layers::Scope& parameters) {
        classes_.load(parameters["class"]);
        const layers::Scope box = parameters["box"], landmark = parameters["landmark"];
        box_name_ = box.name();
        landmark_name_ = landmark.name();
        // Box and landmarks are one product, padded to full vectors.
        std::vector<float> weights = box.take("weight", {kLayout.box_size(), C, 1, 1});
        std::vector<float> bias = box.take("bias", {kLayout.box_size()});
        const auto append = [](std::vector<float>& to, const std::vector<float>& from) {
            to.insert(to.end(), from.begin(), from.end());
        };
        append(weights, landmark.take("weight", {kLayout.landmark_size(), C, 1, 1}));
        append(bias, landmark.take("bias", {kLayout.landmark_size()}));
        weights.resize(static_cast<std::size_t>(kLayout.row_size()) * C);
        bias.resize(static_cast<std::size_t>(kLayout.row_size()));
        deltas_.load_from(weights, bias, box, layers::kIdentity);
        if (parameters["mesh"].has("weight")) load_mesh(parameters["mesh"]);
    }

    const ClassHead<C, kLayout.class_size()>& classes() const { return classes_; }
    const layers::PointwiseConv2d<C, kLayout.row_size()>& deltas() const { return deltas_; }
    const std::string& box_name() const { return box_name_; }
    const std::string& landmark_name() const { return landmark_name_; }

    /// A row a cell, padded, of [shape][camera] of a MeshCorrection, whichever anchor the face is of.
    using Mesh = layers::PointwiseConv2d<C, (kMeshSize + 7) / 8 * 8>;
    /// nullptr where the weights have none.
    const Mesh* mesh() const { return mesh_.get(); }

private:
    void load_mesh(const layers::Scope& parameters) {
        std::vector<float> weights = parameters.take("weight", {kMeshSize, C, 1, 1}), bias = parameters.take("bias", {kMeshSize});
        bias.resize((kMeshSize + 7) / 8 * 8);
        weights.resize(bias.size() * C);
        auto mesh = std::make_unique<Mesh>();
        mesh->load_from(weights, bias, parameters, layers::kIdentity);
        mesh_ = std::move(mesh);
    }

    ClassHead<C, kLayout.class_size()> classes_;
    layers::PointwiseConv2d<C, kLayout.row_size()> deltas_;
    std::unique_ptr<const Mesh> mesh_;
    std::string box_name_;
    std::string landmark_name_;
};

}  // namespace models
RETINAFACE_END_NAMESPACE
