// Pictures with the detections drawn in, for a person to judge.
#pragma once

#include "image_file.hpp"
#include "retinaface/face.hpp"
#include "retinaface/span.hpp"

namespace cli {

/// A copy in rgb8 with box, landmarks and score of every face: lines and digits grow with the picture and shrink with the face,
/// boxes lie around their area rather than on it, landmarks have a colour each (eyes red and blue, nose green, mouth yellow and
/// magenta). A picture under 400 pixels is enlarged by a whole number first.
Image draw_faces(const Image& image, retinaface::Span<const retinaface::Face> faces);

}  // namespace cli
