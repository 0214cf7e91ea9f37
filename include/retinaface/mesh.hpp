// The dense branch: mesh decoder, camera, light, rasteriser, and a mesh and a pose for every face of any detector. Not part of
// retinaface.hpp: only who includes it pays for it (its weights are 4.8 MB of text). docs/mesh.md.
//
//   retinaface::MeshEstimator estimator = retinaface::default_mesh_estimator();
//   for (const retinaface::Face& face : detector.detect(image)) {
//       const retinaface::Mesh& mesh = estimator.estimate(image, face);
//       use(mesh.pose, mesh.landmarks68, mesh.projected, estimator.triangles());
//   }
//
// As everywhere, what can fail has a noexcept form; but these rest on exceptions: without (-fno-exceptions), an error ends the program.
//
// The shipped decoder is derived from ICT-FaceKit, whose notice is in weights/LICENSE.ICT-FaceKit.
#pragma once

#include "detail/macros_begin.hpp"

#include "mesh/camera.hpp"
#include "mesh/decoder.hpp"
#include "mesh/estimator.hpp"
#include "mesh/pose.hpp"
#include "mesh/rasteriser.hpp"
#include "mesh/refiner.hpp"
#include "weights/default_mesh.hpp"
#include "weights/default_refiner.hpp"

RETINAFACE_BEGIN_NAMESPACE

/// The shipped decoder's file: ICT-FaceKit's face area, 9,409 vertices in centimetres.
inline Weights default_mesh_weights() { return Weights::from_embedded(embedded::kDefaultMesh); }

/// The shipped refiner's file: 68 landmarks by a small network.
inline Weights default_refiner_weights() { return Weights::from_embedded(embedded::kDefaultRefiner); }

struct MeshOptions {
    Isa isa = Isa::automatic;
    bool refine = false;  ///< look for 68 landmarks with the refiner, and fit the mesh to these
};

/// An estimator of the shipped weights.
inline MeshEstimator default_mesh_estimator(const MeshOptions& options = {}) {
    return options.refine ? MeshEstimator(default_mesh_weights(), default_refiner_weights(), options.isa)
                          : MeshEstimator(default_mesh_weights(), options.isa);
}
inline Result<MeshEstimator> try_default_mesh_estimator(const MeshOptions& options = {}) noexcept {
    return detail::as_result([&] { return default_mesh_estimator(options); });
}

RETINAFACE_END_NAMESPACE

#include "detail/macros_end.hpp"
