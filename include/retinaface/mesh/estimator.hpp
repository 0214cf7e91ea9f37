// A mesh and a pose for a face: from its five points, or from the outputs of a dense head.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <vector>

#include "../face.hpp"
#include "../image.hpp"
#include "decoder.hpp"
#include "refiner.hpp"

RETINAFACE_BEGIN_NAMESPACE

/// A face's mesh. Spans are views, valid until the estimator's next estimate().
struct Mesh {
    Span<const float> vertices3d;  ///< [n][3] in the model's space and unit, without the pose
    Span<const float>
        projected;  ///< [n][3]: x, y in pixels of the image, z in the same unit, nearer smaller, 0 at the five points' middle (of a dense
                    ///< head: at its camera's target)
    Pose pose;
    std::array<std::array<float, 3>, 68> landmarks68{};  ///< as `projected`, in the order of iBUG
    Span<const float>
        colours;  ///< [n][3], 0..1: the image's at the vertices; outside of it, and of YUV images, the model's albedo
    Span<const float> latent;  ///< [128]
    Projection projection;     ///< from vertices3d to projected; what Rasteriser::render takes
    float residual = 0;  ///< of the points fitted to (five, or the refiner's 68), root mean square, pixels; 0 from a dense head
};

/// What a dense head says about a face: RetinaFace section 3.2.
struct DenseOutputs {
    std::array<float, 128> shape_texture{};
    Camera camera;
    Light light;  ///< for who draws the mesh: estimate() does not read it
    Box crop;     ///< the part of the image that the camera's picture is, in pixels
};

/// Fits the mesh decoder's model to faces. One thread at a time; allocates nothing for a face of a size seen.
///
/// From five points: a camera at a distance of 1 m (rotation, scale, shift) and the 128 numbers z, the most probable under z ~ N(0, 1) and points that
/// are off by `landmark_noise`; begun by the closed-form affine camera, refined by Gauss-Newton steps in which z is eliminated. Five points
/// say little about z: it mostly stays near 0, and takes what no rotation explains (an open mouth, a long face).
///
/// With a refiner, a small network then finds 68 landmarks in the crop that the five points align, and camera and z are fitted to those.
class MeshEstimator {
public:
    /// Centimetres: how far detected points lie from the model's, as a standard deviation.
    static constexpr double kLandmarkNoise = 0.35;
    /// Centimetres from the camera that five points are seen from: they cannot tell.
    static constexpr double kDistance = 100;

    /// `weights`: a mesh file with landmarks. Throws Error as MeshDecoder's constructor, and (mismatch) for a file without landmarks.
    explicit MeshEstimator(const Weights& weights, Isa isa = Isa::automatic) : decoder_(weights, isa) {
        if (decoder_.landmarks68().empty())
            detail::MeshFile::fail("the file has no landmarks ('landmarks68.indices', 'five.mean', 'five.basis')");
        for (std::size_t i = 0; i < 5; ++i)
            for (std::size_t c = 0; c < 3; ++c) centre_[c] += static_cast<double>(decoder_.five_mean()[3 * i + c]) / kPoints;
        double spread = 0, farthest = 0;
        for (std::size_t i = 0; i < kPoints; ++i) {
            for (std::size_t c = 0; c < 3; ++c) mean_[i][c] = static_cast<double>(decoder_.five_mean()[3 * i + c]) - centre_[c];
            spread += detail::dot(mean_[i], mean_[i]);
            farthest = std::max(farthest, detail::length(mean_[i]));
        }
        if (!(spread > 1 && farthest < kDistance / 2))
            detail::MeshFile::fail(
                "tensor 'five.mean': expected points of a head in centimetres, found points that coincide or lie " +
                std::to_string(farthest) + " from their middle");
    }

