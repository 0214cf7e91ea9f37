// Profiles: the conventions a trained network comes with. Data, not code; a weights file names its profile.
#pragma once

#include <initializer_list>
#include <string>

#include "error.hpp"

RETINAFACE_BEGIN_NAMESPACE

/// Input, decoding and suppression rules of a family of weights.
struct Profile {
    const char* name;

    // Input: 8-bit values minus mean.
    bool rgb;           ///< channel order of the network's input: R, G, B, else B, G, R
    float mean[3];      ///< in the network's channel order
    int size_multiple;  ///< the input is padded right and bottom with zeros (after the mean is subtracted) to a multiple of this

    // Decoding: centre = anchor + delta * variance_centre * size; size = anchor size * exp(delta * variance_size).
    float variance_centre;
    float variance_size;
    /// Centre of the first cell's anchors in x and y, on every level alike; 0: the centre of that cell.
    float first_centre;
    /// 0: a box of width w spans w. 1: coordinates are those of pixel centres and a box includes its last pixel, so that a box of
    /// width w spans w - 1.
    float inclusive;
    bool clip;  ///< clip boxes to the image

    // Selection. IoU always counts (x2 - x1 + 1)(y2 - y1 + 1), in the image's own pixels.
    bool keep_equal_score;    ///< a score equal to the threshold passes
    bool suppress_equal_iou;  ///< an IoU equal to the threshold suppresses
};

/// biubug6/Pytorch_Retinaface, and the weights of this project.
constexpr Profile kBiubug6Profile = {"biubug6", false, {104, 117, 123}, 1, 0.1f, 0.2f, 0, 0, false, false, false};
/// deepinsight/insightface, RetinaFace mnet.25 and R50. Anchors grow around the centre of a base box of 16 x 16, at every stride.
constexpr Profile kInsightfaceProfile = {"insightface", true, {0, 0, 0}, 32, 1.0f, 1.0f, 7.5f, 1, true, true, true};
/// The networks of the paper, with this project's decisions where the paper is silent.
constexpr Profile kPaperProfile = {"paper", false, {104, 117, 123}, 1, 0.1f, 0.2f, 0, 0, false, false, false};

namespace detail {

inline Result<const Profile*> profile_of(const std::string& name) {
    for (const Profile* profile : {&kBiubug6Profile, &kInsightfaceProfile, &kPaperProfile})
        if (name == profile->name) return profile;
    return Error(ErrorCode::mismatch, "weights: profile must be biubug6, insightface or paper, found '" + name + "'");
}

}  // namespace detail

/// The profile of that name; throws Error (mismatch) where there is none.
inline const Profile& find_profile(const std::string& name) { return *detail::profile_of(name).value(); }
inline Result<const Profile*> try_find_profile(const std::string& name) noexcept {
    return detail::as_result([&] { return detail::profile_of(name); });
}

RETINAFACE_END_NAMESPACE
