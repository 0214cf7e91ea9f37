// retinaface align: every face of every picture as a crop of one size.
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "finder.hpp"
#include "image_file.hpp"
#include "inputs.hpp"
#include "json.hpp"
#include "lines.hpp"
#include "model.hpp"
#include "progress.hpp"
#include "subcommand.hpp"

namespace cli {

namespace {

struct Arguments {
    DetectorArguments detector;
    PictureArguments pictures;
    int size = 112;
    float margin = 0;
    std::string out;
    std::string json;
    std::vector<std::string> images;
};

std::string check_crop_size(const std::string& text) {
    int size = 0;
    if (!CLI::detail::lexical_cast(text, size)) return "expected a number, found '" + text + "'";
    try {
        retinaface::Aligner{retinaface::arcface_template(size)};
    } catch (const retinaface::Error& error) {
        return error.what();
    }
    return "";
}

int run(const Arguments& arguments) {
    const std::vector<Input> inputs = list_inputs(arguments.images);
    retinaface::Aligner aligner(retinaface::arcface_template(arguments.size).with_margin(arguments.margin),
                                arguments.detector.options.isa);
    const Finder finder(arguments.detector, arguments.pictures);
    const Request request = finder.request(true);
    OutputNames names(arguments.out, inputs);
    std::optional<Lines> lines;
    if (!arguments.json.empty()) lines.emplace(arguments.json);

    retinaface::Workspace workspace;
    Progress progress(inputs.size());
    bool all_done = true;
    for (const Input& input : inputs) {
        Json faces = Json::array(), line;
        const auto report = [&](const std::string& error) {
            all_done = false;
            progress.clear();
            std::fprintf(stderr, "retinaface: %s: %s\n", input.path.c_str(), error.c_str());
        };
        std::string error = input.error;
        try {
            if (error.empty()) {
                Image image = load_image(input.path, request);
                const std::string stem = std::filesystem::path(input.path).stem().string();
                int index = 0;
                for (const retinaface::Face& face : finder.find(image, workspace)) {
                    Json entry = to_json(in_source(image, face));
                    const std::string name = stem + "_" + std::to_string(index++) + ".png";
                    const retinaface::Result<retinaface::AlignedCrop> crop = aligner.try_crop(image.view(), face.landmarks);
                    if (crop) {
                        const retinaface::ImageView& view = (*crop).image;
                        const std::string path = names.next(name);
                        save_png(
                            path,
                            {view.width, view.height, view.format, {view.data, view.data + view.row_stride() * view.height}});
                        const auto number = [](double v) { return static_cast<float>(v); };
                        const retinaface::Similarity& s = (*crop).to_crop;
                        const double scale = static_cast<double>(image.source.scale_x), a = s.a / scale, b = s.b / scale;
                        const double x0 = static_cast<double>(image.source.x0), y0 = static_cast<double>(image.source.y0);
                        entry["crop"] = path;
                        entry["to_crop"] = Json::array({Json::array({number(a), number(-b), number(s.dx - a * x0 + b * y0)}),
                                                        Json::array({number(b), number(a), number(s.dy - b * x0 - a * y0)})});
                    } else {
                        report("face " + std::to_string(index - 1) + ": " + crop.error().what());
                        entry["error"] = crop.error().what();
                    }
                    faces.push_back(std::move(entry));
                }
                line = {{"file", input.path}, {"width", image.source.width}, {"height", image.source.height}, {"faces", std::move(faces)}};
                if (image.rotation != retinaface::Rotation::none) line["rotation"] = static_cast<int>(image.rotation);
                if (!image.warning.empty()) {
                    progress.clear();
                    std::fprintf(stderr, "retinaface: %s: %s\n", input.path.c_str(), image.warning.c_str());
                    line["warning"] = image.warning;
                }
            }
        } catch (const std::bad_alloc&) {
            error = "out of memory";
        } catch (const retinaface::Error& caught) {
            error = caught.what();
        }
        if (!error.empty()) {
            report(error);
            line = {{"file", input.path}, {"error", error}};
        }
        progress.clear();
        if (lines) lines->write(to_line(line));
        progress.step();
    }
    return all_done ? kSuccess : kFailure;
}

}  // namespace

Run add_align(CLI::App& command) {
    const auto arguments = std::make_shared<Arguments>();
    add_detector_arguments(command, arguments->detector, "--input-size");
    add_picture_arguments(command, arguments->pictures);
    command.add_option("--size", arguments->size, "Side of the crops in pixels: a multiple of 112 or 128")
        ->type_name("N")
        ->check(check_crop_size)
        ->capture_default_str();
    command.add_option("--margin", arguments->margin, "Show this part of the crop's side more on every side")
        ->type_name("F")
        ->check(CLI::Range(-0.4, 4.0))
        ->capture_default_str();
    command.add_option("--out", arguments->out, "Write <stem>_<index>.png, best face first, for every picture")
        ->type_name("DIR")
        ->required();
    command.add_option("--json", arguments->json, "Write JSON lines, one a picture, to FILE or with - to standard output")
        ->type_name("FILE|-");
    command.add_option("images", arguments->images, "Pictures, or directories of them")
        ->type_name("IMAGE|DIR")
        ->required();
    return [arguments] { return run(*arguments); };
}

}  // namespace cli