    /// With a refiner: `refiner` is its weights file. Throws Error as LandmarkRefiner's constructor, too. Decodes some meshes (50 ms) to see
    /// how the landmarks move.
    MeshEstimator(const Weights& weights, const Weights& refiner, Isa isa = Isa::automatic) : MeshEstimator(weights, isa) {
        refiner_.emplace(refiner, isa);
        learn_landmarks();
    }
    /// The same, noexcept: an error is the Result's.
    static Result<MeshEstimator> create(const Weights& weights, Isa isa = Isa::automatic) noexcept {
        return detail::as_result([&] { return MeshEstimator(weights, isa); });
    }
    static Result<MeshEstimator> create(const Weights& weights, const Weights& refiner, Isa isa = Isa::automatic) noexcept {
        return detail::as_result([&] { return MeshEstimator(weights, refiner, isa); });
    }

    const MeshDecoder& decoder() const noexcept { return decoder_; }
    Span<const std::int32_t> triangles() const noexcept { return decoder_.triangles(); }

    /// The pose alone, from five points in pixels (in the order of Face): no mesh is decoded. Throws Error (invalid_argument): points that
    /// are not finite or coincide.
    Pose estimate_pose(const std::array<Point, 5>& landmarks) { return pose_of(fit(landmarks).rotation); }
    /// The same with what a mesh head says. Throws Error (invalid_argument), too: a correction that is not finite.
    Pose estimate_pose(const std::array<Point, 5>& landmarks, const MeshCorrection& correction) {
        Fit f = fit(landmarks);
        if (correction.known) correct(f, correction, landmarks);
        return pose_of(f.rotation);
    }

    /// Mesh from five points, in pixels of `image` turned by `rotation` (what detect() was told; not `automatic`: Workspace::rotation()
    /// says what became of it). `image` gives colours; a default ImageView: the model's albedo. Throws Error (invalid_argument): an image
    /// or a rotation that is no valid one; points that are not finite or coincide.
    /// A refiner looks at `image` if one of the points lies in it, and its landmarks count if they improve the fit; else the mesh is that of
    /// the five points.
    const Mesh& estimate(const ImageView& image, const Face& face, Rotation rotation = Rotation::none) {
        return estimate(image, face, nullptr, rotation);
    }
    /// The same with what a mesh head says of the face (mesh_corrections() of its detector), which takes the fit to five points further at no
    /// cost. Throws Error (invalid_argument), too: a correction that is not finite.
    const Mesh& estimate(const ImageView& image, const Face& face, const MeshCorrection& correction,
                         Rotation rotation = Rotation::none) {
        return estimate(image, face, &correction, rotation);
    }
    Result<const Mesh*> try_estimate(const ImageView& image, const Face& face, const MeshCorrection& correction,
                                     Rotation rotation = Rotation::none) noexcept {
        return detail::as_result([&] { return &estimate(image, face, correction, rotation); });
    }
    Result<const Mesh*> try_estimate(const ImageView& image, const Face& face, Rotation rotation = Rotation::none) noexcept {
        return detail::as_result([&] { return &estimate(image, face, rotation); });
    }

    Result<Pose> try_estimate_pose(const std::array<Point, 5>& landmarks) noexcept {
        return detail::as_result([&] { return estimate_pose(landmarks); });
    }
    Result<Pose> try_estimate_pose(const std::array<Point, 5>& landmarks, const MeshCorrection& correction) noexcept {
        return detail::as_result([&] { return estimate_pose(landmarks, correction); });
    }

