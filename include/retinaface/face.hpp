#pragma once

#include <array>

#include "config.hpp"

RETINAFACE_BEGIN_NAMESPACE

/// Position in pixels of the image given to detect(): x right, y down, pixel (i, j) covers [i, i + 1) x [j, j + 1).
struct Point {
    float x = 0;
    float y = 0;
};

/// Corners (x1, y1) top left, (x2, y2) bottom right. Not clipped to the image unless Options::clip or the weights' profile says so.
struct Box {
    float x1 = 0;
    float y1 = 0;
    float x2 = 0;
    float y2 = 0;
};

/// What detect() says of a face.
struct Face {
    float score = 0;  ///< probability, 0..1
    Box box;          ///< pixels of the image given to detect()
    /// The eye on the image's left, the eye on its right, nose tip, mouth corner on its left, on its right.
    std::array<Point, 5> landmarks{};
};

/// What a mesh head says of a face beside its five points: what the mesh fitted to these lacks. For MeshEstimator::estimate().
struct MeshCorrection {
    bool known = false;             ///< false: no mesh head has said anything, and the fit to the five points stays as it is
    std::array<float, 48> shape{};  ///< the first of the mesh decoder's 128 numbers, in place of those fitted; the rest are 0
    /// To the camera fitted: a turn about the image's axes x right, y up, z out of it (radians), the logarithm of the scale's factor, a
    /// shift right and down in centimetres.
    std::array<float, 6> camera{};
};

RETINAFACE_END_NAMESPACE
