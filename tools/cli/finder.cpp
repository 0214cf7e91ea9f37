#include "finder.hpp"

#include <algorithm>
#include <string>

namespace cli {

using retinaface::Options;
using retinaface::Rotation;
using retinaface::SizePolicy;

namespace {

Rotation parse_rotation(const std::string& text) {
    for (const Rotation rotation : {Rotation::none, Rotation::clockwise_90, Rotation::clockwise_180, Rotation::clockwise_270})
        if (text == std::to_string(static_cast<int>(rotation))) return rotation;
    if (text == "auto") return Rotation::automatic;
    throw CLI::ValidationError("--rotation", "expected 0, 90, 180, 270 or auto, found '" + text + "'");
}

/// The largest factor at which the detector looks at a picture of this size, standing or lying.
double largest_factor(const Options& options, int width, int height) {
    if (options.min_face > 0) return static_cast<double>(retinaface::detail::kBestFaces[0] / options.min_face);
    if (options.max_face > 0) return 1;
    const double longer = std::max(width, height), shorter = std::min(width, height);
    const SizePolicy& size = options.size;
    double factor = 1;
    switch (size.kind()) {
        case SizePolicy::Kind::original: break;
        case SizePolicy::Kind::longest_side: factor = std::min(1.0, size.width() / longer); break;
        case SizePolicy::Kind::exact:
            factor = std::min(std::max(size.width(), size.height()) / longer, std::min(size.width(), size.height()) / shorter);
            break;
        case SizePolicy::Kind::shortest_side: factor = size.width() / shorter; break;
    }
    const double scale = static_cast<double>(*std::max_element(options.scales.begin(), options.scales.end()));
    // A picture of its own size is looked at in its own pixels, whatever the scales.
    return size.kind() == SizePolicy::Kind::original ? 1 : factor * scale;
}

}  // namespace

void add_picture_arguments(CLI::App& command, PictureArguments& arguments) {
    const auto set_rotation = [&arguments](const std::string& text) { arguments.rotation = parse_rotation(text); };
    command
        .add_option_function<std::string>(
            "--rotation", set_rotation,
            "Turn every picture so many degrees clockwise, on top of what its EXIF says; auto: as small looks find "
            "most faces")
        ->type_name("N|auto")
        ->default_str("0");
    command.add_option("--max-pixels", arguments.limits.pixels, "Refuse larger pictures, before they are decoded")
        ->type_name("N")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    command.add_option("--max-memory", arguments.limits.memory, "Bytes that decoding one picture may take, as in 500MB")
        ->type_name("N")
        ->transform(CLI::AsSizeValue(false))
        ->capture_default_str();
    command
        .add_option("--max-scans", arguments.limits.scans,
                    "Refuse a JPEG of more scans (over 17 megapixels: fewer, for the same work)")
        ->type_name("N")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
}

Finder::Finder(const DetectorArguments& arguments, const PictureArguments& pictures)
    : arguments_(arguments), pictures_(pictures) {
    // Other turns are made here, so that drawings and crops see them; which one `automatic` takes, the detector finds.
    if (pictures_.rotation == Rotation::automatic) arguments_.options.rotation = Rotation::automatic;
    detector_for(1);
}

Request Finder::request(bool whole) const {
    Request request;
    request.limits = pictures_.limits;
    request.reduction = [options = arguments_.options, whole](int width, int height) {
        const double factor = largest_factor(options, width, height);
        const int most = static_cast<int>(std::min(1 / factor, 64.0));
        return whole ? std::min(most, least_reduction(width, height)) : most;
    };
    return request;
}

retinaface::Span<const retinaface::Face> Finder::find(Image& image, retinaface::Workspace& workspace) const {
    image.source.clip = arguments_.options.clip;
    const bool automatic = pictures_.rotation == Rotation::automatic;
    if (!automatic) turn(image, pictures_.rotation);
    const Detector detector = detector_for(static_cast<int>(image.source.scale_x));
    const retinaface::Span<const retinaface::Face> faces = detector.detect(image.view(), workspace);
    const Rotation rotation = automatic ? workspace.rotation() : pictures_.rotation;
    if (automatic) turn(image, rotation);
    image.rotation = rotation;
    return faces;
}

retinaface::Span<const retinaface::MeshCorrection> Finder::mesh_corrections(const Image& image,
                                                                            retinaface::Workspace& workspace) const {
    return detector_for(static_cast<int>(image.source.scale_x)).mesh_corrections(workspace);
}

Detector Finder::detector_for(int reduction) const {
    const Options& options = arguments_.options;
    if (options.min_face <= 0 && options.max_face <= 0) reduction = 1;
    std::lock_guard<std::mutex> lock(mutex_);
    const auto known = detectors_.find(reduction);
    if (known != detectors_.end()) return known->second;
    DetectorArguments reduced = arguments_;
    reduced.options.min_face /= static_cast<float>(reduction);
    reduced.options.max_face /= static_cast<float>(reduction);
    return detectors_.emplace(reduction, make_detector(reduced)).first->second;
}

}  // namespace cli
