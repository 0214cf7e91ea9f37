#pragma once

#include <cstdlib>
#include <string>

#include "../layers/layer.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace models {

/// The activation that a weights file states (metadata `slope`, of a leaky ReLU; 0: ReLU), else `otherwise`. Error (mismatch) for a slope
/// that is no number in 0..1.
inline Result<layers::Activation> check_activation(const Weights& weights, layers::Activation otherwise = {}) {
    const std::string* const stated = weights.find_metadata("slope");
    if (stated == nullptr) return otherwise;
    char* end = nullptr;
    const float slope = std::strtof(stated->c_str(), &end);
    if (stated->empty() || *end != '\0' || !(slope >= 0 && slope <= 1))
        return Error(ErrorCode::mismatch, "weights: slope must be a number in 0..1, found '" + *stated + "'");
    return layers::Activation{slope};
}

/// The same of weights that passed the check.
inline layers::Activation stated_activation(const Weights& weights, layers::Activation otherwise) {
    return check_activation(weights, otherwise).value();
}

}  // namespace models
RETINAFACE_END_NAMESPACE
