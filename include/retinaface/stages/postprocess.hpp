// From the network's outputs to faces: selection by score, suppression, voting.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "../decode.hpp"
#include "../nms.hpp"
#include "../options.hpp"
#include "../voting.hpp"
#include "infer.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace stages {

/// Calls use(anchor, logit difference, box, deltas) for every anchor whose score passes the threshold and whose box can be used.
/// deltas_of(anchor) gives its Deltas.
template <class DeltasOf, class Use>
void select(const Outputs& outputs, const Profile& profile, float score_threshold, DeltasOf deltas_of, Use use) {
    const float threshold = detail::logit(score_threshold);
    const float* const logits = outputs.class_logits;
    for (int i = 0; i < outputs.anchors.size(); ++i) {
        const float difference = logits[2 * i + 1] - logits[2 * i];
        if (!(profile.keep_equal_score ? difference >= threshold : difference > threshold)) continue;
        const Deltas deltas = deltas_of(i);
        const Box box = detail::decode_box(profile, outputs.anchors[i], deltas.box, outputs.input);
        if (detail::is_usable(box)) use(i, difference, box, deltas);
    }
}

/// Memory of the steps after the network, and the faces they found. One thread at a time.
class Postprocessor {
public:
    /// Room for every anchor, so that no frame of this size allocates later. Untouched memory costs nothing.
    void reserve(std::size_t anchors, const Options& options) {
        candidates_.reserve(anchors);
        suppressor_.reserve(anchors);
        faces_.reserve(anchors);
        anchors_.reserve(anchors);
        const bool voting = options.voting != Voting::none;
        const bool several_looks = options.scales.size() > 1 || options.flip || options.min_face > 0 || options.max_face > 0;
        if (voting || several_looks) points_.reserve(anchors);
        if (voting) voter_.reserve(anchors);
    }

    /// The faces of one look without voting: landmarks are decoded for survivors only.
    template <class DeltasOf>
    Span<const Face> faces(const Outputs& outputs, const Profile& profile, const Options& options, DeltasOf deltas_of) {
        candidates_.clear();
        select(outputs, profile, options.score_threshold, deltas_of,
               [&](int anchor, float difference, const Box& box, const Deltas&) {
                   candidates_.push_back({difference, static_cast<std::uint32_t>(anchor), box});
               });
        suppress(options.nms_threshold, profile.suppress_equal_iou, static_cast<std::size_t>(options.max_faces),
                 [&](const Candidate& candidate) {
                     const int anchor = static_cast<int>(candidate.index);
                     return landmarks(outputs, profile, anchor, deltas_of(anchor));
                 });
        return {faces_.data(), faces_.size()};
    }

    /// The anchors of the faces() found.
    Span<const std::uint32_t> anchors() const { return {anchors_.data(), anchors_.size()}; }

    /// Forgets the candidates of looks before.
    void clear() {
        candidates_.clear();
        points_.clear();
    }

    /// Adds a look's candidates to those of others.
    template <class DeltasOf>
    void collect(const Outputs& outputs, const Profile& profile, const Options& options, DeltasOf deltas_of) {
        select(outputs, profile, options.score_threshold, deltas_of,
               [&](int anchor, float difference, const Box& box, const Deltas& deltas) {
                   candidates_.push_back({difference, static_cast<std::uint32_t>(points_.size()), box});
                   points_.push_back(landmarks(outputs, profile, anchor, deltas));
               });
    }

    /// The faces of all candidates collected.
    Span<const Face> merged(const Profile& profile, const Options& options) {
        const bool clusters = options.voting == Voting::insightface;
        const auto most = static_cast<std::size_t>(options.max_faces);
        const auto points_of = [&](const Candidate& candidate) { return points_[candidate.index]; };
        suppress(clusters ? options.voting_threshold : options.nms_threshold, clusters || profile.suppress_equal_iou,
                 clusters ? 0 : most, points_of);
        const auto face_at = [&](std::size_t i) {
            const Candidate& candidate = candidates_[i];
            return Face{detail::probability(candidate.difference), candidate.box, points_of(candidate)};
        };
        voter_.run(options.voting, options.voting_threshold, candidates_.size(), face_at, suppressor_, faces_);
        if (most > 0 && faces_.size() > most) faces_.resize(most);
        return {faces_.data(), faces_.size()};
    }

    /// The faces found last, their boxes cut at the edges of the picture whose look `input` is one of.
    Span<const Face> clipped(const InputSize& input) {
        const float width = std::round(static_cast<float>(input.width) / input.transform.scale_x);
        const float height = std::round(static_cast<float>(input.height) / input.transform.scale_y);
        const auto clip = [](float& v, float most) { v = std::min(std::max(v, 0.0f), most); };
        for (Face& face : faces_) {
            clip(face.box.x1, width);
            clip(face.box.x2, width);
            clip(face.box.y1, height);
            clip(face.box.y2, height);
        }
        return {faces_.data(), faces_.size()};
    }

private:
    struct Candidate {
        float difference;     ///< face logit - background logit
        std::uint32_t index;  ///< of the anchor; of points_ where looks are merged
        Box box;
    };

    static std::array<Point, 5> landmarks(const Outputs& outputs, const Profile& profile, int anchor, const Deltas& deltas) {
        return detail::decode_landmarks(profile, outputs.anchors[anchor], deltas.landmarks, outputs.input.transform);
    }

    /// Sorts candidates by logit difference, descending (of equal ones the lower index comes first), and suppresses. Fills faces_,
    /// taking their landmarks from points_of(candidate).
    template <class PointsOf>
    void suppress(float iou_threshold, bool equal, std::size_t most, PointsOf points_of) {
        std::sort(candidates_.begin(), candidates_.end(), [](const Candidate& a, const Candidate& b) {
            return a.difference != b.difference ? a.difference > b.difference : a.index < b.index;
        });
        const Span<const std::uint32_t> kept = suppressor_.run(
            candidates_.size(), [&](std::size_t i) { return candidates_[i].box; }, iou_threshold, equal, most);
        faces_.clear();
        anchors_.clear();
        for (const std::uint32_t k : kept) {
            const Candidate& candidate = candidates_[k];
            anchors_.push_back(candidate.index);
            faces_.push_back({detail::probability(candidate.difference), candidate.box, points_of(candidate)});
        }
    }

    std::vector<Candidate> candidates_;
    std::vector<std::array<Point, 5>> points_;  ///< landmarks of candidates, where the next look takes the memory they come from
    std::vector<Face> faces_;
    std::vector<std::uint32_t> anchors_;  ///< of faces_, where there is one look
    detail::Suppressor suppressor_;
    detail::Voter voter_;
};

}  // namespace stages
RETINAFACE_END_NAMESPACE
