// Faces and meshes as Eigen maps, without a copy. Needs Eigen 3.3 or newer; nothing else of this library does.
#pragma once

#include <Eigen/Core>
#include <array>
#include <cstddef>
#include <cstdint>

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

/// A row x, y, z (or red, green, blue) each; of floats, or of the indices of corners.
template <class T>
using Rows3Map = Eigen::Map<const Eigen::Matrix<T, Eigen::Dynamic, 3, Eigen::RowMajor>>;

/// [n, 3]: what a Mesh has of every vertex, its vertices3d, projected or colours. Valid until the estimator's next estimate().
inline Rows3Map<float> vertices_map(Span<const float> values) {
    return {values.data(), static_cast<Eigen::Index>(values.size() / 3), 3};
}
/// [t, 3]: the corners of MeshEstimator::triangles(). Valid as long as the estimator.
inline Rows3Map<std::int32_t> triangles_map(Span<const std::int32_t> corners) {
    return {corners.data(), static_cast<Eigen::Index>(corners.size() / 3), 3};
}
/// [68, 3]: Mesh::landmarks68.
inline Eigen::Map<const Eigen::Matrix<float, 68, 3, Eigen::RowMajor>> landmarks_map(
    const std::array<std::array<float, 3>, 68>& landmarks68) {
    static_assert(sizeof landmarks68 == 68 * 3 * sizeof(float), "points are floats alone");
    return Eigen::Map<const Eigen::Matrix<float, 68, 3, Eigen::RowMajor>>(landmarks68[0].data());
}

RETINAFACE_END_NAMESPACE