    /// Mesh from a dense head's outputs; `image` and `rotation` as above. Throws Error (invalid_argument): outputs that are not finite, a camera that sees nothing, an empty
    /// crop, an image that is no valid one.
    const Mesh& estimate(const ImageView& image, const DenseOutputs& outputs, Rotation rotation = Rotation::none) {
        const Box& crop = outputs.crop;
        const float width = crop.x2 - crop.x1, height = crop.y2 - crop.y1;
        if (!(width > 0 && height > 0 && width < 1e6f && height < 1e6f && std::abs(crop.x1) < 1e6f && std::abs(crop.y1) < 1e6f))
            detail::raise(Error(ErrorCode::invalid_argument, "mesh: the crop is empty or not finite"));
        latent_ = outputs.shape_texture;
        // A crop's sides need not be whole: the principal point is set after the camera is. Depth in pixels, as at the camera's target.
        Projection p = outputs.camera.projection(0, 0);
        const detail::Mat3 turned = outputs.camera.rotation();
        const float scale = static_cast<float>(static_cast<double>(outputs.camera.focal_length) / outputs.camera.distance());
        p.near *= scale;
        for (std::size_t i = 0; i < 4; ++i) {
            for (std::size_t row = 0; row < 3; ++row) p.rows[row][i] *= scale;
            p.rows[0][i] += (crop.x1 + 0.5f * width) * p.rows[2][i];
            p.rows[1][i] += (crop.y1 + 0.5f * height) * p.rows[2][i];
        }
        finish(p, pose_of(turned), image, rotation, outputs.camera.focal_length);
        mesh_.residual = 0;
        return mesh_;
    }
    Result<const Mesh*> try_estimate(const ImageView& image, const DenseOutputs& outputs,
                                     Rotation rotation = Rotation::none) noexcept {
        return detail::as_result([&] { return &estimate(image, outputs, rotation); });
    }

private:
    static constexpr std::size_t kPoints = 5, kRows = 2 * kPoints, kCamera = 6, kLatent = 128;
    static constexpr int kSteps = 8;
    /// Of the refinement: numbers of z (those that move the mesh most come first), steps, and how far, in centimetres, the refiner's points lie
    /// from the model's. The jaw's lie on the outline that is seen, wherever that is on the mesh.
    static constexpr std::size_t kLandmarks = LandmarkRefiner::kPoints, kJaw = 17, kRefined = 48, kUnknowns = kCamera + kRefined;
    static constexpr int kRefinedSteps = 4;
    static constexpr double kRefinedNoise = 0.2, kJawNoise = 0.6, kMostDeviations = 4;

    using System = std::array<std::array<double, kUnknowns>, kUnknowns>;

    struct Fit {
        detail::Mat3 rotation{};
        double scale = 1, x = 0, y = 0;
        std::array<double, kLatent> latent{};
        double residual = 0;
    };

    using Square = std::array<std::array<double, kRows>, kRows>;

    /// A point of the model through a camera.
    struct Look {
        detail::Vec3 q;   ///< turned
        double w, slope;  ///< pixels a centimetre, and its derivative by q[2]
        double x, y;      ///< pixels

        Look(const Fit& f, const detail::Vec3& p)
            : q(detail::multiply(f.rotation, p)),
              w(f.scale * kDistance / (kDistance - q[2])),
              slope(w / (kDistance - q[2])),
              x(f.x + w * q[0]),
              y(f.y - w * q[1]) {}

        /// How the camera's six numbers move x and y. A turn t about the image's axes moves q by t x q.
        std::array<double, kCamera> x_by_camera() const {
            return {slope * q[0] * q[1], w * q[2] - slope * q[0] * q[0], -w * q[1], w * q[0], 1, 0};
        }
        std::array<double, kCamera> y_by_camera() const {
            return {w * q[2] - slope * q[1] * q[1], slope * q[0] * q[1], -w * q[0], -w * q[1], 0, 1};
        }
        /// How a move of q by d does.
        double x_by(const detail::Vec3& d) const { return w * d[0] + slope * q[0] * d[2]; }
        double y_by(const detail::Vec3& d) const { return -(w * d[1] + slope * q[1] * d[2]); }
    };

    /// Moves the camera by (the damped share of) a step, and returns that share.
    static double advance(Fit& f, const double* change) {
        const double turn = std::sqrt(change[0] * change[0] + change[1] * change[1] + change[2] * change[2]);
        const double damp = turn > 0.5 ? 0.5 / turn : 1.0;
        f.rotation = detail::multiply(detail::rotation_about({damp * change[0], damp * change[1], damp * change[2]}), f.rotation);
        f.scale *= std::exp(std::clamp(damp * change[3], -0.5, 0.5));
        f.x += damp * change[4];
        f.y += damp * change[5];
        return damp;
    }

