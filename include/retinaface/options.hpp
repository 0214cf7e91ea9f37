#pragma once

#include <array>
#include <cassert>
#include <cstddef>
#include <initializer_list>
#include <string>

#include "error.hpp"
#include "executor.hpp"

RETINAFACE_BEGIN_NAMESPACE

/// At which size the network sees an image. The aspect ratio is always kept; results come back in the image's own pixels.
class SizePolicy {
public:
    enum class Kind { original, longest_side, exact, shortest_side };

    /// The image as it is.
    static constexpr SizePolicy original() { return {}; }
    /// Shrinks an image whose longest side exceeds `side` pixels to that side; never enlarges.
    static constexpr SizePolicy longest_side(int side) { return {Kind::longest_side, side, side}; }
    /// The largest size that fits width x height (enlarging if need be), padded right and bottom to exactly that size.
    static constexpr SizePolicy exact(int width, int height) { return {Kind::exact, width, height}; }
    /// Resizes to a shortest side of `side` pixels, enlarging if need be, but for images whose longest side would exceed `longest`
    /// (0: no limit): that one becomes the longest side then.
    static constexpr SizePolicy shortest_side(int side, int longest = 0) { return {Kind::shortest_side, side, longest}; }

    constexpr SizePolicy() = default;
    constexpr Kind kind() const { return kind_; }
    constexpr int width() const { return width_; }    ///< or the side that is limited
    constexpr int height() const { return height_; }  ///< of shortest_side: the limit of the longest side

private:
    constexpr SizePolicy(Kind kind, int width, int height) : kind_(kind), width_(width), height_(height) {}

    Kind kind_ = Kind::original;
    int width_ = 0;
    int height_ = 0;
};

/// How far a frame is turned, clockwise, to stand upright: that of a camera mounted a quarter turn to the left, whose frames show
/// the world's top on their left side, by `clockwise_90`.
enum class Rotation {
    none = 0,
    clockwise_90 = 90,
    clockwise_180 = 180,
    clockwise_270 = 270,
    /// Of an Options: whichever of the four a small look finds most faces after (the largest sum of scores; `none` where it finds
    /// none at all). Costs four looks at a longest side of kTurnSide pixels before the detector's own; Workspace::rotation() says
    /// which it was.
    automatic = -1
};
/// Longest side of the looks of Rotation::automatic, in pixels.
constexpr int kTurnSide = 320;

/// Sizes at which the network sees one image, as factors of the size that the SizePolicy gives. 1..kMost of them.
class Scales {
public:
    static constexpr std::size_t kMost = 8;
    static constexpr float kLeastFactor = 1.0f / 64, kMostFactor = 16;

    /// {1}.
    constexpr Scales() = default;
    /// Throws Error (invalid_argument) for none, more than kMost, or a factor outside [kLeastFactor, kMostFactor].
    Scales(std::initializer_list<float> factors) : Scales(factors.begin(), factors.size()) {}
    Scales(const float* factors, std::size_t count) : Scales(make(factors, count).value()) {}
    static Result<Scales> create(const float* factors, std::size_t count) noexcept {
        return detail::as_result([&] { return make(factors, count); });
    }

    constexpr std::size_t size() const noexcept { return size_; }
    constexpr const float* begin() const noexcept { return factors_.data(); }
    constexpr const float* end() const noexcept { return factors_.data() + size_; }
    constexpr float operator[](std::size_t i) const noexcept {
        assert(i < size_);
        return factors_[i];
    }

private:
    static Result<Scales> make(const float* factors, std::size_t count) {
        if (count < 1 || count > kMost)
            return Error(ErrorCode::invalid_argument,
                         "options: scales must be 1.." + std::to_string(kMost) + " factors, found " + std::to_string(count));
        Scales scales;
        scales.size_ = count;
        for (std::size_t i = 0; i < count; ++i) {
            if (!(factors[i] >= kLeastFactor && factors[i] <= kMostFactor))
                return Error(ErrorCode::invalid_argument, "options: a scale must be " + std::to_string(kLeastFactor) + ".." +
                                                              std::to_string(kMostFactor) + ", found " +
                                                              std::to_string(factors[i]));
            scales.factors_[i] = factors[i];
        }
        return scales;
    }

    std::array<float, kMost> factors_{{1}};
    std::size_t size_ = 1;
};

/// What becomes of the candidates that suppression removes.
///   none         nothing: a face is its best candidate
///   paper        box and landmarks of every face become the mean, weighted by score, of those of all candidates whose IoU with its
///                box is greater than voting_threshold
///   insightface  that project's rule: every candidate votes for the best face that it overlaps with an IoU of at least
///                voting_threshold (which also decides what is suppressed, in place of nms_threshold); landmarks are not voted on; a
///                face without a vote but its own is dropped, unless it is the last; at most 750 faces
enum class Voting { none, paper, insightface };

/// How a Detector works; fixed at its construction.
struct Options {
    float score_threshold = 0.5f;        ///< 0..1; faces with a greater score are reported
    float nms_threshold = 0.4f;          ///< 0..1; of two boxes whose IoU is greater, the lower score is suppressed
    int max_faces = 0;                   ///< the best that many faces; 0: no limit
    SizePolicy size;                     ///< of the upright frame
    Rotation rotation = Rotation::none;  ///< every frame is turned so; results are in pixels of the upright frame
    bool clip = false;                   ///< boxes end at the edges of the upright frame; landmarks stay where they are

    // Several looks at one image; what they find is merged before one suppression. Each costs a pass through the network at its size.
    Scales scales;      ///< times what `size` gives
    bool flip = false;  ///< at each scale, also mirrored
    Voting voting = Voting::none;
    float voting_threshold = 0.4f;  ///< 0..1

    // The faces of interest, by side (the square root of the box's area) in pixels of the image; they choose the scales, for which
    // `size` and `scales` must be left alone. Networks of this kind find small faces in a larger image, and faces that fill more than
    // some hundred pixels in a smaller one: see kBestFaces in resize.hpp.
    float min_face = 0;  ///< 0: as small as the image at its own size shows
    float max_face = 0;  ///< 0: up to the image's shorter side, if min_face is given

    Isa isa = Isa::automatic;
    int threads = 1;  ///< threads a detect() call may use, 1..kMaxThreads; results do not depend on it; in a fork()ed child
                      ///< they are started anew
    Executor* executor = nullptr;  ///< runs the work instead of the detector's own threads; not owned, outlives the detector
};

/// `options` with the paper's test-time augmentation: shorter sides of 500, 800, 1100, 1400 and 1700 pixels, each also mirrored, box
/// voting. About forty times the work of one look at VGA.
inline Options with_paper_augmentation(Options options) {
    options.size = SizePolicy::shortest_side(500);
    options.scales = {1, 1.6f, 2.2f, 2.8f, 3.4f};
    options.flip = true;
    options.voting = Voting::paper;
    return options;
}

RETINAFACE_END_NAMESPACE
