#include "evaluation.hpp"

#include <algorithm>
#include <cmath>

namespace cli {

using retinaface::Box;
using retinaface::Face;

namespace {

double overlap(const Box& a, const Box& b) {
    const auto extent = [](float low, float high) { return std::max(0.0, static_cast<double>(high) - static_cast<double>(low)); };
    const auto area = [&](const Box& box) { return extent(box.x1, box.x2) * extent(box.y1, box.y2); };
    const double both = extent(std::max(a.x1, b.x1), std::min(a.x2, b.x2)) * extent(std::max(a.y1, b.y1), std::min(a.y2, b.y2));
    return both > 0 ? both / (area(a) + area(b) - both) : 0;
}

struct Best {
    std::size_t index = 0;
    double iou = -1;  // of none
};

template <class Boxes, class BoxOf>
Best most_overlapping(const Box& box, const Boxes& boxes, BoxOf box_of) {
    Best best;
    for (std::size_t i = 0; i < boxes.size(); ++i) {
        const double iou = overlap(box, box_of(boxes[i]));
        if (iou > best.iou) best = {i, iou};
    }
    return best;
}

}  // namespace

float side_of(const Box& box) { return std::sqrt(std::max(0.0f, box.x2 - box.x1) * std::max(0.0f, box.y2 - box.y1)); }

Judged judge(const std::vector<Evaluated>& pictures, float min_iou, SizeRange range) {
    Judged result;
    for (const Evaluated& picture : pictures) {
        const auto counts = [&](const Box& face) { return side_of(face) >= kIgnoredSide && range.contains(side_of(face)); };
        result.faces += static_cast<std::size_t>(std::count_if(picture.truth.begin(), picture.truth.end(), counts));
        std::vector<bool> taken(picture.truth.size());
        for (const Face& face : picture.found) {
            const Best best = most_overlapping(face.box, picture.truth, [](const Box& b) { return b; });
            const bool overlaps = best.iou >= static_cast<double>(min_iou);
            if (overlaps && side_of(picture.truth[best.index]) < kIgnoredSide) continue;
            const bool hit = overlaps && !taken[best.index];
            if (hit) taken[best.index] = true;
            if (hit ? counts(picture.truth[best.index]) : range.contains(side_of(face.box)))
                result.marks.push_back({face.score, hit});
        }
    }
    return result;
}

double Judged::average_precision() const {
    if (faces == 0) return 0;
    std::vector<Mark> sorted = marks;
    std::stable_sort(sorted.begin(), sorted.end(), [](const Mark& a, const Mark& b) { return a.score > b.score; });
    std::size_t hits = 0;
    for (const Mark& mark : sorted) hits += mark.hit ? 1 : 0;
    // From the end, so that the envelope is the greatest precision seen.
    double area = 0, envelope = 0;
    for (std::size_t i = sorted.size(); i-- > 0;) {
        envelope = std::max(envelope, static_cast<double>(hits) / static_cast<double>(i + 1));
        if (!sorted[i].hit) continue;
        area += envelope;
        --hits;
    }
    return area / static_cast<double>(faces);
}

Judged::AtThreshold Judged::at(float threshold) const {
    AtThreshold result{0, 0, 0, 0};
    for (const Mark& mark : marks)
        if (mark.score > threshold) ++(mark.hit ? result.hits : result.false_alarms);
    const auto ratio = [&](std::size_t of) { return of == 0 ? 0.0 : static_cast<double>(result.hits) / static_cast<double>(of); };
    result.recall = ratio(faces);
    result.precision = ratio(result.hits + result.false_alarms);
    return result;
}

LandmarkError landmark_error(const std::vector<Evaluated>& pictures, float threshold, SizeRange range) {
    constexpr float kReferenceScore = 0.8f, kMinIou = 0.5f;
    LandmarkError result;
    for (const Evaluated& picture : pictures) {
        std::vector<const Face*> found;
        for (const Face& face : picture.found)
            if (face.score > threshold) found.push_back(&face);
        for (const Face& reference : picture.reference) {
            const float side = side_of(reference.box);
            if (reference.score < kReferenceScore || !(side > 0) || !range.contains(side)) continue;
            ++result.faces;
            const Best best = most_overlapping(reference.box, found, [](const Face* face) { return face->box; });
            if (best.iou < static_cast<double>(kMinIou)) continue;
            double distance = 0;
            for (std::size_t i = 0; i < reference.landmarks.size(); ++i) {
                const retinaface::Point &a = reference.landmarks[i], &b = found[best.index]->landmarks[i];
                distance += std::hypot(static_cast<double>(a.x - b.x), static_cast<double>(a.y - b.y));
            }
            ++result.found;
            result.mean += distance / static_cast<double>(reference.landmarks.size()) / static_cast<double>(side);
        }
    }
    if (result.found > 0) result.mean /= static_cast<double>(result.found);
    return result;
}

}  // namespace cli
