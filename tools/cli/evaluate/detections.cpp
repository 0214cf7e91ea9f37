#include "evaluate/detections.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

namespace cli {

using retinaface::Box;
using retinaface::Face;
using retinaface::Point;

namespace {

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

/// AP where picture i counts weights[i] times.
double weighted_precision(const Marks& marks, const std::vector<std::uint32_t>& weights) {
    double faces = 0, hits = 0, all = 0;
    for (std::size_t i = 0; i < weights.size(); ++i)
        faces += static_cast<double>(weights[i]) * static_cast<double>(marks.faces[i]);
    if (faces == 0) return 0;
    std::vector<std::pair<double, double>> curve;
    for (const Marks::Mark& mark : marks.marks) {
        const double weight = weights[mark.picture];
        if (weight == 0) continue;
        all += weight;
        if (mark.hit) hits += weight;
        curve.emplace_back(hits / faces, hits / all);
    }
    return area_under_envelope(curve);
}

}  // namespace

float side_of(const Box& box) { return std::sqrt(std::max(0.0f, box.x2 - box.x1) * std::max(0.0f, box.y2 - box.y1)); }

double overlap(const Box& a, const Box& b) {
    const auto extent = [](float low, float high) { return std::max(0.0, static_cast<double>(high) - static_cast<double>(low)); };
    const auto area = [&](const Box& box) { return extent(box.x1, box.x2) * extent(box.y1, box.y2); };
    const double both = extent(std::max(a.x1, b.x1), std::min(a.x2, b.x2)) * extent(std::max(a.y1, b.y1), std::min(a.y2, b.y2));
    return both > 0 ? both / (area(a) + area(b) - both) : 0;
}

std::vector<Match> judge(const Evaluated& picture, double min_iou) {
    std::vector<Match> matches;
    std::vector<bool> taken(picture.truth.size());
    for (const Face& face : picture.found) {
        const Best best = most_overlapping(face.box, picture.truth, [](const Box& b) { return b; });
        Match match{face.score, side_of(face.box), Match::Outcome::false_alarm, best.index};
        if (best.iou >= min_iou) {
            if (side_of(picture.truth[best.index]) < kIgnoredSide) {
                match.outcome = Match::Outcome::neither;
            } else if (!taken[best.index]) {
                taken[best.index] = true;
                match.outcome = Match::Outcome::hit;
            }
        }
        matches.push_back(match);
    }
    return matches;
}

Marks pool(const std::vector<Evaluated>& pictures, const std::vector<std::vector<Match>>& matches, SizeRange range) {
    Marks result;
    for (std::size_t i = 0; i < pictures.size(); ++i) {
        const auto counts = [&](const Box& face) { return side_of(face) >= kIgnoredSide && range.contains(side_of(face)); };
        const std::vector<Box>& truth = pictures[i].truth;
        result.faces.push_back(static_cast<std::size_t>(std::count_if(truth.begin(), truth.end(), counts)));
        for (const Match& match : matches[i]) {
            const bool hit = match.outcome == Match::Outcome::hit;
            if (match.outcome != Match::Outcome::neither && (hit ? counts(truth[match.face]) : range.contains(match.side)))
                result.marks.push_back({match.score, hit, static_cast<std::uint32_t>(i)});
        }
    }
    std::stable_sort(result.marks.begin(), result.marks.end(),
                     [](const Marks::Mark& a, const Marks::Mark& b) { return a.score > b.score; });
    return result;
}

std::size_t Marks::total() const { return std::accumulate(faces.begin(), faces.end(), std::size_t{0}); }

std::vector<std::pair<double, double>> Marks::curve() const {
    std::vector<std::pair<double, double>> points;
    const auto all = static_cast<double>(total());
    double hits = 0;
    for (const Mark& mark : marks) {
        if (mark.hit) ++hits;
        points.emplace_back(all > 0 ? hits / all : 0, hits / static_cast<double>(points.size() + 1));
    }
    return points;
}

double Marks::average_precision() const { return area_under_envelope(curve()); }

Marks::AtThreshold Marks::at(float threshold) const {
    AtThreshold result{0, 0, 0, 0};
    for (const Mark& mark : marks)
        if (mark.score > threshold) ++(mark.hit ? result.hits : result.false_alarms);
    const auto ratio = [&](std::size_t of) { return of == 0 ? 0.0 : static_cast<double>(result.hits) / static_cast<double>(of); };
    result.recall = ratio(total());
    result.precision = ratio(result.hits + result.false_alarms);
    return result;
}

double area_under_envelope(const std::vector<std::pair<double, double>>& curve) {
    // From the end, so that the envelope is the greatest precision seen.
    double area = 0, envelope = 0;
    for (std::size_t i = curve.size(); i-- > 0;) {
        envelope = std::max(envelope, curve[i].second);
        area += (curve[i].first - (i > 0 ? curve[i - 1].first : 0)) * envelope;
    }
    return area;
}

Difference compare(const Marks& a, const Marks& b, int rounds) {
    std::vector<double> differences;
    std::mt19937_64 random(1);
    const std::size_t pictures = a.faces.size();
    for (int round = 0; round < rounds && pictures > 0; ++round) {
        std::vector<std::uint32_t> weights(pictures);
        for (std::size_t i = 0; i < pictures; ++i) ++weights[random() % pictures];
        differences.push_back(weighted_precision(a, weights) - weighted_precision(b, weights));
    }
    std::sort(differences.begin(), differences.end());
    const auto part = [&](double share) {
        return differences.empty()
                   ? 0
                   : differences[static_cast<std::size_t>(share * static_cast<double>(differences.size() - 1) + 0.5)];
    };
    return {a.average_precision() - b.average_precision(), part(0.025), part(0.975)};
}

double mean_distance(retinaface::Span<const Point> a, retinaface::Span<const Point> b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
        sum += std::hypot(static_cast<double>(a[i].x) - static_cast<double>(b[i].x),
                          static_cast<double>(a[i].y) - static_cast<double>(b[i].y));
    return a.empty() ? 0 : sum / static_cast<double>(a.size());
}

std::vector<LandmarkError> landmark_errors(const Evaluated& picture, float threshold) {
    constexpr float kReferenceScore = 0.8f;
    constexpr double kMinIou = 0.5;
    std::vector<const Face*> found;
    for (const Face& face : picture.found)
        if (face.score > threshold) found.push_back(&face);
    std::vector<LandmarkError> errors;
    for (const Face& reference : picture.reference) {
        const float side = side_of(reference.box);
        if (reference.score < kReferenceScore || !(side > 0)) continue;
        errors.push_back({side, std::nullopt});
        const Best best = most_overlapping(reference.box, found, [](const Face* face) { return face->box; });
        if (best.iou >= kMinIou)
            errors.back().error = mean_distance(reference.landmarks, found[best.index]->landmarks) / static_cast<double>(side);
    }
    return errors;
}

}  // namespace cli