    /// In place: the lower triangle L of a = L L^T.
    template <std::size_t N>
    static void cholesky(std::array<std::array<double, N>, N>& a) {
        for (std::size_t i = 0; i < N; ++i) {
            for (std::size_t j = 0; j <= i; ++j) {
                double sum = a[i][j];
                for (std::size_t k = 0; k < j; ++k) sum -= a[i][k] * a[j][k];
                a[i][j] = i == j ? std::sqrt(std::max(sum, 1e-300)) : sum / a[j][j];
            }
        }
    }
    /// In place: L^-1 b, and with `both` (L L^T)^-1 b.
    template <std::size_t N>
    static void solve(const std::array<std::array<double, N>, N>& l, std::array<double, N>& b, bool both) {
        for (std::size_t i = 0; i < N; ++i) {
            for (std::size_t k = 0; k < i; ++k) b[i] -= l[i][k] * b[k];
            b[i] /= l[i][i];
        }
        if (!both) return;
        for (std::size_t i = N; i-- > 0;) {
            for (std::size_t k = i + 1; k < N; ++k) b[i] -= l[k][i] * b[k];
            b[i] /= l[i][i];
        }
    }

    /// The affine camera of least squares, made a scaled rotation.
    Fit closed_form(const std::array<Point, 5>& points) const {
        double cx = 0, cy = 0;
        for (const Point& p : points) {
            cx += static_cast<double>(p.x) / kPoints;
            cy += static_cast<double>(p.y) / kPoints;
        }
        std::array<std::array<double, 3>, 3> normal{};
        std::array<double, 3> right{}, up{};
        double spread = 0, model_spread = 0;
        for (std::size_t i = 0; i < kPoints; ++i) {
            const detail::Vec3& p = mean_[i];
            const double x = static_cast<double>(points[i].x) - cx, y = static_cast<double>(points[i].y) - cy;
            spread += x * x + y * y;
            model_spread += detail::dot(p, p);
            for (std::size_t a = 0; a < 3; ++a) {
                right[a] += p[a] * x;
                up[a] -= p[a] * y;
                for (std::size_t b = 0; b < 3; ++b) normal[a][b] += p[a] * p[b];
            }
        }
        if (!(spread > 1e-6) || !(spread < 1e14))
            detail::raise(Error(ErrorCode::invalid_argument, "mesh: the five points coincide or are not finite"));
        for (std::size_t a = 0; a < 3; ++a) normal[a][a] += 1e-3 * model_spread;
        cholesky(normal);
        solve(normal, right, true);
        solve(normal, up, true);
        Fit f;
        const double floor = 1e-3 * std::sqrt(spread / model_spread);
        const double a = detail::length(right), b = detail::length(up);
        detail::Vec3 x = a > floor ? detail::scaled(right, 1 / a) : detail::Vec3{1, 0, 0};
        detail::Vec3 y = b > floor ? detail::scaled(up, 1 / b) : detail::Vec3{0, 1, 0};
        // Both turned alike until they stand at right angles.
        detail::Vec3 middle = detail::sum(x, y), across = detail::difference(x, y);
        if (!(detail::length(middle) > 1e-3 && detail::length(across) > 1e-3)) {
            middle = {1, 1, 0};
            across = {1, -1, 0};
        }
        middle = detail::scaled(middle, std::sqrt(0.5) / detail::length(middle));
        across = detail::scaled(across, std::sqrt(0.5) / detail::length(across));
        x = detail::sum(middle, across);
        y = detail::difference(middle, across);
        const detail::Vec3 z = detail::cross(x, y);
        for (std::size_t i = 0; i < 3; ++i) {
            f.rotation[i] = x[i];
            f.rotation[3 + i] = y[i];
            f.rotation[6 + i] = z[i];
        }
        f.scale = std::max(std::max(a, b), floor);
        f.x = cx;
        f.y = cy;
        return f;
    }

