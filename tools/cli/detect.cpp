// retinaface detect: faces as JSON lines, as text, as pictures.
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "draw.hpp"
#include "finder.hpp"
#include "image_file.hpp"
#include "inputs.hpp"
#include "json.hpp"
#include "lines.hpp"
#include "model.hpp"
#include "pose.hpp"
#include "progress.hpp"
#include "subcommand.hpp"

namespace cli {

namespace {

struct Arguments {
    DetectorArguments detector;
    PictureArguments pictures;
    std::string json;
    std::string draw;
    bool pose = false;
    std::vector<std::string> images;
};

std::string as_text(const std::string& path, const Image& image, retinaface::Span<const retinaface::Face> faces,
                    const PoseEstimator* poses) {
    std::string text = path + ": " + std::to_string(image.source.width) + " x " + std::to_string(image.source.height) + ", " +
                       std::to_string(faces.size()) + (faces.size() == 1 ? " face" : " faces");
    const auto number = [](float v) {
        char buffer[64];
        std::snprintf(buffer, sizeof buffer, " %.1f", static_cast<double>(v));
        return std::string(buffer);
    };
    for (const retinaface::Face& found : faces) {
        const retinaface::Face face = in_source(image, found);
        char score[32];
        std::snprintf(score, sizeof score, "\n  %.4f  box", static_cast<double>(face.score));
        text += score + number(face.box.x1) + number(face.box.y1) + number(face.box.x2) + number(face.box.y2) + "  landmarks";
        for (const retinaface::Point& point : face.landmarks) text += number(point.x) + number(point.y);
        if (poses != nullptr) text += poses->as_text(face);
    }
    return text;
}

Json as_json(const std::string& path, const Image& image, retinaface::Span<const retinaface::Face> faces,
             const PoseEstimator* poses) {
    Json list = Json::array();
    for (const retinaface::Face& found : faces) {
        const retinaface::Face face = in_source(image, found);
        list.push_back(to_json(face));
        if (poses != nullptr) list.back()["pose"] = poses->as_json(face);
    }
    Json line = {{"file", path}, {"width", image.source.width}, {"height", image.source.height}, {"faces", std::move(list)}};
    if (image.rotation != retinaface::Rotation::none) line["rotation"] = static_cast<int>(image.rotation);
    if (!image.warning.empty()) line["warning"] = image.warning;
    return line;
}

int run(const Arguments& arguments) {
    const std::vector<Input> inputs = list_inputs(arguments.images);
    const Finder finder(arguments.detector, arguments.pictures);
    const Request request = finder.request(!arguments.draw.empty());
    const bool json = !arguments.json.empty();
    Lines lines(arguments.json);
    std::optional<OutputNames> names;
    if (!arguments.draw.empty()) names.emplace(arguments.draw, inputs);

    std::optional<PoseEstimator> pose_estimator;
    if (arguments.pose) pose_estimator.emplace(arguments.detector.options.isa);
    const PoseEstimator* const poses = pose_estimator ? &*pose_estimator : nullptr;
    retinaface::Workspace workspace;
    Progress progress(inputs.size());
    bool all_read = true;
    for (const Input& input : inputs) {
        std::string line, warning, error = input.error;
        try {
            if (error.empty()) {
                Image image = load_image(input.path, request);
                const retinaface::Span<const retinaface::Face> faces = finder.find(image, workspace);
                warning = image.warning;
                if (names) save_png(names->next(input.path), draw_faces(image, faces));
                line = json ? to_line(as_json(input.path, image, faces, poses)) : as_text(input.path, image, faces, poses);
            }
        } catch (const std::bad_alloc&) {
            error = "out of memory";
        } catch (const retinaface::Error& caught) {
            error = caught.what();
        }
        if (!error.empty() || !warning.empty() || isatty(STDOUT_FILENO) == 1) progress.clear();
        if (!warning.empty()) std::fprintf(stderr, "retinaface: %s: %s\n", input.path.c_str(), warning.c_str());
        if (!error.empty()) {
            all_read = false;
            std::fprintf(stderr, "retinaface: %s: %s\n", input.path.c_str(), error.c_str());
            if (json) line = to_line({{"file", input.path}, {"error", error}});
        }
        if (!line.empty()) lines.write(line);
        progress.step();
    }
    return all_read ? kSuccess : kFailure;
}

}  // namespace

Run add_detect(CLI::App& command) {
    const auto arguments = std::make_shared<Arguments>();
    add_detector_arguments(command, arguments->detector);
    add_picture_arguments(command, arguments->pictures);
    command.add_option("--json", arguments->json, "Write JSON lines, one a picture, to FILE or with - to standard output")
        ->type_name("FILE|-");
    command.add_option("--draw", arguments->draw, "Write <stem>.png with the faces drawn in, for every picture")
        ->type_name("DIR");
    command.add_flag("--pose", arguments->pose, "Add each face's pose: yaw, pitch, roll in degrees");
    command.add_option("images", arguments->images, "Pictures, or directories of them")
        ->type_name("IMAGE|DIR")
        ->required();
    return [arguments] { return run(*arguments); };
}

}  // namespace cli
