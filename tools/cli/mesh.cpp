// retinaface mesh: a mesh, a pose and 68 landmarks for every face of every picture.
#include "retinaface/mesh.hpp"

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "draw_mesh.hpp"
#include "image_file.hpp"
#include "inputs.hpp"
#include "json.hpp"
#include "lines.hpp"
#include "mesh_json.hpp"
#include "model.hpp"
#include "progress.hpp"
#include "subcommand.hpp"

namespace cli {

namespace {

struct Arguments {
    DetectorArguments detector;
    std::string obj, ply, draw, style = "shaded", json;
    bool time = false;
    std::vector<std::string> images;
};

/// Text to a file that appears whole or not at all on errors of writing.
void save_text(const std::string& path, const std::string& text) {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "wb"), std::fclose);
    if (!file || std::fwrite(text.data(), 1, text.size(), file.get()) != text.size() || std::fflush(file.get()) != 0)
        throw retinaface::Error(retinaface::ErrorCode::io, "cannot write " + path);
}

void add(std::string& text, const char* format, double a, double b, double c) {
    char line[128];
    std::snprintf(line, sizeof line, format, a, b, c);
    text += line;
}

/// Vertices in the model's centimetres with colours, triangles counted from 1.
std::string as_obj(const retinaface::Mesh& mesh, retinaface::Span<const std::int32_t> triangles) {
    std::string text = "# retinaface mesh: centimetres; vertex colours r g b in 0..1\n";
    const auto value = [](const float* p, int i) { return static_cast<double>(p[i]); };
    for (std::size_t i = 0; i + 2 < mesh.vertices3d.size(); i += 3) {
        const float *v = mesh.vertices3d.data() + i, *c = mesh.colours.data() + i;
        add(text, "v %.4f %.4f %.4f", value(v, 0), value(v, 1), value(v, 2));
        add(text, " %.3f %.3f %.3f\n", value(c, 0), value(c, 1), value(c, 2));
    }
    for (std::size_t i = 0; i + 2 < triangles.size(); i += 3)
        text += "f " + std::to_string(triangles[i] + 1) + " " + std::to_string(triangles[i + 1] + 1) + " " +
                std::to_string(triangles[i + 2] + 1) + "\n";
    return text;
}

std::string as_ply(const retinaface::Mesh& mesh, retinaface::Span<const std::int32_t> triangles) {
    std::string text =
        "ply\nformat ascii 1.0\ncomment retinaface mesh, centimetres\nelement vertex " +
        std::to_string(mesh.vertices3d.size() / 3) +
        "\nproperty float x\nproperty float y\nproperty float z\nproperty uchar red\nproperty uchar green\nproperty uchar blue\n"
        "element face " +
        std::to_string(triangles.size() / 3) + "\nproperty list uchar int vertex_indices\nend_header\n";
    const auto value = [](const float* p, int i) { return static_cast<double>(p[i]); };
    for (std::size_t i = 0; i + 2 < mesh.vertices3d.size(); i += 3) {
        const float *v = mesh.vertices3d.data() + i, *c = mesh.colours.data() + i;
        add(text, "%.4f %.4f %.4f", value(v, 0), value(v, 1), value(v, 2));
        add(text, " %.0f %.0f %.0f\n", 255 * value(c, 0), 255 * value(c, 1), 255 * value(c, 2));
    }
    for (std::size_t i = 0; i + 2 < triangles.size(); i += 3)
        text += "3 " + std::to_string(triangles[i]) + " " + std::to_string(triangles[i + 1]) + " " +
                std::to_string(triangles[i + 2]) + "\n";
    return text;
}

