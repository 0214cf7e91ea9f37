// retinaface mesh: a mesh, a pose and 68 landmarks for every face of every picture.
#include "retinaface/mesh.hpp"

#include <array>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "draw_mesh.hpp"
#include "finder.hpp"
#include "mesh_json.hpp"
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
    std::string obj, ply, draw, style = "shaded";
    bool refine = false;
    bool time = false;
};

/// What one picture gave.
struct Meshes {
    struct Entry {
        retinaface::Face face;  // in pixels of the file, as all that follows
        FaceNote note;
        std::string obj, ply;  // contents of files
        std::string error;
    };
    std::vector<Entry> entries;
    std::vector<std::uint8_t> drawn;  // a PNG
};

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

/// Things that one thread uses at a time, made when all are in use.
template <class T>
class Pool {
public:
    explicit Pool(std::function<std::unique_ptr<T>()> make) : make_(std::move(make)) {}

    template <class Use>
    void with(Use use) {
        std::unique_ptr<T> one;
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            if (!idle_.empty()) {
                one = std::move(idle_.back());
                idle_.pop_back();
            }
        }
        if (one == nullptr) one = make_();
        use(*one);
        const std::lock_guard<std::mutex> lock(mutex_);
        idle_.push_back(std::move(one));
    }

private:
    std::function<std::unique_ptr<T>()> make_;
    std::mutex mutex_;
    std::vector<std::unique_ptr<T>> idle_;
};

/// Adds up what takes how long, over threads.
struct Times {
    using Clock = std::chrono::steady_clock;
    std::mutex mutex;
    Clock::duration detecting{}, estimating{};
    std::size_t pictures = 0, meshes = 0;

    void print() const {
        const auto each = [](Clock::duration total, std::size_t count) {
            return count == 0 ? 0.0 : std::chrono::duration<double, std::milli>(total).count() / static_cast<double>(count);
        };
        std::fprintf(stderr, "%zu pictures, %.3f ms each to detect; %zu faces, %.3f ms each for the mesh\n", pictures,
                     each(detecting, pictures), meshes, each(estimating, meshes));
    }
};

/// 68 points in pixels of the picture's file.
std::array<std::array<float, 3>, 68> points_in_source(const Image& image, std::array<std::array<float, 3>, 68> points) {
    const Image::Source& s = image.source;
    for (std::array<float, 3>& p : points) p = {s.scale_x * p[0] + s.x0, s.scale_y * p[1] + s.y0, s.scale_x * p[2]};
    return points;
}

