// RetinaFace for the CPU: faces, five landmarks, no dependencies. The one include a program needs.
//
//   retinaface::Detector detector{retinaface::Weights::load("model.safetensors")};
//   for (const retinaface::Face& face : detector.detect({pixels, width, height, retinaface::PixelFormat::rgb8}))
//       use(face.score, face.box, face.landmarks);
#pragma once

#include "retinaface/detail/macros_begin.hpp"

#include "retinaface/align.hpp"
#include "retinaface/camera.hpp"
#include "retinaface/config.hpp"
#include "retinaface/detector.hpp"
#include "retinaface/error.hpp"
#include "retinaface/executor.hpp"
#include "retinaface/face.hpp"
#include "retinaface/image.hpp"
#include "retinaface/options.hpp"
#include "retinaface/version.hpp"
#include "retinaface/weights/archive.hpp"

#include "retinaface/detail/macros_end.hpp"