    const Mesh& estimate(const ImageView& image, const Face& face, const MeshCorrection* correction, Rotation rotation) {
        Fit f = fit(face.landmarks);
        if (correction != nullptr && correction->known) correct(f, *correction, face.landmarks);
        if (refiner_ && shows_any(image, face.landmarks, rotation))
            f = refit(f, refiner_->locate(image, face.landmarks, rotation));
        for (std::size_t i = 0; i < latent_.size(); ++i) latent_[i] = static_cast<float>(f.latent[i]);
        // Depth in pixels: centimetres times the scale, kDistance from the camera at the middle of the five points.
        Projection p;
        p.perspective = true;
        const detail::Vec3 middle = detail::multiply(f.rotation, centre_);
        const std::array<double, 4> depth{-f.scale * f.rotation[6], -f.scale * f.rotation[7], -f.scale * f.rotation[8],
                                          f.scale * (kDistance + middle[2])};
        for (std::size_t i = 0; i < 4; ++i) {
            const double right = i < 3 ? f.rotation[i] : -middle[0], up = i < 3 ? f.rotation[3 + i] : -middle[1];
            p.rows[0][i] = static_cast<float>(f.scale * f.scale * kDistance * right + f.x * depth[i]);
            p.rows[1][i] = static_cast<float>(-f.scale * f.scale * kDistance * up + f.y * depth[i]);
            p.rows[2][i] = static_cast<float>(depth[i]);
        }
        p.near = static_cast<float>(0.01 * f.scale * kDistance);
        finish(p, pose_of(f.rotation), image, rotation, static_cast<float>(f.scale * kDistance));
        mesh_.residual = static_cast<float>(f.residual);
        return mesh_;
    }

    /// Takes a fit to five points further.
    void correct(Fit& f, const MeshCorrection& correction, const std::array<Point, 5>& points) const {
        const auto finite = [](float v) { return std::abs(v) < 1e3f; };
        if (!std::all_of(correction.shape.begin(), correction.shape.end(), finite) ||
            !std::all_of(correction.camera.begin(), correction.camera.end(), finite))
            detail::raise(Error(ErrorCode::invalid_argument, "mesh: the correction is not finite"));
        std::array<double, kCamera> change;
        std::copy(correction.camera.begin(), correction.camera.end(), change.begin());
        change[4] *= f.scale;
        change[5] *= f.scale;
        advance(f, change.data());
        f.latent.fill(0);
        for (std::size_t k = 0; k < correction.shape.size(); ++k)
            f.latent[k] = std::clamp(static_cast<double>(correction.shape[k]), -kMostDeviations, kMostDeviations);
        f.residual = distance_of(f, points);
    }

    /// Of five points from those of the model: root mean square, pixels.
    double distance_of(const Fit& f, const std::array<Point, 5>& points) const {
        double squares = 0;
        const Span<const float> basis = decoder_.five_basis();
        for (std::size_t i = 0; i < kPoints; ++i) {
            detail::Vec3 p = mean_[i];
            for (std::size_t c = 0; c < 3; ++c)
                for (std::size_t k = 0; k < kLatent; ++k)
                    p[c] += f.latent[k] * static_cast<double>(basis[(3 * i + c) * kLatent + k]);
            const Look look(f, p);
            const double x = static_cast<double>(points[i].x) - look.x, y = static_cast<double>(points[i].y) - look.y;
            squares += x * x + y * y;
        }
        return std::sqrt(squares / kRows);
    }

