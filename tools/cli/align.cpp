// retinaface align: every face of every picture as a crop of one size.
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "finder.hpp"
#include "json.hpp"
#include "model.hpp"
#include "output.hpp"
#include "picture_batch.hpp"
#include "subcommand.hpp"
#include "text.hpp"

namespace cli {

namespace {

struct Arguments {
    DetectorArguments detector;
    PictureArguments pictures;
    int size = 112;
    float margin = 0;
    BatchArguments batch;
    std::string out;
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

struct Crop {
    retinaface::Face face;           // in pixels of the file
    retinaface::Similarity to_crop;  // from there
    std::vector<std::uint8_t> png;
    std::string error;
};

Json matrix_of(const retinaface::Similarity& s) {
    const auto value = [](double v) { return static_cast<float>(v); };
    return Json::array({Json::array({value(s.a), value(-s.b), value(s.dx)}), Json::array({value(s.b), value(s.a), value(s.dy)})});
}

/// `s` is from pixels of the image; this one is from those of its file.
retinaface::Similarity from_source(const Image& image, const retinaface::Similarity& s) {
    const double scale = static_cast<double>(image.source.scale_x), a = s.a / scale, b = s.b / scale;
    const double x0 = static_cast<double>(image.source.x0), y0 = static_cast<double>(image.source.y0);
    retinaface::Similarity result = s;
    result.a = a;
    result.b = b;
    result.dx = s.dx - a * x0 + b * y0;
    result.dy = s.dy - b * x0 - a * y0;
    return result;
}

int run(const Arguments& arguments) {
    Inputs inputs(arguments.batch.inputs);
    const auto pattern = retinaface::arcface_template(arguments.size).with_margin(arguments.margin);
    const Finder finder(arguments.detector, arguments.pictures);
    Records records(arguments.batch);
    OutputNames names(arguments.out, inputs.all());
    for (const std::string& crop : records.existing.files) names.take(crop);

    return run_batch<std::vector<Crop>>(
        arguments.batch, inputs, records, finder.request(true),
        [&](Image& image, retinaface::Workspace& workspace) {
            retinaface::Aligner aligner(pattern, arguments.detector.options.isa);
            std::vector<Crop> crops;
            for (const retinaface::Face& face : finder.find(image, workspace)) {
                Crop crop{in_source(image, face), {}, {}, ""};
                const retinaface::Result<retinaface::AlignedCrop> cut = aligner.try_crop(image.view(), face.landmarks);
                if (cut) {
                    const retinaface::ImageView& view = (*cut).image;
                    crop.to_crop = from_source(image, (*cut).to_crop);
                    crop.png = encode_png(
                        {view.width, view.height, view.format, {view.data, view.data + view.row_stride() * view.height}});
                } else {
                    crop.error = cut.error().what();
                }
                crops.push_back(std::move(crop));
            }
            return crops;
        },
        [&](const Input& input, const PictureFacts& facts, const std::vector<Crop>& crops, const auto& report) {
            const std::string stem = input.name == "-" ? "standard_input" : std::filesystem::path(input.name).stem().string();
            Json faces = Json::array();
            for (std::size_t i = 0; i < crops.size(); ++i) {
                Json entry = to_json(crops[i].face);
                if (crops[i].error.empty()) {
                    const std::string path = names.next(stem + "_" + std::to_string(i) + ".png");
                    write_file(path, crops[i].png);
                    entry["crop"] = path;
                    entry["to_crop"] = matrix_of(crops[i].to_crop);
                } else {
                    report("face " + std::to_string(i) + ": " + crops[i].error);
                    entry["error"] = crops[i].error;
                }
                faces.push_back(std::move(entry));
            }
            Json line = about_file(input.name);
            add_facts(line, facts, std::move(faces));
            return arguments.batch.json.empty() ? std::string() : to_line(line);
        });
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
        ->check(number_from(-0.4, 4))
        ->capture_default_str();
    command.add_option("--out", arguments->out, "Write <stem>_<index>.png, best face first, for every picture")
        ->type_name("DIR")
        ->required();
    add_batch_arguments(command, arguments->batch, false);
    return [arguments] { return run(*arguments); };
}

}  // namespace cli
