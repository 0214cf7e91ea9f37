// Raw outputs of a network.
#pragma once

#include "anchors.hpp"
#include "resize.hpp"
#include "span.hpp"

RETINAFACE_BEGIN_NAMESPACE

/// Every output of the network for one image, before decoding. Anchors come level by level (fine to coarse), row-major over the level's
/// map, in the order of the architecture's AnchorLayout. Views into the Workspace: valid until its next use.
struct RawOutputs {
    Span<const float> class_logits;  ///< [anchors][2]: background, face (no softmax)
    Span<const float> boxes;         ///< [anchors][4]: x, y, w, h deltas
    Span<const float> landmarks;     ///< [anchors][10]: x, y deltas of five points
    AnchorGrid anchors;              ///< of the network's input
    InputSize input;                 ///< and the way back to the image's pixels
};

RETINAFACE_END_NAMESPACE
