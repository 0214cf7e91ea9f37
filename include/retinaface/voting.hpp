// Box voting: what suppressed candidates still say about the faces that were kept.
#pragma once

#include <algorithm>
#include <vector>

#include "nms.hpp"
#include "options.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace detail {

/// Most faces that Voting::insightface gives.
constexpr std::size_t kInsightfaceMostFaces = 750;

/// Lets candidates vote. Keeps its buffers from call to call.
class Voter {
public:
    /// Makes room for `faces` faces.
    void reserve(std::size_t faces) { votes_.reserve(faces); }

    /// `faces` are those that `suppressor` kept last, in its order. Candidate i of `count`, sorted by descending score as given to
    /// it, is the face `face_at(i)`.
    template <class FaceAt>
    void run(Voting voting, float threshold, std::size_t count, FaceAt face_at, Suppressor& suppressor,
             std::vector<Face>& faces) {
        if (voting == Voting::none) return;
        const auto box_at = [&](std::size_t i) { return face_at(i).box; };
        votes_.assign(faces.size(), {});
        for (std::size_t i = 0; i < count; ++i) {
            const Face face = face_at(i);
            if (voting == Voting::paper) {
                suppressor.for_each_overlapping(face.box, box_at, threshold, false,
                                                [&](std::uint32_t k) { votes_[k].add(face); });
            } else {
                // A candidate leaves with the first face that it overlaps, and votes for that one alone.
                std::uint32_t first = static_cast<std::uint32_t>(faces.size());
                suppressor.for_each_overlapping(face.box, box_at, threshold, true,
                                                [&](std::uint32_t k) { first = std::min(first, k); });
                if (first < faces.size()) votes_[first].add(face);
            }
        }

        std::size_t kept = 0;
        for (std::size_t k = 0; k < faces.size(); ++k) {
            const Votes& votes = votes_[k];
            Face face = faces[k];
            if (voting == Voting::insightface) {
                if (kept == kInsightfaceMostFaces) break;
                if (votes.count <= 1 && k + 1 < faces.size()) continue;
                if (votes.count > 1 && votes.weight > 0) face.box = votes.mean().box;
            } else if (votes.weight > 0) {
                const Face mean = votes.mean();
                face.box = mean.box;
                face.landmarks = mean.landmarks;
            }
            faces[kept++] = face;
        }
        faces.resize(kept);
    }

private:
    /// Weighted sums.
    struct Votes {
        double weight = 0;
        double box[4] = {};
        double points[10] = {};
        std::size_t count = 0;

        void add(const Face& face) noexcept {
            const double score = static_cast<double>(face.score);
            const float values[4] = {face.box.x1, face.box.y1, face.box.x2, face.box.y2};
            weight += score;
            ++count;
            for (int i = 0; i < 4; ++i) box[i] += score * static_cast<double>(values[i]);
            for (std::size_t i = 0; i < 5; ++i) {
                points[2 * i] += score * static_cast<double>(face.landmarks[i].x);
                points[2 * i + 1] += score * static_cast<double>(face.landmarks[i].y);
            }
        }
        Face mean() const noexcept {
            const auto at = [&](double sum) { return static_cast<float>(sum / weight); };
            Face face;
            face.box = {at(box[0]), at(box[1]), at(box[2]), at(box[3])};
            for (std::size_t i = 0; i < 5; ++i) face.landmarks[i] = {at(points[2 * i]), at(points[2 * i + 1])};
            return face;
        }
    };
    std::vector<Votes> votes_;
};

}  // namespace detail
RETINAFACE_END_NAMESPACE
