// How good detections are: the rules behind `retinaface evaluate`.
#pragma once

#include <limits>
#include <vector>

#include "retinaface/face.hpp"

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

/// Faces with a smaller side count as neither found nor missed.
constexpr float kIgnoredSide = 8;

/// Every detection, best first, takes the face that it overlaps most. IoU (without the inclusive pixel) below `min_iou`, or a face
/// already taken: a false alarm. A face too small, or outside the range: neither. False alarms of a size outside the range
/// belong to another range (as in COCO's AP by area).
struct Judged {
    struct Mark {
        float score;
        bool hit;
    };
    std::vector<Mark> marks;  ///< of all pictures, in their order; without the neithers
    std::size_t faces = 0;    ///< to be found

    struct AtThreshold {
        double recall, precision;
        std::size_t hits, false_alarms;
    };
    AtThreshold at(float threshold) const;

    /// Area under the envelope of precision over recall at every detection.
    double average_precision() const;
};
Judged judge(const std::vector<Evaluated>& pictures, float min_iou, SizeRange range = {});

/// Distance of five points from those of the reference faces with score >= 0.8: the mean over the points, divided by the square
/// root of the reference box's area; taken from the detection (score > `threshold`) that overlaps most, with IoU >= 0.5.
struct LandmarkError {
    double mean = 0;        ///< over the faces found
    std::size_t found = 0;  ///< reference faces found
    std::size_t faces = 0;  ///< reference faces
};
LandmarkError landmark_error(const std::vector<Evaluated>& pictures, float threshold, SizeRange range = {});

}  // namespace cli
