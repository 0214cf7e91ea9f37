// One look through the network.
#pragma once

#include "../models/network.hpp"
#include "../passes/run.hpp"
#include "preprocess.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace stages {

/// Box and landmark deltas of one anchor.
struct Deltas {
    const float* box;
    const float* landmarks;
};

/// What the network has made of a look. Views into the Inference that made it: valid until its next use.
struct Outputs {
    InputSize input;
    AnchorGrid anchors;
    const float* class_logits;  ///< [anchors][2]
};

/// Memory of running networks: arena and plan. One thread at a time; any network may use it.
class Inference {
public:
    /// `image` has the size of `input`, with its padding or without.
    Outputs run(const models::Network& network, const ImageView& image, const InputSize& input,
                const detail::Parallel& parallel) {
        const layers::Pixels pixels = pixels_of(image, input, network.profile());
        network.plan(pixels.shape(), parallel.threads(), plan_);
        arena_.reserve(plan_.size);
        row_.reserve(static_cast<std::size_t>(network.head().row_size()));
        passes::run(plan_, pixels, arena_.data(), parallel, progress_);
        anchors_ = AnchorGrid(network.anchors(), input.padded_height, input.padded_width, network.profile().first_centre);
        return {input, anchors_, plan_.map(plan_.logits, arena_.data()).data};
    }

    /// Deltas of an anchor of the last run, computed for its cell. Valid until the next call.
    Deltas deltas(const models::Network& network, const AnchorGrid& anchors, int anchor) {
        const int cell = anchor / anchors.per_cell(), level = anchors.level(cell), within = anchor % anchors.per_cell();
        const layers::Map features = plan_.map(plan_.features[static_cast<std::size_t>(level)], arena_.data());
        network.deltas(level, features.data + (cell - anchors.cells_before(level)) * features.pitch, 1, row_.data());
        return {row_.data() + network.head().box(within), row_.data() + network.head().landmark(within)};
    }

    /// What the mesh head says of an anchor of the last run; false where the weights have none, or `network` was not that of the run.
    bool mesh(const models::Network& network, std::uint32_t anchor, MeshCorrection& correction) {
        if (!network.laid_out(plan_)) return false;
        const int cell = static_cast<int>(anchor) / anchors_.per_cell(), level = anchors_.level(cell);
        const layers::Map features = plan_.map(plan_.features[static_cast<std::size_t>(level)], arena_.data());
        return network.mesh(level, features.data + (cell - anchors_.cells_before(level)) * features.pitch, correction);
    }

    /// What the dense branch gives an anchor of the last run, its groups one after the other: head().dense_values() floats.
    void dense(const models::Network& network, std::uint32_t anchor, float* dst) {
        const models::HeadLayout& head = network.head();
        const AnchorGrid& anchors = anchors_;
        const int at = static_cast<int>(anchor), cell = at / anchors.per_cell(), level = anchors.level(cell),
                  within = at % anchors.per_cell();
        const layers::Map features = plan_.map(plan_.features[static_cast<std::size_t>(level)], arena_.data());
        rows_.resize(static_cast<std::size_t>(head.dense_size()));
        network.dense(level, features.data + (cell - anchors.cells_before(level)) * features.pitch, 1, rows_.data());
        for (int group = 0; group < 3; ++group)
            dst = std::copy_n(rows_.data() + head.dense_group(group, within), head.dense[group], dst);
    }

    /// Deltas of every anchor of the last run: boxes [anchors][4], landmarks [anchors][10].
    void all_deltas(const models::Network& network, const AnchorGrid& anchors, std::vector<float>& boxes,
                    std::vector<float>& landmarks) {
        const models::HeadLayout& head = network.head();
        const auto row = static_cast<std::size_t>(head.row_size()), box = static_cast<std::size_t>(head.box_size()),
                   landmark = static_cast<std::size_t>(head.landmark_size());
        const auto cells = static_cast<std::size_t>(anchors.cells());
        rows_.resize(cells * row);
        boxes.resize(cells * box);
        landmarks.resize(cells * landmark);
        for (int level = 0; level < anchors.levels(); ++level) {
            const layers::Map features = plan_.map(plan_.features[static_cast<std::size_t>(level)], arena_.data());
            network.deltas(level, features.data, features.pixels(),
                           rows_.data() + static_cast<std::size_t>(anchors.cells_before(level)) * row);
        }
        for (std::size_t i = 0; i < cells; ++i) {
            std::copy_n(rows_.data() + i * row, box, boxes.data() + i * box);
            std::copy_n(rows_.data() + i * row + box, landmark, landmarks.data() + i * landmark);
        }
    }

private:
    passes::Plan plan_;
    AnchorGrid anchors_;  ///< of the last run
    passes::Progress progress_;
    detail::AlignedArray<std::byte> arena_;
    detail::AlignedBuffer row_;
    std::vector<float> rows_;
};

}  // namespace stages
RETINAFACE_END_NAMESPACE
