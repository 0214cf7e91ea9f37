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
    bool rgb;            ///< channel order of the network's input: R, G, B, else B, G, R
    float mean[3];       ///< in the network's channel order
    int size_multiple;   ///< the input is padded right and bottom to a multiple of this
    bool black_padding;  ///< with black pixels, else with the mean's colour

    // Decoding: centre = anchor + delta * variance_centre * size; size = anchor size * exp(delta * variance_size).
    float variance_centre;
    float variance_size;
    float variance_landmark;  ///< landmark = anchor + delta * variance_landmark * size
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
constexpr Profile kBiubug6Profile = {"biubug6", false, {104, 117, 123}, 1, false, 0.1f, 0.2f, 0.1f, 0, 0, false, false, false};
/// deepinsight/insightface, RetinaFace mnet.25 and R50. Anchors grow around the centre of a base box of 16 x 16, at every stride.
constexpr Profile kInsightfaceProfile = {"insightface", true, {0, 0, 0}, 32, false, 1.0f, 1.0f, 1.0f, 7.5f, 1, true, true, true};
/// The networks of the paper, with this project's decisions where the paper is silent.
constexpr Profile kPaperProfile = {"paper", false, {104, 117, 123}, 1, false, 0.1f, 0.2f, 0.1f, 0, 0, false, false, false};
/// deepinsight/insightface, retinaface_mnet025 v1 and v2: the graph subtracts 127.5 itself, landmarks are five times as large.
constexpr Profile kMnet12Profile = {"mnet12", true, {127.5f, 127.5f, 127.5f}, 32, true, 1.0f, 1.0f, 0.2f, 7.5f, 1, true,
                                    true,     true};

namespace detail {

inline Result<const Profile*> profile_of(const std::string& name) {
    for (const Profile* profile : {&kBiubug6Profile, &kInsightfaceProfile, &kPaperProfile, &kMnet12Profile})
        if (name == profile->name) return profile;
    return Error(ErrorCode::mismatch, "weights: profile must be biubug6, insightface, paper or mnet12, found '" + name + "'");
}

}  // namespace detail

/// The profile of that name; throws Error (mismatch) where there is none.
inline const Profile& find_profile(const std::string& name) { return *detail::profile_of(name).value(); }
inline Result<const Profile*> try_find_profile(const std::string& name) noexcept {
    return detail::as_result([&] { return detail::profile_of(name); });
}

RETINAFACE_END_NAMESPACE
