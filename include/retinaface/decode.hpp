// From the heads' outputs to boxes and landmarks.
#pragma once

#include <cmath>
#include <limits>

#include "anchors.hpp"
#include "face.hpp"
#include "profile.hpp"
#include "resize.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace detail {

/// Probability of {background, face} logits whose difference is `difference` = face - background.
inline float probability(float difference) noexcept { return 1.0f / (1.0f + std::exp(-difference)); }

/// The logit difference at which the probability is `score`.
inline float logit(float score) noexcept {
    if (score <= 0) return -std::numeric_limits<float>::infinity();
    if (score >= 1) return std::numeric_limits<float>::infinity();
    return static_cast<float>(std::log(static_cast<double>(score) / (1.0 - static_cast<double>(score))));
}

/// Box of an anchor and its deltas {x, y, w, h}, in pixels of the image.
inline Box decode_box(const Profile& profile, const Anchor& anchor, const float* delta, const InputSize& size) noexcept {
    const float x = anchor.x + delta[0] * profile.variance_centre * anchor.size;
    const float y = anchor.y + delta[1] * profile.variance_centre * anchor.size;
    const float half_width = 0.5f * (anchor.size * std::exp(delta[2] * profile.variance_size) - profile.inclusive);
    const float half_height = 0.5f * (anchor.size * std::exp(delta[3] * profile.variance_size) - profile.inclusive);
    Box box{x - half_width, y - half_height, x + half_width, y + half_height};
    if (profile.clip) {
        const auto clip = [](float v, int side) { return std::max(0.0f, std::min(v, static_cast<float>(side - 1))); };
        box = {clip(box.x1, size.width), clip(box.y1, size.height), clip(box.x2, size.width), clip(box.y2, size.height)};
    }
    return size.transform.box_to_image(box);
}

/// Landmarks of an anchor and its deltas {x, y} x 5, in pixels of the image.
inline std::array<Point, 5> decode_landmarks(const Profile& profile, const Anchor& anchor, const float* delta,
                                             const Transform& transform) noexcept {
    std::array<Point, 5> points;
    const float scale = profile.variance_landmark * anchor.size;
    for (std::size_t i = 0; i < points.size(); ++i)
        points[i] = {anchor.x + delta[2 * i] * scale, anchor.y + delta[2 * i + 1] * scale};
    return transform.landmarks_to_image(points);
}

}  // namespace detail
RETINAFACE_END_NAMESPACE
