// Faces over time: who is who in the next frame, and steadier points.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "retinaface/face.hpp"
#include "retinaface/span.hpp"

namespace cli {

/// Gives faces identities across frames. Every track predicts its box by a constant velocity; of all pairs of a track and a face whose
/// IoU with that prediction is at least kLeastOverlap, the most overlapping is joined first. A track without a face goes on predicting
/// for `lost` frames and then ends; a face without a track begins one. Cost: tracks times faces.
class Tracker {
public:
    static constexpr double kLeastOverlap = 0.15;

    explicit Tracker(int lost = 10) : most_lost_(lost) {}

    /// Identities of the faces of the next frame, from 1 on, each given once; valid until the next call.
    const std::vector<std::uint64_t>& update(retinaface::Span<const retinaface::Face> faces);

private:
    /// Centre and extent, pixels.
    using State = std::array<double, 4>;

    struct Track {
        std::uint64_t id;
        State box, velocity;  ///< velocity: a frame
        int age;              ///< frames with a face
        int lost;             ///< frames since the last one
    };

    int most_lost_;
    std::uint64_t last_id_ = 0;
    std::vector<Track> tracks_;
    std::vector<std::uint64_t> ids_;
};

/// The one-euro filter (Casiez, Roussel, Vogel, 2012) of box and points of every identity. Speeds are measured in sides of the face a
/// second, so that near and far faces are steadied alike.
class Smoother {
public:
    /// `rate`: frames a second. `least_cutoff` (Hz) rules faces at rest: lower is steadier; `slope` (Hz a side a second) moving ones: higher
    /// lags less.
    explicit Smoother(double rate, double least_cutoff = 1, double slope = 4)
        : rate_(rate), least_cutoff_(least_cutoff), slope_(slope) {}

    /// Steadies the faces of the next frame in place.
    void update(std::vector<retinaface::Face>& faces, const std::vector<std::uint64_t>& ids);

private:
    static constexpr std::size_t kValues = 14;

    struct Filter {
        std::array<double, kValues> values, speeds;
        std::uint64_t frame;
    };

    double rate_, least_cutoff_, slope_;
    std::uint64_t frame_ = 0;
    std::unordered_map<std::uint64_t, Filter> filters_;
};

}  // namespace cli