    Fit fit(const std::array<Point, 5>& points) {
        for (const Point& p : points)
            if (!(std::abs(p.x) < 1e7f && std::abs(p.y) < 1e7f))
                detail::raise(Error(ErrorCode::invalid_argument, "mesh: the five points are not finite or far away"));
        Fit f = closed_form(points);
        const Span<const float> basis = decoder_.five_basis();
        for (int step = 0; step < kSteps; ++step) {
            std::array<double, kRows> residual{};
            std::array<std::array<double, kRows>, kCamera> jacobian{};
            std::vector<double>& moved = moved_;  // [kRows][kLatent]: how z moves the pixels
            moved.resize(kRows * kLatent);
            for (std::size_t i = 0; i < kPoints; ++i) {
                const Look look(f, mean_[i]);
                const std::size_t x = 2 * i, y = 2 * i + 1;
                residual[x] = static_cast<double>(points[i].x) - look.x;
                residual[y] = static_cast<double>(points[i].y) - look.y;
                const std::array<double, kCamera> x_by_camera = look.x_by_camera(), y_by_camera = look.y_by_camera();
                for (std::size_t a = 0; a < kCamera; ++a) {
                    jacobian[a][x] = x_by_camera[a];
                    jacobian[a][y] = y_by_camera[a];
                }
                for (std::size_t k = 0; k < kLatent; ++k) {
                    const auto component = [&](std::size_t c) { return static_cast<double>(basis[(3 * i + c) * kLatent + k]); };
                    const detail::Vec3 d = detail::multiply(f.rotation, detail::Vec3{component(0), component(1), component(2)});
                    moved[x * kLatent + k] = look.x_by(d);
                    moved[y * kLatent + k] = look.y_by(d);
                }
            }
            // z eliminated: the points' covariance is that of z seen through the camera, and the noise.
            Square covariance{};
            const double noise = kLandmarkNoise * f.scale;
            for (std::size_t a = 0; a < kRows; ++a) {
                for (std::size_t b = 0; b <= a; ++b)
                    for (std::size_t k = 0; k < kLatent; ++k) covariance[a][b] += moved[a * kLatent + k] * moved[b * kLatent + k];
                covariance[a][a] += noise * noise;
            }
            cholesky(covariance);
            // The last step leaves the camera and takes z.
            if (step + 1 == kSteps) {
                std::array<double, kRows> weighted = residual;
                solve(covariance, weighted, true);
                double squares = 0;
                for (std::size_t i = 0; i < kRows; ++i)
                    for (std::size_t k = 0; k < kLatent; ++k) f.latent[k] += moved[i * kLatent + k] * weighted[i];
                for (std::size_t i = 0; i < kRows; ++i) {
                    double left = residual[i];
                    for (std::size_t k = 0; k < kLatent; ++k) left -= moved[i * kLatent + k] * f.latent[k];
                    squares += left * left;
                }
                f.residual = std::sqrt(squares / kRows);
                break;
            }
            std::array<double, kRows> white = residual;
            solve(covariance, white, false);
            std::array<std::array<double, kRows>, kCamera> white_jacobian = jacobian;
            std::array<std::array<double, kCamera>, kCamera> normal{};
            std::array<double, kCamera> change{};
            for (std::size_t a = 0; a < kCamera; ++a) {
                solve(covariance, white_jacobian[a], false);
                for (std::size_t i = 0; i < kRows; ++i) change[a] += white_jacobian[a][i] * white[i];
                for (std::size_t b = 0; b <= a; ++b)
                    for (std::size_t i = 0; i < kRows; ++i) normal[a][b] += white_jacobian[a][i] * white_jacobian[b][i];
            }
            for (std::size_t a = 0; a < kCamera; ++a) normal[a][a] *= 1 + 1e-9;
            cholesky(normal);
            solve(normal, change, true);
            advance(f, change.data());
        }
        return f;
    }

    /// Where the mean mesh has the 68 landmarks, and how the first numbers of z move them.
    void learn_landmarks() {
        constexpr float kStep = 0.5f;
        std::array<float, kLatent> z{};
        const auto landmark = [&](const DecodedMesh& mesh, std::size_t i, std::size_t c) {
            return static_cast<double>(mesh.vertices[3 * static_cast<std::size_t>(decoder_.landmarks68()[i]) + c]);
        };
        landmark_mean_.resize(kLandmarks);
        landmark_basis_.resize(kLandmarks * kRefined);
        const DecodedMesh mean = decoder_.decode({z.data(), z.size()})[0];
        for (std::size_t i = 0; i < kLandmarks; ++i)
            for (std::size_t c = 0; c < 3; ++c) landmark_mean_[i][c] = landmark(mean, i, c) - centre_[c];
        for (std::size_t k = 0; k < kRefined; ++k) {
            z[k] = kStep;
            const DecodedMesh moved = decoder_.decode({z.data(), z.size()})[0];
            for (std::size_t i = 0; i < kLandmarks; ++i)
                for (std::size_t c = 0; c < 3; ++c)
                    landmark_basis_[i * kRefined + k][c] =
                        (landmark(moved, i, c) - centre_[c] - landmark_mean_[i][c]) / static_cast<double>(kStep);
            z[k] = 0;
        }
    }

