// Which way a head faces: three angles, and rotations.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>

#include "../config.hpp"

RETINAFACE_BEGIN_NAMESPACE

/// The convention, stated here and nowhere else. Degrees; a frontal, upright face has 0, 0, 0. A face is first pitched, then yawed, then
/// rolled in the image: rotation = Rz(-roll) Ry(yaw) Rx(-pitch), in axes x right, y up, z out of the image.
struct Pose {
    float yaw = 0;    ///< -90..90, positive when the face turns to the image's right
    float pitch = 0;  ///< -180..180, positive up
    float roll = 0;   ///< -180..180, positive clockwise in the image
};

namespace detail {

using Vec3 = std::array<double, 3>;
using Mat3 = std::array<double, 9>;  // row by row

constexpr double kDegree = 3.14159265358979323846 / 180;

inline Mat3 multiply(const Mat3& a, const Mat3& b) {
    Mat3 c{};
    for (std::size_t i = 0; i < 3; ++i)
        for (std::size_t j = 0; j < 3; ++j)
            for (std::size_t k = 0; k < 3; ++k) c[3 * i + j] += a[3 * i + k] * b[3 * k + j];
    return c;
}
inline Vec3 multiply(const Mat3& a, const Vec3& v) {
    return {a[0] * v[0] + a[1] * v[1] + a[2] * v[2], a[3] * v[0] + a[4] * v[1] + a[5] * v[2],
            a[6] * v[0] + a[7] * v[1] + a[8] * v[2]};
}
inline double dot(const Vec3& a, const Vec3& b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }
inline Vec3 cross(const Vec3& a, const Vec3& b) {
    return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}
inline Vec3 scaled(const Vec3& a, double s) { return {a[0] * s, a[1] * s, a[2] * s}; }
inline Vec3 sum(const Vec3& a, const Vec3& b) { return {a[0] + b[0], a[1] + b[1], a[2] + b[2]}; }
inline Vec3 difference(const Vec3& a, const Vec3& b) { return {a[0] - b[0], a[1] - b[1], a[2] - b[2]}; }
inline double length(const Vec3& a) { return std::sqrt(dot(a, a)); }

/// The rotation by |w| radians about w.
inline Mat3 rotation_about(const Vec3& w) {
    const double angle = length(w);
    if (!(angle > 1e-12)) return {1, 0, 0, 0, 1, 0, 0, 0, 1};
    const Vec3 n = scaled(w, 1 / angle);
    const double c = std::cos(angle), s = std::sin(angle), t = 1 - c;
    return {t * n[0] * n[0] + c,        t * n[0] * n[1] - s * n[2], t * n[0] * n[2] + s * n[1],
            t * n[0] * n[1] + s * n[2], t * n[1] * n[1] + c,        t * n[1] * n[2] - s * n[0],
            t * n[0] * n[2] - s * n[1], t * n[1] * n[2] + s * n[0], t * n[2] * n[2] + c};
}

}  // namespace detail

/// Rotation of a pose, row by row, from the face's axes to the image's (x right, y up, z out of the image).
inline std::array<double, 9> rotation_of(const Pose& pose) {
    using detail::kDegree;
    const detail::Mat3 x = detail::rotation_about({-static_cast<double>(pose.pitch) * kDegree, 0, 0});
    const detail::Mat3 y = detail::rotation_about({0, static_cast<double>(pose.yaw) * kDegree, 0});
    const detail::Mat3 z = detail::rotation_about({0, 0, -static_cast<double>(pose.roll) * kDegree});
    return detail::multiply(z, detail::multiply(y, x));
}

/// Pose of a rotation matrix.
inline Pose pose_of(const std::array<double, 9>& r) {
    const double yaw = std::asin(std::clamp(-r[6], -1.0, 1.0));
    double pitch = 0, roll = 0;
    if (std::abs(r[6]) < 1 - 1e-9) {
        pitch = -std::atan2(r[7], r[8]);
        roll = -std::atan2(r[3], r[0]);
    } else {
        roll = -std::atan2(-r[1], r[4]);  // the two turn about one axis: all of it is called roll
    }
    return {static_cast<float>(yaw / detail::kDegree), static_cast<float>(pitch / detail::kDegree),
            static_cast<float>(roll / detail::kDegree)};
}

RETINAFACE_END_NAMESPACE