int run(const Arguments& arguments) {
    const std::vector<Input> inputs = list_inputs(arguments.images);
    const Detector detector = make_detector(arguments.detector);
    retinaface::MeshEstimator estimator = retinaface::default_mesh_estimator(arguments.detector.options.isa);
    const bool json = !arguments.json.empty();
    Lines lines(arguments.json);
    std::optional<OutputNames> obj, ply, draw;
    if (!arguments.obj.empty()) obj.emplace(arguments.obj, inputs);
    if (!arguments.ply.empty()) ply.emplace(arguments.ply, inputs);
    if (!arguments.draw.empty()) draw.emplace(arguments.draw, inputs);
    MeshPainter painter(parse_style(arguments.style), arguments.detector.options.isa);

    using Clock = std::chrono::steady_clock;
    Clock::duration detecting{}, estimating{};
    std::size_t pictures = 0, meshes = 0;
    retinaface::Workspace workspace;
    Progress progress(inputs.size());
    bool all_done = true;
    for (const Input& input : inputs) {
        std::string line, error = input.error;
        const auto report = [&](const std::string& text) {
            all_done = false;
            progress.clear();
            std::fprintf(stderr, "retinaface: %s: %s\n", input.path.c_str(), text.c_str());
        };
        try {
            if (error.empty()) {
                const Image image = load_image(input.path);
                Clock::time_point start = Clock::now();
                const retinaface::Span<const retinaface::Face> faces = detector.detect(image.view(), workspace);
                detecting += Clock::now() - start;
                ++pictures;
                Json list = Json::array();
                std::string text = input.path + ": " + std::to_string(image.width) + " x " + std::to_string(image.height) + ", " +
                                   std::to_string(faces.size()) + (faces.size() == 1 ? " face" : " faces");
                if (draw) painter.begin(image);
                const std::string stem = std::filesystem::path(input.path).stem().string();
                for (std::size_t i = 0; i < faces.size(); ++i) {
                    start = Clock::now();
                    const retinaface::Result<const retinaface::Mesh*> result = estimator.try_estimate(image.view(), faces[i]);
                    estimating += Clock::now() - start;
                    Json entry = to_json(faces[i]);
                    if (!result) {
                        report("face " + std::to_string(i) + ": " + result.error().what());
                        entry["error"] = result.error().what();
                        list.push_back(std::move(entry));
                        continue;
                    }
                    ++meshes;
                    const retinaface::Mesh& mesh = **result;
                    entry["pose"] = to_json(mesh.pose);
                    entry["landmarks68"] = to_json(mesh.landmarks68);
                    list.push_back(std::move(entry));
                    text += "\n  " + to_text(faces[i].score) + to_text(mesh.pose);
                    const auto save = [&](std::optional<OutputNames>& names, const char* extension, const std::string& contents) {
                        const std::string name = names->next(stem + "_" + std::to_string(i) + extension);
                        save_text(std::filesystem::path(name).replace_extension(extension).string(), contents);
                    };
                    if (obj) save(obj, ".obj", as_obj(mesh, estimator.triangles()));
                    if (ply) save(ply, ".ply", as_ply(mesh, estimator.triangles()));
                    if (draw) painter.add(mesh, estimator.triangles());
                }
                if (draw) save_png(draw->next(input.path), painter.finish());
                line = json ? to_line({{"file", input.path},
                                       {"width", image.width},
                                       {"height", image.height},
                                       {"faces", std::move(list)}})
                            : text;
            }
        } catch (const std::bad_alloc&) {
            error = "out of memory";
        } catch (const retinaface::Error& caught) {
            error = caught.what();
        }
        if (!error.empty()) {
            report(error);
            if (json) line = to_line({{"file", input.path}, {"error", error}});
        }
        progress.clear();
        if (!line.empty()) lines.write(line);
        progress.step();
    }
    if (arguments.time) {
        const auto each = [](Clock::duration total, std::size_t count) {
            return count == 0 ? 0.0 : std::chrono::duration<double, std::milli>(total).count() / static_cast<double>(count);
        };
        std::fprintf(stderr, "%zu pictures, %.3f ms each to detect; %zu faces, %.3f ms each for the mesh\n", pictures,
                     each(detecting, pictures), meshes, each(estimating, meshes));
    }
    return all_done ? kSuccess : kFailure;
}

}  // namespace

Run add_mesh(CLI::App& command) {
    const auto arguments = std::make_shared<Arguments>();
    add_detector_arguments(command, arguments->detector);
    command.add_option("--obj", arguments->obj, "Write <stem>_<index>.obj, best face first, for every face")->type_name("DIR");
    command.add_option("--ply", arguments->ply, "Write <stem>_<index>.ply")->type_name("DIR");
    command.add_option("--draw", arguments->draw, "Write <stem>.png with the meshes drawn over the picture")->type_name("DIR");
    command
        .add_option("--style", arguments->style, "How: shaded, wireframe or coordinates (a colour for every point of the face)")
        ->check(CLI::IsMember({"shaded", "wireframe", "coordinates"}))
        ->capture_default_str();
    command.add_option("--json", arguments->json, "Write JSON lines, one a picture, to FILE or with - to standard output")
        ->type_name("FILE|-");
    command.add_flag("--time", arguments->time, "Print the mean time of detecting and of meshes to standard error");
    command.add_option("images", arguments->images, "Pictures, or directories of them")->type_name("IMAGE|DIR")->required();
    return [arguments] { return run(*arguments); };
}

}  // namespace cli
