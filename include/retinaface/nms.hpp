// Greedy non-maximum suppression, exact and sub-quadratic.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "face.hpp"
#include "span.hpp"

RETINAFACE_BEGIN_NAMESPACE

/// Intersection over union of boxes that include their last pixel: areas are (x2 - x1 + 1)(y2 - y1 + 1), as the reference
/// implementations count.
inline float iou(const Box& a, const Box& b) noexcept {
    const auto area = [](const Box& box) { return (box.x2 - box.x1 + 1) * (box.y2 - box.y1 + 1); };
    const float width = std::min(a.x2, b.x2) - std::max(a.x1, b.x1) + 1;
    const float height = std::min(a.y2, b.y2) - std::max(a.y1, b.y1) + 1;
    if (!(width > 0) || !(height > 0)) return 0;
    const float both = width * height;
    return both / (area(a) + area(b) - both);
}

namespace detail {

/// Coordinates beyond this are no boxes; keeps grid arithmetic within integers.
constexpr float kMaxCoordinate = 16777216.0f;

/// Finite and not absurd.
inline bool is_usable(const Box& box) noexcept {
    const auto usable = [](float v) { return v > -kMaxCoordinate && v < kMaxCoordinate; };  // false for NaN
    return usable(box.x1) && usable(box.y1) && usable(box.x2) && usable(box.y2) && box.x2 >= box.x1 - 1 && box.y2 >= box.y1 - 1;
}

/// Suppression by a grid of the boxes kept so far. A kept box is filed under the octave of its longer side and the cell of its
/// centre at that octave; a candidate meets only boxes of sizes and places that can reach the threshold: IoU > t needs both sides'
/// ratios above t, and centres no further apart than half the sum of the sides. Keeps its buffers from call to call.
class Suppressor {
public:
    /// Makes room for `boxes` candidates.
    void reserve(std::size_t boxes) {
        next_.reserve(boxes);
        kept_.reserve(boxes);
        visited_.reserve(boxes);
        heads_.reserve(table_size(boxes));
    }

    /// Indices of the boxes that survive: taken in the given order (the caller sorts by descending score and breaks ties), a box
    /// is suppressed if its IoU with one kept before it exceeds `threshold` (or equals it, where `equal`). At most `most` are kept
    /// (0: no limit). `box(i)` is usable. Valid until the next call.
    template <class BoxAt>
    Span<const std::uint32_t> run(std::size_t count, BoxAt box, float threshold, bool equal, std::size_t most) {
        kept_.clear();
        next_.clear();
        heads_.assign(table_size(count), kNone);
        mask_ = heads_.size() - 1;
        lowest_ = kMaxOctave;
        highest_ = 0;
        const bool never = !equal && threshold >= 1;  // no IoU exceeds 1, and boxes that coincide would all be compared
        for (std::size_t i = 0; i < count; ++i) {
            const Box candidate = box(i);
            const auto overlaps = [&](std::uint32_t k) {
                const float value = iou(candidate, box(kept_[k]));
                return equal ? value >= threshold : value > threshold;
            };
            if (!never && meets(candidate, threshold, equal, overlaps)) continue;
            insert(candidate, static_cast<std::uint32_t>(i));
            if (kept_.size() == most) break;
        }
        return {kept_.data(), kept_.size()};
    }

    /// Calls visit(k) for each box kept by run() (k counts from the best) whose IoU with `box` exceeds `threshold` (or equals it, where
    /// `equal`). `box_at` as given to run().
    template <class BoxAt, class Visit>
    void for_each_overlapping(const Box& box, BoxAt box_at, float threshold, bool equal, Visit visit) {
        if (!equal && threshold >= 1) return;
        // Cells that share a bucket show a box twice.
        visited_.resize(kept_.size());
        if (++visit_ == 0) {
            std::fill(visited_.begin(), visited_.end(), 0u);
            visit_ = 1;
        }
        const auto see = [&](std::uint32_t k) {
            if (visited_[k] == visit_) return false;
            visited_[k] = visit_;
            const float value = iou(box, box_at(kept_[k]));
            if (equal ? value >= threshold : value > threshold) visit(k);
            return false;
        };
        if (equal && threshold <= 0) {
            for (std::uint32_t k = 0; k < kept_.size(); ++k) see(k);
        } else {
            meets(box, threshold, equal, see);
        }
    }

private:
    static constexpr std::uint32_t kNone = 0xFFFFFFFFu;
    static constexpr int kMaxOctave = 26;

