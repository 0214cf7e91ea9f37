// From a picture file to the faces in it: how it is read, turned and reduced, and where its faces are.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <mutex>

#include "image_file.hpp"
#include "model.hpp"

namespace cli {

struct PictureArguments {
    Limits limits;
    retinaface::Rotation rotation = retinaface::Rotation::none;  ///< of every picture, on top of its EXIF orientation
};

/// Adds --rotation, --max-pixels, --max-memory and --max-scans; `arguments` outlives the parse.
void add_picture_arguments(CLI::App& command, PictureArguments& arguments);

/// A detector for pictures that may have been reduced while they were decoded. Threads may share one.
class Finder {
public:
    /// Throws retinaface::Error as make_detector().
    Finder(const DetectorArguments& arguments, const PictureArguments& pictures);

    /// How to read pictures for find(): with as few pixels as the detector's options look at, or, for crops and drawings, with all
    /// that the library can hold.
    Request request(bool whole) const;

    /// Turns the image as the arguments say (`rotation` says how) and finds its faces, in pixels of the image (see in_source()). The view is valid until the
    /// workspace's next use.
    retinaface::Span<const retinaface::Face> find(Image& image, retinaface::Workspace& workspace) const;

    /// What the weights' mesh head says of the faces that find() has just found in `image`, one a face.
    retinaface::Span<const retinaface::MeshCorrection> mesh_corrections(const Image& image,
                                                                        retinaface::Workspace& workspace) const;

private:
    Detector detector_for(int reduction) const;

    DetectorArguments arguments_;
    PictureArguments pictures_;
    mutable std::mutex mutex_;
    mutable std::map<int, Detector> detectors_;  ///< by reduction: sides of faces are in pixels of the image
};

}  // namespace cli
