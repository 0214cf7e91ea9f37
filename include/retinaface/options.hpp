#pragma once

#include "config.hpp"
#include "executor.hpp"

RETINAFACE_BEGIN_NAMESPACE

/// At which size the network sees an image. The aspect ratio is always kept; results come back in the image's own pixels.
class SizePolicy {
public:
    enum class Kind { original, longest_side, exact };

    /// The image as it is.
    static constexpr SizePolicy original() { return {}; }
    /// Shrinks an image whose longest side exceeds `side` pixels to that side; never enlarges.
    static constexpr SizePolicy longest_side(int side) { return {Kind::longest_side, side, side}; }
    /// The largest size that fits width x height (enlarging if need be), padded right and bottom to exactly that size.
    static constexpr SizePolicy exact(int width, int height) { return {Kind::exact, width, height}; }

    constexpr SizePolicy() = default;
    constexpr Kind kind() const { return kind_; }
    constexpr int width() const { return width_; }
    constexpr int height() const { return height_; }

private:
    constexpr SizePolicy(Kind kind, int width, int height) : kind_(kind), width_(width), height_(height) {}

    Kind kind_ = Kind::original;
    int width_ = 0;
    int height_ = 0;
};

/// How far a frame is turned, clockwise, to stand upright: that of a camera mounted a quarter turn to the left, whose frames show
/// the world's top on their left side, by `clockwise_90`.
enum class Rotation { none = 0, clockwise_90 = 90, clockwise_180 = 180, clockwise_270 = 270 };

/// How a Detector works; fixed at its construction.
struct Options {
    float score_threshold = 0.5f;  ///< 0..1; faces with a greater score are reported
    float nms_threshold = 0.4f;    ///< 0..1; of two boxes whose IoU is greater, the lower score is suppressed
    int max_faces = 0;             ///< the best that many faces; 0: no limit
    SizePolicy size;  ///< of the upright frame
    Rotation rotation = Rotation::none;  ///< every frame is turned so; results are in pixels of the upright frame
    Isa isa = Isa::automatic;
    int threads = 1;               ///< threads a detect() call may use, 1..kMaxThreads; results do not depend on it
    Executor* executor = nullptr;  ///< runs the work instead of the detector's own threads; not owned, outlives the detector
};

RETINAFACE_END_NAMESPACE
