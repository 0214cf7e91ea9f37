// Anchors: two squares a cell of each pyramid level, small first.
#pragma once

#include "layers/map.hpp"

RETINAFACE_BEGIN_NAMESPACE

constexpr int kLevels = 3;
constexpr int kAnchorsPerCell = 2;
constexpr int kStrides[kLevels] = {8, 16, 32};
constexpr float kAnchorSizes[kLevels][kAnchorsPerCell] = {{16, 32}, {64, 128}, {256, 512}};

/// Square anchor in pixels of the network's input.
struct Anchor {
    float x;  ///< centre
    float y;
    float size;
};

/// The anchors of an input size, in output order: levels fine to coarse, rows, columns, small first.
class AnchorGrid {
public:
    AnchorGrid() = default;
    /// `first_centre`: see Profile.
    AnchorGrid(int height, int width, float first_centre) noexcept : first_centre_(first_centre) {
        for (int level = 0; level < kLevels; ++level) {
            widths_[level] = layers::strided(width, kStrides[level]);
            heights_[level] = layers::strided(height, kStrides[level]);
            cells_[level + 1] = cells_[level] + widths_[level] * heights_[level];
        }
    }

    int cells() const noexcept { return cells_[kLevels]; }
    int cells_before(int level) const noexcept { return cells_[level]; }
    int size() const noexcept { return kAnchorsPerCell * cells(); }

    /// The level of a cell.
    int level(int cell) const noexcept { return cell < cells_[1] ? 0 : cell < cells_[2] ? 1 : 2; }

    Anchor operator[](int index) const noexcept {
        const int cell = index / kAnchorsPerCell;
        const int l = level(cell);
        const int in_level = cell - cells_[l];
        const auto stride = static_cast<float>(kStrides[l]);
        const float first = first_centre_ > 0 ? first_centre_ : 0.5f * stride;
        const auto centre = [&](int i) { return first + static_cast<float>(i) * stride; };
        return {centre(in_level % widths_[l]), centre(in_level / widths_[l]), kAnchorSizes[l][index % kAnchorsPerCell]};
    }

private:
    float first_centre_ = 0;
    int widths_[kLevels] = {};
    int heights_[kLevels] = {};
    int cells_[kLevels + 1] = {};
};

RETINAFACE_END_NAMESPACE
