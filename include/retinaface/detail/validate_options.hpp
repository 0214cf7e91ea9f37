#pragma once

#include <string>
#include <utility>

#include "../image.hpp"
#include "../options.hpp"
#include "parallel.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace detail {

/// Error (invalid_argument) for an option outside its stated range.
inline Result<void> check(const Options& options) {
    const auto fail = [](const std::string& what) { return Error(ErrorCode::invalid_argument, "options: " + what); };
    const std::pair<const char*, float> probabilities[] = {{"score_threshold", options.score_threshold},
                                                           {"nms_threshold", options.nms_threshold},
                                                           {"voting_threshold", options.voting_threshold}};
    for (const auto& [name, value] : probabilities)
        if (!(value >= 0 && value <= 1)) return fail(std::string(name) + " must be 0..1, found " + std::to_string(value));
    if (options.voting != Voting::none && options.voting != Voting::paper && options.voting != Voting::insightface)
        return fail("unknown voting " + std::to_string(static_cast<int>(options.voting)));
    if (options.max_faces < 0) return fail("max_faces must be at least 0, found " + std::to_string(options.max_faces));
    if (options.threads < 1 || options.threads > kMaxThreads)
        return fail("threads must be 1.." + std::to_string(kMaxThreads) + ", found " + std::to_string(options.threads));
    if (const int turn = static_cast<int>(options.rotation);
        turn != 0 && turn != 90 && turn != 180 && turn != 270 && options.rotation != Rotation::automatic)
        return fail("rotation must be 0, 90, 180 or 270, found " + std::to_string(turn));
    const SizePolicy& size = options.size;
    const int least_height = size.kind() == SizePolicy::Kind::shortest_side ? 0 : 1;
    if (size.kind() != SizePolicy::Kind::original &&
        (size.width() < 1 || size.height() < least_height || size.width() > kMaxSide || size.height() > kMaxSide))
        return fail("size must be 1.." + std::to_string(kMaxSide) + " a side, found " + std::to_string(size.width()) + " x " +
                    std::to_string(size.height()));

    const float least = options.min_face, most = options.max_face;
    if (!(least >= 0 && least <= kMaxSide && most >= 0 && most <= kMaxSide) || (most > 0 && least > most))
        return fail("min_face and max_face must be 0.." + std::to_string(kMaxSide) + " in this order, found " +
                    std::to_string(least) + " and " + std::to_string(most));
    const bool looks_once = options.scales.size() == 1 && options.scales[0] == 1.0f && size.kind() == SizePolicy::Kind::original;
    if ((least > 0 || most > 0) && !looks_once)
        return fail("min_face and max_face choose the scales: leave size and scales alone");
    return {};
}

}  // namespace detail
RETINAFACE_END_NAMESPACE