    static std::size_t table_size(std::size_t boxes) {
        std::size_t size = 64;
        while (size < boxes && size < (std::size_t{1} << 16)) size *= 2;
        return size;
    }

    static float longer_side(const Box& box) { return std::max({box.x2 - box.x1 + 1, box.y2 - box.y1 + 1, 1.0f}); }
    /// Smallest octave whose cell is at least `side` wide.
    static int octave(float side) {
        int exponent = 0;
        const float mantissa = std::frexp(side, &exponent);
        return std::min(mantissa == 0.5f ? exponent - 1 : exponent, kMaxOctave);
    }
    static float centre_x(const Box& box) { return 0.5f * (box.x1 + box.x2); }
    static float centre_y(const Box& box) { return 0.5f * (box.y1 + box.y2); }
    static std::int64_t cell(float position, int octave) {
        return static_cast<std::int64_t>(std::floor(std::ldexp(position, -octave)));
    }
    std::uint32_t& head(int octave, std::int64_t x, std::int64_t y) {
        std::uint64_t hash = static_cast<std::uint64_t>(x) * 0x9E3779B97F4A7C15u +
                             static_cast<std::uint64_t>(y) * 0xC2B2AE3D27D4EB4Fu +
                             static_cast<std::uint64_t>(octave) * 0x165667B19E3779F9u;
        hash ^= hash >> 29;
        return heads_[static_cast<std::size_t>(hash) & mask_];
    }

    void insert(const Box& box, std::uint32_t index) {
        const int o = octave(longer_side(box));
        std::uint32_t& first = head(o, cell(centre_x(box), o), cell(centre_y(box), o));
        next_.push_back(first);
        first = static_cast<std::uint32_t>(kept_.size());
        kept_.push_back(index);
        lowest_ = std::min(lowest_, o);
        highest_ = std::max(highest_, o);
    }

    template <class Overlaps>
    bool meets(const Box& box, float threshold, bool equal, Overlaps overlaps) {
        if (kept_.empty()) return false;
        if (equal && threshold <= 0) return true;  // every IoU is at least 0
        const float side = longer_side(box);
        int low = lowest_, high = highest_;
        if (threshold > 0.001f) {
            low = std::max(low, octave(std::max(1.0f, side * threshold * 0.999f)));
            high = std::min(high, octave(std::min(side / threshold * 1.001f, 2 * kMaxCoordinate)));
        }
        // The margin of two pixels covers the inclusive pixel and rounding at large coordinates.
        const auto reach = [&](int o) { return 0.5f * (side + std::ldexp(1.0f, o)) + 2.0f; };
        double cells = 0;
        for (int o = low; o <= high; ++o) {
            const double across = 2.0 * static_cast<double>(reach(o)) / std::ldexp(1.0, o) + 2.0;
            cells += across * across;
        }
        if (cells > static_cast<double>(kept_.size())) {
            for (std::uint32_t k = 0; k < kept_.size(); ++k)
                if (overlaps(k)) return true;
            return false;
        }
        for (int o = low; o <= high; ++o) {
            const float r = reach(o);
            const std::int64_t x1 = cell(centre_x(box) - r, o), x2 = cell(centre_x(box) + r, o);
            const std::int64_t y1 = cell(centre_y(box) - r, o), y2 = cell(centre_y(box) + r, o);
            for (std::int64_t y = y1; y <= y2; ++y)
                for (std::int64_t x = x1; x <= x2; ++x)
                    for (std::uint32_t k = head(o, x, y); k != kNone; k = next_[k])
                        if (overlaps(k)) return true;
        }
        return false;
    }

    std::vector<std::uint32_t> heads_;  ///< first kept box of each bucket
    std::vector<std::uint32_t> next_;   ///< next kept box of the same bucket
    std::vector<std::uint32_t> kept_;
    std::vector<std::uint32_t> visited_;  ///< by kept box: the last call that saw it
    std::uint32_t visit_ = 0;
    std::size_t mask_ = 0;
    int lowest_ = 0;
    int highest_ = 0;
};

}  // namespace detail
RETINAFACE_END_NAMESPACE
