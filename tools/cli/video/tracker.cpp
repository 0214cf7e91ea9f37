#include "video/tracker.hpp"

#include <algorithm>
#include <cmath>

#include "evaluate/detections.hpp"

namespace cli {

using retinaface::Box;
using retinaface::Face;

namespace {

std::array<double, 4> state_of(const Box& box) {
    const auto mean = [](float a, float b) { return (static_cast<double>(a) + static_cast<double>(b)) / 2; };
    const auto extent = [](float a, float b) { return static_cast<double>(b) - static_cast<double>(a); };
    return {mean(box.x1, box.x2), mean(box.y1, box.y2), extent(box.x1, box.x2), extent(box.y1, box.y2)};
}

Box box_of(const std::array<double, 4>& s) {
    return {static_cast<float>(s[0] - s[2] / 2), static_cast<float>(s[1] - s[3] / 2), static_cast<float>(s[0] + s[2] / 2),
            static_cast<float>(s[1] + s[3] / 2)};
}

}  // namespace

const std::vector<std::uint64_t>& Tracker::update(retinaface::Span<const Face> faces) {
    for (Track& track : tracks_) {
        for (std::size_t k = 0; k < 4; ++k) track.box[k] += track.velocity[k];
        ++track.lost;
    }

    struct Join {
        double overlap;
        std::size_t track, face;
    };
    std::vector<Join> joins;
    for (std::size_t t = 0; t < tracks_.size(); ++t) {
        const Box box = box_of(tracks_[t].box);
        for (std::size_t f = 0; f < faces.size(); ++f)
            if (const double shared = overlap(box, faces[f].box); shared >= kLeastOverlap) joins.push_back({shared, t, f});
    }
    // Of equal ones the older track, then the better face.
    std::sort(joins.begin(), joins.end(), [](const Join& a, const Join& b) {
        return a.overlap != b.overlap ? a.overlap > b.overlap : a.track != b.track ? a.track < b.track : a.face < b.face;
    });

    ids_.assign(faces.size(), 0);
    std::vector<bool> joined(tracks_.size());
    for (const Join& join : joins) {
        if (joined[join.track] || ids_[join.face] != 0) continue;
        joined[join.track] = true;
        Track& track = tracks_[join.track];
        ids_[join.face] = track.id;
        // An alpha-beta filter. The second face of a track says all that is known of its velocity.
        constexpr double kPosition = 0.8, kVelocity = 0.3;
        const State seen = state_of(faces[join.face].box);
        for (std::size_t k = 0; k < 4; ++k) {
            const double surprise = seen[k] - track.box[k];
            track.box[k] += kPosition * surprise;
            track.velocity[k] += (track.age == 1 ? 1 : kVelocity) * surprise / track.lost;
        }
        ++track.age;
        track.lost = 0;
    }
    for (Track& track : tracks_)
        if (track.lost > 0) track.velocity[2] = track.velocity[3] = 0;  // unseen faces do not grow
    tracks_.erase(std::remove_if(tracks_.begin(), tracks_.end(), [&](const Track& track) { return track.lost > most_lost_; }),
                  tracks_.end());
    for (std::size_t f = 0; f < faces.size(); ++f) {
        if (ids_[f] != 0) continue;
        ids_[f] = ++last_id_;
        tracks_.push_back({last_id_, state_of(faces[f].box), {}, 1, 0});
    }
    return ids_;
}

void Smoother::update(std::vector<Face>& faces, const std::vector<std::uint64_t>& ids) {
    ++frame_;
    const auto weight = [](double cutoff, double seconds) {
        constexpr double kTurn = 2 * 3.14159265358979323846;
        return 1 / (1 + 1 / (kTurn * cutoff * seconds));
    };
    for (std::size_t f = 0; f < faces.size(); ++f) {
        Face& face = faces[f];
        std::array<float*, kValues> places{&face.box.x1, &face.box.y1, &face.box.x2, &face.box.y2};
        for (std::size_t i = 0; i < face.landmarks.size(); ++i) {
            places[4 + 2 * i] = &face.landmarks[i].x;
            places[5 + 2 * i] = &face.landmarks[i].y;
        }
        const auto [at, added] = filters_.try_emplace(ids[f]);
        Filter& filter = at->second;
        if (added) {
            for (std::size_t k = 0; k < kValues; ++k) filter.values[k] = static_cast<double>(*places[k]);
            filter.speeds = {};
        } else {
            const double seconds = static_cast<double>(frame_ - filter.frame) / rate_;
            const double side = std::max(1.0, static_cast<double>(side_of(face.box)));
            constexpr double kSpeedCutoff = 1;
            for (std::size_t k = 0; k < kValues; ++k) {
                const double seen = static_cast<double>(*places[k]);
                filter.speeds[k] +=
                    weight(kSpeedCutoff, seconds) * ((seen - filter.values[k]) / seconds / side - filter.speeds[k]);
                filter.values[k] +=
                    weight(least_cutoff_ + slope_ * std::abs(filter.speeds[k]), seconds) * (seen - filter.values[k]);
                *places[k] = static_cast<float>(filter.values[k]);
            }
        }
        filter.frame = frame_;
    }
    // Identities are never given twice: a filter that was not used for a minute of frames is that of a face that left.
    constexpr std::uint64_t kForgotten = 1800;
    if (frame_ % kForgotten == 0)
        for (auto at = filters_.begin(); at != filters_.end();)
            at = frame_ - at->second.frame > kForgotten ? filters_.erase(at) : std::next(at);
}

}  // namespace cli
