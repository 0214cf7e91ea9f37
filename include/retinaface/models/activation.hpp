#pragma once

#include <cstdlib>
#include <string>

#include "../layers/layer.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace models {

/// The activation that a weights file states (metadata `slope`, of a leaky ReLU; 0: ReLU), else `otherwise`. Throws Error (mismatch)
/// for a slope that is no number in 0..1.
inline layers::Activation stated_activation(const Weights& weights, layers::Activation otherwise) {
    const auto found = weights.metadata().find("slope");
    if (found == weights.metadata().end()) return otherwise;
    char* end = nullptr;
    const float slope = std::strtof(found->second.c_str(), &end);
    if (found->second.empty() || *end != '\0' || !(slope >= 0 && slope <= 1))
        throw Error(ErrorCode::mismatch, "weights: slope must be a number in 0..1, found '" + found->second + "'");
    return {slope};
}

}  // namespace models
RETINAFACE_END_NAMESPACE