    /// Landmark i of the model, as z has moved it.
    detail::Vec3 landmark(const Fit& f, std::size_t i) const {
        detail::Vec3 p = landmark_mean_[i];
        for (std::size_t k = 0; k < kRefined; ++k)
            for (std::size_t c = 0; c < 3; ++c) p[c] += f.latent[k] * landmark_basis_[i * kRefined + k][c];
        return p;
    }

    /// How far a landmark of the model lies from that point, as a standard deviation, in pixels.
    static double noise_of(const Fit& f, std::size_t landmark) { return (landmark < kJaw ? kJawNoise : kRefinedNoise) * f.scale; }

    /// What refit() makes small: squares of the landmarks' distances over their noise in `pixels` (a scale that compares two fits), and of z.
    double cost(const Fit& f, const std::array<Point, kLandmarks>& points, const Fit& pixels) const {
        double sum = 0;
        for (std::size_t i = 0; i < kLandmarks; ++i) {
            const Look look(f, landmark(f, i));
            const double x = static_cast<double>(points[i].x) - look.x, y = static_cast<double>(points[i].y) - look.y;
            const double noise = noise_of(pixels, i);
            sum += (x * x + y * y) / (noise * noise);
        }
        for (std::size_t k = 0; k < kRefined; ++k) sum += f.latent[k] * f.latent[k];
        return sum;
    }

    /// Camera and the first numbers of z from 68 landmarks, begun at the fit to five: Gauss-Newton with z's prior. Where that ends worse than it
    /// began, the fit to five.
    Fit refit(const Fit& begin, const std::array<Point, kLandmarks>& points) const {
        Fit f = begin;
        std::fill(f.latent.begin() + kRefined, f.latent.end(), 0.0);
        for (int step = 0; step < kRefinedSteps; ++step) {
            System normal{};
            std::array<double, kUnknowns> change{};
            for (std::size_t k = 0; k < kRefined; ++k) {
                normal[kCamera + k][kCamera + k] = 1;
                change[kCamera + k] = -f.latent[k];
            }
            for (std::size_t i = 0; i < kLandmarks; ++i) {
                const Look look(f, landmark(f, i));
                const double noise = noise_of(f, i), weight = 1 / (noise * noise);
                const double x = static_cast<double>(points[i].x) - look.x, y = static_cast<double>(points[i].y) - look.y;
                std::array<double, kUnknowns> by_x, by_y;
                const std::array<double, kCamera> x_by_camera = look.x_by_camera(), y_by_camera = look.y_by_camera();
                std::copy(x_by_camera.begin(), x_by_camera.end(), by_x.begin());
                std::copy(y_by_camera.begin(), y_by_camera.end(), by_y.begin());
                for (std::size_t k = 0; k < kRefined; ++k) {
                    const detail::Vec3 d = detail::multiply(f.rotation, landmark_basis_[i * kRefined + k]);
                    by_x[kCamera + k] = look.x_by(d);
                    by_y[kCamera + k] = look.y_by(d);
                }
                for (std::size_t a = 0; a < kUnknowns; ++a) {
                    const double ax = weight * by_x[a], ay = weight * by_y[a];
                    change[a] += ax * x + ay * y;
                    for (std::size_t b = 0; b <= a; ++b) normal[a][b] += ax * by_x[b] + ay * by_y[b];
                }
            }
            for (std::size_t a = 0; a < kCamera; ++a) normal[a][a] *= 1 + 1e-9;
            cholesky(normal);
            solve(normal, change, true);
            const double damp = advance(f, change.data());
            for (std::size_t k = 0; k < kRefined; ++k)
                f.latent[k] = std::clamp(f.latent[k] + damp * change[kCamera + k], -kMostDeviations, kMostDeviations);
        }
        if (!(cost(f, points, begin) < cost(begin, points, begin))) return begin;
        double squares = 0;
        for (std::size_t i = 0; i < kLandmarks; ++i) {
            const Look look(f, landmark(f, i));
            const double x = static_cast<double>(points[i].x) - look.x, y = static_cast<double>(points[i].y) - look.y;
            squares += x * x + y * y;
        }
        f.residual = std::sqrt(squares / (2 * kLandmarks));
        return f;
    }