int run(const Arguments& arguments) {
    const retinaface::Isa isa = arguments.detector.options.isa;
    Inputs inputs(arguments.batch.inputs);
    const Finder finder(arguments.detector, arguments.pictures);
    Records records(arguments.batch);
    std::optional<OutputNames> obj, ply, draw;
    const auto open = [&](std::optional<OutputNames>& names, const std::string& folder) {
        if (!folder.empty()) names.emplace(folder, inputs.all());
    };
    open(obj, arguments.obj);
    open(ply, arguments.ply);
    open(draw, arguments.draw);
    // As the earlier run named them. OutputNames hands out pictures' names, whose extension save() replaces.
    for (const std::string& file : records.existing.files)
        for (std::optional<OutputNames>* names : {&obj, &ply})
            if (*names) (*names)->take(std::filesystem::path(file).replace_extension(".png").string());
    for (const std::string& name : records.existing.found)
        if (draw) draw->next(name);
    Pool<retinaface::MeshEstimator> estimators(
        [isa, &arguments] { return std::make_unique<retinaface::MeshEstimator>(make_mesh_estimator(isa, arguments.refine)); });
    Times times;

    const int status = run_batch<Meshes>(
        arguments.batch, inputs, records, finder.request(true),
        [&](Image& image, retinaface::Workspace& workspace) {
            Meshes made;
            Times::Clock::time_point start = Times::Clock::now();
            const retinaface::Span<const retinaface::Face> faces = finder.find(image, workspace);
            const retinaface::Span<const retinaface::MeshCorrection> corrections = finder.mesh_corrections(image, workspace);
            const Times::Clock::duration detecting = Times::Clock::now() - start;
            Times::Clock::duration estimating{};
            std::size_t meshes = 0;
            estimators.with([&](retinaface::MeshEstimator& estimator) {
                MeshPainter painter(parse_style(arguments.style), isa);
                if (draw) painter.begin(image);
                for (std::size_t i = 0; i < faces.size(); ++i) {
                    const retinaface::Face& face = faces[i];
                    start = Times::Clock::now();
                    const retinaface::Result<const retinaface::Mesh*> result =
                        estimator.try_estimate(image.view(), face, corrections[i]);
                    estimating += Times::Clock::now() - start;
                    Meshes::Entry entry;
                    entry.face = in_source(image, face);
                    if (result) {
                        const retinaface::Mesh& mesh = **result;
                        ++meshes;
                        entry.note = {
                            {{"pose", to_json(mesh.pose)}, {"landmarks68", to_json(points_in_source(image, mesh.landmarks68))}},
                            to_text(mesh.pose)};
                        if (obj) entry.obj = as_obj(mesh, estimator.triangles());
                        if (ply) entry.ply = as_ply(mesh, estimator.triangles());
                        if (draw) painter.add(mesh, estimator.triangles());
                    } else {
                        entry.error = result.error().what();
                        entry.note = {{{"error", entry.error}}, "  no mesh"};
                    }
                    made.entries.push_back(std::move(entry));
                }
                if (draw) made.drawn = encode_png(painter.finish());
            });
            const std::lock_guard<std::mutex> lock(times.mutex);
            times.detecting += detecting;
            times.estimating += estimating;
            times.pictures += 1;
            times.meshes += meshes;
            return made;
        },
        [&](const Input& input, const PictureFacts& facts, const Meshes& made, const auto& report) {
            const std::string stem = input.name == "-" ? "standard_input" : std::filesystem::path(input.name).stem().string();
            std::vector<retinaface::Face> faces;
            std::vector<FaceNote> notes;
            for (std::size_t i = 0; i < made.entries.size(); ++i) {
                const Meshes::Entry& entry = made.entries[i];
                notes.push_back(entry.note);
                const auto save = [&](std::optional<OutputNames>& names, const char* kind, const std::string& contents) {
                    if (!names || contents.empty()) return;
                    const std::string extension = std::string(".") + kind;
                    const std::string next = names->next(stem + "_" + std::to_string(i) + extension);
                    const std::string path = std::filesystem::path(next).replace_extension(extension).string();
                    write_file(path, contents);
                    notes.back().json[kind] = path;
                };
                if (!entry.error.empty()) report("face " + std::to_string(i) + ": " + entry.error);
                save(obj, "obj", entry.obj);
                save(ply, "ply", entry.ply);
                faces.push_back(entry.face);
            }
            if (draw) write_file(draw->next(input.name), made.drawn);
            return record(arguments.batch.format(), input.name, facts, faces, notes);
        });
    if (arguments.time) times.print();
    return status;
}

}  // namespace

Run add_mesh(CLI::App& command) {
    const auto arguments = std::make_shared<Arguments>();
    add_detector_arguments(command, arguments->detector);
    add_picture_arguments(command, arguments->pictures);
    command.add_option("--obj", arguments->obj, "Write <stem>_<index>.obj, best face first, for every face")->type_name("DIR");
    command.add_option("--ply", arguments->ply, "Write <stem>_<index>.ply")->type_name("DIR");
    command.add_option("--draw", arguments->draw, "Write <stem>.png with the meshes drawn over the picture")->type_name("DIR");
    command
        .add_option("--style", arguments->style, "How: shaded, wireframe or coordinates (a colour for every point of the face)")
        ->check(CLI::IsMember({"shaded", "wireframe", "coordinates"}))
        ->capture_default_str();
    command.add_flag("--refine", arguments->refine, "Look for 68 landmarks with a second network, and fit the meshes to these");
    command.add_flag("--time", arguments->time, "Print the mean time of detecting and of meshes to standard error");
    add_batch_arguments(command, arguments->batch, false);
    return [arguments] { return run(*arguments); };
}

}  // namespace cli
