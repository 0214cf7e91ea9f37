// Anchors: squares at every cell of each pyramid level.
#pragma once

#include "layers/map.hpp"

RETINAFACE_BEGIN_NAMESPACE

/// The anchors of an architecture: level by level, fine to coarse.
struct AnchorLayout {
    static constexpr int kMostLevels = 8;
    static constexpr int kMostPerCell = 4;

    int levels = 0;
    int per_cell = 0;
    int strides[kMostLevels] = {};                ///< network pixels a cell
    float sizes[kMostLevels][kMostPerCell] = {};  ///< sides in network pixels
};

/// Square anchor in pixels of the network's input.
struct Anchor {
    float x;     ///< centre
    float y;     ///< centre
    float size;  ///< side
};

/// The anchors of an input size, in output order: levels fine to coarse, rows, columns, the cell's in the layout's order.
class AnchorGrid {
public:
    AnchorGrid() = default;
    /// `first_centre`: see Profile. `layout` outlives the grid.
    AnchorGrid(const AnchorLayout& layout, int height, int width, float first_centre) noexcept
        : layout_(&layout), first_centre_(first_centre) {
        for (int level = 0; level < layout.levels; ++level) {
            widths_[level] = layers::strided(width, layout.strides[level]);
            cells_[level + 1] = cells_[level] + widths_[level] * layers::strided(height, layout.strides[level]);
        }
    }

    int levels() const noexcept { return layout_ == nullptr ? 0 : layout_->levels; }
    int per_cell() const noexcept { return layout_ == nullptr ? 0 : layout_->per_cell; }
    /// Cells of all levels.
    int cells() const noexcept { return cells_[levels()]; }
    /// Cells of the levels finer than this one.
    int cells_before(int level) const noexcept { return cells_[level]; }
    /// Anchors of all cells.
    int size() const noexcept { return per_cell() * cells(); }

    /// The level of a cell.
    int level(int cell) const noexcept {
        int level = 0;
        while (cell >= cells_[level + 1]) ++level;
        return level;
    }

    /// 0 <= index < size().
    Anchor operator[](int index) const noexcept {
        const int cell = index / layout_->per_cell;
        const int l = level(cell);
        const int in_level = cell - cells_[l];
        const auto stride = static_cast<float>(layout_->strides[l]);
        const float first = first_centre_ > 0 ? first_centre_ : 0.5f * stride;
        const auto centre = [&](int i) { return first + static_cast<float>(i) * stride; };
        return {centre(in_level % widths_[l]), centre(in_level / widths_[l]), layout_->sizes[l][index % layout_->per_cell]};
    }

private:
    const AnchorLayout* layout_ = nullptr;
    float first_centre_ = 0;
    int widths_[AnchorLayout::kMostLevels] = {};
    int cells_[AnchorLayout::kMostLevels + 1] = {};
};

RETINAFACE_END_NAMESPACE
