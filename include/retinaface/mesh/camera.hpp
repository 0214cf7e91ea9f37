// The paper's camera and light (section 3.2), and the projection that the rasteriser draws by.
#pragma once

#include <array>

#include "../error.hpp"
#include "pose.hpp"

RETINAFACE_BEGIN_NAMESPACE

/// From a mesh's space to pixels. With v = (x, y, z, 1): X = rows[0] . v, Y = rows[1] . v, Z = rows[2] . v.
///   parallel:     pixel (X, Y), depth Z
///   perspective:  pixel (X / Z, Y / Z), depth Z; what lies nearer than `near` is not drawn
/// Depth grows away from the viewer. Pixels as in Point: x right, y down, pixel (i, j) has its centre at (i + 0.5, j + 0.5).
struct Projection {
    std::array<std::array<float, 4>, 3> rows{};
    bool perspective = false;
    float near = 0;

    /// x, y in pixels and depth. A point behind the camera of a perspective projection has depth < near, and x and y of no meaning.
    std::array<float, 3> operator()(float x, float y, float z) const {
        // Products of floats are exact in double: the sums come out the same whether or not a compiler fuses them.
        const auto row = [&](std::size_t i) {
            const std::array<float, 4>& r = rows[i];
            return static_cast<double>(r[0]) * static_cast<double>(x) + static_cast<double>(r[1]) * static_cast<double>(y) +
                   static_cast<double>(r[2]) * static_cast<double>(z) + static_cast<double>(r[3]);
        };
        const double depth = row(2), w = perspective ? depth : 1.0;
        return {static_cast<float>(row(0) / w), static_cast<float>(row(1) / w), static_cast<float>(depth)};
    }
};

/// The seven camera parameters: where the camera is, the point it looks at (both in the mesh's space), and the focal length in pixels of
/// the crop. Up is (0, 1, 0); the principal point is the crop's centre; nothing nearer than 0.01 of the distance is drawn.
struct Camera {
    std::array<float, 3> location{0, 0, 100};
    std::array<float, 3> target{0, 0, 0};
    float focal_length = 500;

    /// From location to target.
    double distance() const { return detail::length(detail::difference(as_vector(location), as_vector(target))); }

    /// Rows: the image's right, up, and out of it, in the mesh's space. Throws Error (invalid_argument): location and target coincide or are
    /// not finite, or the view is along `up`.
    detail::Mat3 rotation() const {
        const double far = distance();
        if (!(far > 1e-9 && far < 1e12))
            detail::raise(Error(ErrorCode::invalid_argument, "camera: location and target coincide or are not finite"));
        const detail::Vec3 z = detail::scaled(detail::difference(as_vector(location), as_vector(target)), 1 / far);
        const detail::Vec3 side = detail::cross({0, 1, 0}, z);
        const double side_length = detail::length(side);
        if (!(side_length > 1e-6))
            detail::raise(Error(ErrorCode::invalid_argument, "camera: looks along the up direction (0, 1, 0)"));
        const detail::Vec3 x = detail::scaled(side, 1 / side_length), y = detail::cross(z, x);
        return {x[0], x[1], x[2], y[0], y[1], y[2], z[0], z[1], z[2]};
    }

    /// Throws Error (invalid_argument): as rotation(), or the focal length is not positive.
    Projection projection(int width, int height) const {
        const detail::Vec3 from = as_vector(location);
        const detail::Mat3 axes = rotation();
        const double focal = static_cast<double>(focal_length);
        if (!(focal > 0 && focal < 1e12))
            detail::raise(
                Error(ErrorCode::invalid_argument, "camera: focal length must be positive, found " + std::to_string(focal)));
        const detail::Vec3 x{axes[0], axes[1], axes[2]}, y{axes[3], axes[4], axes[5]}, z{axes[6], axes[7], axes[8]};
        Projection p;
        p.perspective = true;
        p.near = static_cast<float>(0.01 * distance());
        const detail::Vec3 depth = detail::scaled(z, -1);
        const auto put = [&](std::size_t row, const detail::Vec3& axis, double centre, double sign) {
            const detail::Vec3 v = detail::sum(detail::scaled(axis, sign * focal), detail::scaled(depth, centre));
            for (std::size_t i = 0; i < 3; ++i) p.rows[row][i] = static_cast<float>(v[i]);
            p.rows[row][3] = static_cast<float>(-detail::dot(v, from));
        };
        put(0, x, 0.5 * width, 1);
        put(1, y, 0.5 * height, -1);
        for (std::size_t i = 0; i < 3; ++i) p.rows[2][i] = static_cast<float>(depth[i]);
        p.rows[2][3] = static_cast<float>(-detail::dot(depth, from));
        return p;
    }
    Result<Projection> try_projection(int width, int height) const noexcept {
        return detail::as_result([&] { return projection(width, height); });
    }

private:
    static detail::Vec3 as_vector(const std::array<float, 3>& v) {
        return {static_cast<double>(v[0]), static_cast<double>(v[1]), static_cast<double>(v[2])};
    }
};

/// The nine illumination parameters: a point light's position in the mesh's space and its colour, and the colour of the ambient light.
struct Light {
    std::array<float, 3> position{-30, 60, 150};
    std::array<float, 3> colour{0.7f, 0.7f, 0.7f};
    std::array<float, 3> ambient{0.35f, 0.35f, 0.35f};
};

RETINAFACE_END_NAMESPACE
