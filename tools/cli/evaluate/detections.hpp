// How good detections are: the House rule, the one place where average precision is computed, and landmark error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "retinaface/face.hpp"
#include "retinaface/span.hpp"

namespace cli {

/// Detections of one picture and what is known about it.
struct Evaluated {
    std::vector<retinaface::Face> found;      ///< best first
    std::vector<retinaface::Box> truth;       ///< every face, drawn by people
    std::vector<retinaface::Face> reference;  ///< faces with landmarks, from a reference network
};

/// Sides (square root of the area) in pixels of the picture, `low` included.
struct SizeRange {
    float low = 0;
    float high = std::numeric_limits<float>::infinity();

    bool contains(float side) const { return side >= low && side < high; }
};

/// Square root of the area x2 - x1 times y2 - y1; 0 for an empty box.
float side_of(const retinaface::Box& box);

/// IoU without the inclusive pixel; 0 where nothing is shared.
double overlap(const retinaface::Box& a, const retinaface::Box& b);

/// The thresholds of AP@.5:.95.
constexpr int kOverlaps = 10;
constexpr double overlap_at(int i) { return 0.5 + 0.05 * i; }

/// Faces with a smaller side count as neither found nor missed.
constexpr float kIgnoredSide = 8;

/// What one detection is.
struct Match {
    enum class Outcome { false_alarm, hit, neither };

    float score;
    float side;  ///< of the detection
    Outcome outcome;
    std::size_t face;  ///< of a hit: the index of the face
};

/// Every detection, best first, takes the face that it overlaps most. IoU (without the inclusive pixel) below `min_iou`, or a face
/// already taken: a false alarm. A face too small: neither.
std::vector<Match> judge(const Evaluated& picture, double min_iou);

/// Detections of many pictures that count for faces of a range of sizes, best first: hits of faces in it, and false alarms of that size
/// themselves; those of another size belong to another range (as in COCO's AP by area).
struct Marks {
    struct Mark {
        float score;
        bool hit;
        std::uint32_t picture;
    };
    std::vector<Mark> marks;         ///< best first; equal ones in the order of the pictures
    std::vector<std::size_t> faces;  ///< to be found, a picture

    std::size_t total() const;

    struct AtThreshold {
        double recall, precision;
        std::size_t hits, false_alarms;
    };
    AtThreshold at(float threshold) const;

    /// Area under the envelope of precision over recall at every detection.
    double average_precision() const;

    /// Recall and precision at every detection.
    std::vector<std::pair<double, double>> curve() const;
};
Marks pool(const std::vector<Evaluated>& pictures, const std::vector<std::vector<Match>>& matches, SizeRange range = {});

/// The area under the upper envelope of precision over recall, which never falls (average precision as of VOC 2010): the sum over the
/// points of the step of recall times the greatest precision from there on.
double area_under_envelope(const std::vector<std::pair<double, double>>& curve);

/// AP of `a` less that of `b`, of the same pictures, and the 2.5th and 97.5th of a hundred parts of that difference over `rounds`
/// draws of the pictures with replacement.
struct Difference {
    double mean, low, high;
};
Difference compare(const Marks& a, const Marks& b, int rounds = 1000);

/// The mean distance of points from their counterparts.
double mean_distance(retinaface::Span<const retinaface::Point> a, retinaface::Span<const retinaface::Point> b);

/// Distance of five points from those of the reference faces with score >= 0.8: the mean over the points, divided by the square root of
/// the reference box's area; taken from the detection (score > `threshold`) that overlaps most, with IoU >= 0.5.
struct LandmarkError {
    float side;                   ///< of the reference face
    std::optional<double> error;  ///< none: not found
};
std::vector<LandmarkError> landmark_errors(const Evaluated& picture, float threshold);

}  // namespace cli
