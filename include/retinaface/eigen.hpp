// Faces as Eigen maps, without a copy. Needs Eigen 3.3 or newer; nothing else of this library does.
#pragma once

#include <Eigen/Core>
#include <cstddef>

#include "face.hpp"
#include "span.hpp"

RETINAFACE_BEGIN_NAMESPACE

/// Rows of floats at a fixed distance.
template <int Columns>
using FaceMap = Eigen::Map<const Eigen::Matrix<float, Eigen::Dynamic, Columns, Eigen::RowMajor>, 0, Eigen::OuterStride<>>;
using LandmarksMap = Eigen::Map<const Eigen::Matrix<float, 5, 2, Eigen::RowMajor>>;

static_assert(sizeof(Point) == 2 * sizeof(float) && sizeof(Box) == 4 * sizeof(float), "points and boxes are floats alone");
static_assert(sizeof(Face) % sizeof(float) == 0, "faces lie at a whole number of floats from each other");

/// The five landmarks of a face, a row x, y each. Valid as long as the face.
inline LandmarksMap landmarks_map(const Face& face) { return LandmarksMap(&face.landmarks[0].x); }

/// [n, 4]: x1, y1, x2, y2 of every face. Valid as long as the faces; as are the two below.
inline FaceMap<4> boxes_map(Span<const Face> faces) {
    constexpr auto kStride = static_cast<Eigen::Index>(sizeof(Face) / sizeof(float));
    return {faces.empty() ? nullptr : &faces[0].box.x1, static_cast<Eigen::Index>(faces.size()), 4,
            Eigen::OuterStride<>(kStride)};
}
/// [n, 10]: x, y of the five landmarks of every face.
inline FaceMap<10> landmarks_map(Span<const Face> faces) {
    constexpr auto kStride = static_cast<Eigen::Index>(sizeof(Face) / sizeof(float));
    return {faces.empty() ? nullptr : &faces[0].landmarks[0].x, static_cast<Eigen::Index>(faces.size()), 10,
            Eigen::OuterStride<>(kStride)};
}
/// [n]: the scores.
inline Eigen::Map<const Eigen::VectorXf, 0, Eigen::InnerStride<>> scores_map(Span<const Face> faces) {
    constexpr auto kStride = static_cast<Eigen::Index>(sizeof(Face) / sizeof(float));
    return {faces.empty() ? nullptr : &faces[0].score, static_cast<Eigen::Index>(faces.size()), Eigen::InnerStride<>(kStride)};
}

RETINAFACE_END_NAMESPACE