    /// `middle`: the depth that `projected` calls 0.
    void finish(const Projection& projection, const Pose& pose, const ImageView& image, Rotation rotation, float middle) {
        const bool coloured = image.data != nullptr;
        if (coloured) validate(image);
        if (rotation != Rotation::none && rotation != Rotation::clockwise_90 && rotation != Rotation::clockwise_180 &&
            rotation != Rotation::clockwise_270)
            detail::raise(Error(ErrorCode::invalid_argument,
                                "mesh: rotation must be 0, 90, 180 or 270, found " + std::to_string(static_cast<int>(rotation))));
        const DecodedMesh decoded = decoder_.decode({latent_.data(), latent_.size()})[0];
        const std::size_t n = decoded.vertices.size() / 3;
        projected_.resize(3 * n);
        colours_.assign(decoded.colours.begin(), decoded.colours.end());
        for (std::size_t i = 0; i < n; ++i) {
            const float* const v = decoded.vertices.data() + 3 * i;
            std::array<float, 3> p = projection(v[0], v[1], v[2]);
            p[2] -= middle;
            std::copy(p.begin(), p.end(), projected_.data() + 3 * i);
            if (coloured && !is_yuv(image.format)) sample(image, rotation, {p[0], p[1]}, colours_.data() + 3 * i);
            for (std::size_t c = 0; c < 3; ++c) colours_[3 * i + c] = std::clamp(colours_[3 * i + c], 0.0f, 1.0f);
        }
        mesh_.vertices3d = decoded.vertices;
        mesh_.projected = projected_;
        mesh_.colours = colours_;
        mesh_.latent = {latent_.data(), latent_.size()};
        mesh_.pose = pose;
        mesh_.projection = projection;
        for (std::size_t i = 0; i < 68; ++i)
            std::copy_n(projected_.data() + 3 * decoder_.landmarks68()[i], 3, mesh_.landmarks68[i].begin());
    }

    /// Where a place of the turned image lies in the stored one; false: outside of it.
    static bool in_stored(const ImageView& image, Rotation rotation, Point& p) {
        const float x = p.x, y = p.y, width = static_cast<float>(image.width), height = static_cast<float>(image.height);
        switch (rotation) {
            case Rotation::clockwise_90: p = {y, height - x}; break;
            case Rotation::clockwise_180: p = {width - x, height - y}; break;
            case Rotation::clockwise_270: p = {width - y, x}; break;
            default: break;
        }
        return p.x >= 0 && p.y >= 0 && p.x < width && p.y < height;
    }

    static bool shows_any(const ImageView& image, std::array<Point, 5> points, Rotation rotation) {
        return image.data != nullptr &&
               std::any_of(points.begin(), points.end(), [&](Point p) { return in_stored(image, rotation, p); });
    }

    /// The pixel at a place of the turned image, where there is one.
    static void sample(const ImageView& image, Rotation rotation, Point place, float* colour) {
        if (!in_stored(image, rotation, place)) return;
        const int bytes = bytes_per_pixel(image.format);
        const std::uint8_t* const p = image.row(static_cast<int>(place.y)) + static_cast<int>(place.x) * bytes;
        const bool bgr = image.format == PixelFormat::bgr8 || image.format == PixelFormat::bgra8;
        for (int c = 0; c < 3; ++c) colour[c] = static_cast<float>(p[bytes < 3 ? 0 : bgr ? 2 - c : c]) / 255.0f;
    }

    MeshDecoder decoder_;
    detail::Vec3 centre_{};                     ///< of the mean mesh's five points
    std::array<detail::Vec3, kPoints> mean_{};  ///< the five points around it
    std::vector<double> moved_;
    std::optional<LandmarkRefiner> refiner_;
    std::vector<detail::Vec3> landmark_mean_, landmark_basis_;  ///< [68], [68][kRefined]
    std::array<float, kLatent> latent_{};
    std::vector<float> projected_, colours_;
    Mesh mesh_;
};

RETINAFACE_END_NAMESPACE
