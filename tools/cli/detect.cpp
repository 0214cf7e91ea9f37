// retinaface detect: faces as JSON lines, as a table, as text, as pictures.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "draw.hpp"
#include "finder.hpp"
#include "output.hpp"
#include "picture_batch.hpp"
#include "pose.hpp"
#include "subcommand.hpp"

namespace cli {

namespace {

struct Arguments {
    DetectorArguments detector;
    PictureArguments pictures;
    BatchArguments batch;
    std::string draw;
    bool pose = false;
};

struct Found {
    std::vector<retinaface::Face> faces;                  // in pixels of the file
    std::vector<retinaface::MeshCorrection> corrections;  // of each
    std::vector<std::uint8_t> drawn;                      // a PNG
};

int run(const Arguments& arguments) {
    Inputs inputs(arguments.batch.inputs);
    const Finder finder(arguments.detector, arguments.pictures);
    Records records(arguments.batch);
    std::optional<OutputNames> names;
    if (!arguments.draw.empty()) {
        names.emplace(arguments.draw, inputs.all());
        for (const std::string& name : records.existing.found) names->next(name);  // as the earlier run named them
    }

    std::optional<PoseEstimator> poses;
    if (arguments.pose) poses.emplace(arguments.detector.options.isa);

    return run_batch<Found>(
        arguments.batch, inputs, records, finder.request(names.has_value()),
        [&](Image& image, retinaface::Workspace& workspace) {
            const retinaface::Span<const retinaface::Face> faces = finder.find(image, workspace);
            Found found;
            if (names) found.drawn = encode_png(draw_faces(image, faces));
            for (const retinaface::Face& face : faces) found.faces.push_back(in_source(image, face));
            if (poses) {
                const retinaface::Span<const retinaface::MeshCorrection> corrections = finder.mesh_corrections(image, workspace);
                found.corrections.assign(corrections.begin(), corrections.end());
            }
            return found;
        },
        [&](const Input& input, const PictureFacts& facts, const Found& found, const auto&) {
            if (names) write_file(names->next(input.name), found.drawn);
            return record(arguments.batch.format(), input.name, facts, found.faces,
                          poses ? poses->of(found.faces, found.corrections) : std::vector<FaceNote>());
        });
}

}  // namespace

Run add_detect(CLI::App& command) {
    const auto arguments = std::make_shared<Arguments>();
    add_detector_arguments(command, arguments->detector);
    add_picture_arguments(command, arguments->pictures);
    add_batch_arguments(command, arguments->batch, true);
    command.add_option("--draw", arguments->draw, "Write <stem>.png with the faces drawn in, for every picture")
        ->type_name("DIR");
    command.add_flag("--pose", arguments->pose,
                     "Add each face's pose (not to --csv): yaw, pitch, roll in degrees, about 4, 6 and 3 off; "
                     "mesh --refine is closer");
    return [arguments] { return run(*arguments); };
}

}  // namespace cli
