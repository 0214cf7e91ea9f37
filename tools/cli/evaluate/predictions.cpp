#include "evaluate/predictions.hpp"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <thread>

#include "batch.hpp"
#include "evaluate/lines.hpp"
#include "image_file.hpp"
#include "inputs/file_set.hpp"
#include "inputs/inputs.hpp"
#include "progress.hpp"
#include "retinaface/version.hpp"
#include "sha256.hpp"
#include "shipped.hpp"
#include "text.hpp"

namespace cli {

using retinaface::Error;
using retinaface::ErrorCode;
using retinaface::Face;

namespace {

std::string file_digest(const std::string& path) {
    constexpr std::size_t kLargest = std::size_t{1} << 32;
    const std::vector<std::uint8_t> bytes = read_file(path, kLargest);
    return sha256(bytes.data(), bytes.size());
}

std::string weights_digest(const std::string& model) {
    if (!model.empty()) return file_digest(model);
    const std::vector<std::uint8_t> bytes = shipped_weights();
    return sha256(bytes.data(), bytes.size());
}

std::string version() {
    return std::to_string(retinaface::kVersionMajor) + "." + std::to_string(retinaface::kVersionMinor) + "." +
           std::to_string(retinaface::kVersionPatch);
}

std::string last_part(const std::string& name) { return name.substr(name.rfind('/') + 1); }

/// "a/b.c.jpg" as "a/b.c"; only the extensions of pictures go, so that a name without one stays.
std::string without_extension(const std::string& name) { return is_picture_name(name) ? name.substr(0, name.rfind('.')) : name; }

bool ends_with_part(const std::string& name, const std::string& end) {
    return name.size() > end.size() && name[name.size() - end.size() - 1] == '/' &&
           name.compare(name.size() - end.size(), end.size(), end) == 0;
}

}  // namespace

void add_source_arguments(CLI::App& command, SourceArguments& arguments, const std::string& type, const std::string& format) {
    add_detector_arguments(command, arguments.detector);
    CLI::Option* images =
        command.add_option("--images", arguments.images, "Detect in these pictures: a directory, a tar or a zip archive")
            ->type_name("DIR|TAR|ZIP");
    command.add_option("--predictions", arguments.predictions, "Judge what any program found instead: " + format)
        ->type_name(type)
        ->excludes(images);
    command.add_option("--candidates", arguments.candidates, "AP counts detections with a greater score")
        ->type_name("T")
        ->check(number_from(0, 1))
        ->capture_default_str();
    command.add_option("--jobs", arguments.jobs, "Pictures at a time, decoding included; 0: one a core")
        ->type_name("N")
        ->check(CLI::Range(0, retinaface::kMaxThreads))
        ->capture_default_str();
    command.add_flag("--progress", arguments.progress,
                     "Say on standard error how far it is, and at the end how fast, in how much memory");
    command.callback([&arguments] {
        if (arguments.images.empty() && arguments.predictions.empty()) throw CLI::RequiredError("--images or --predictions");
        if (arguments.jobs == 0)
            arguments.jobs = std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, retinaface::kMaxThreads);
    });
}

Judged make_judged(const SourceArguments& arguments) {
    DetectorArguments with_candidates = arguments.detector;
    retinaface::Options& options = with_candidates.options;
    options.score_threshold = std::min(arguments.candidates, options.score_threshold);
    Detector detector = make_detector(with_candidates);
    const std::string digest = weights_digest(arguments.detector.model);
    const char* voting = options.voting == retinaface::Voting::paper         ? "paper"
                         : options.voting == retinaface::Voting::insightface ? "insightface"
                                                                             : "none";
    Conditions conditions;
    conditions.text = describe_sizes(options);
    if (!options.flip) conditions.text += ", not mirrored";
    if (options.voting == retinaface::Voting::none) conditions.text += ", no voting";
    conditions.text += ", NMS " + number("%g", static_cast<double>(options.nms_threshold)) + ", " +
                       retinaface::to_string(detector.isa()) + ", weights " + digest.substr(0, 12);
    std::vector<double> scales;
    for (const float scale : options.scales) scales.push_back(static_cast<double>(scale));
    conditions.json = {
        {"program", "retinaface " + version()},
        {"weights", {{"file", arguments.detector.model.empty() ? "(embedded)" : arguments.detector.model}, {"sha256", digest}}},
        {"images", arguments.images},
        {"sizes", describe_sizes(options)},
        {"scales", scales},
        {"flip", options.flip},
        {"voting", voting},
        {"nms", static_cast<double>(options.nms_threshold)},
        {"score", static_cast<double>(arguments.detector.options.score_threshold)},
        {"candidates", static_cast<double>(arguments.candidates)},
        {"instruction_set", retinaface::to_string(detector.isa())},
        {"threads", options.threads},
        {"jobs", arguments.jobs}};
    return {std::move(detector), std::move(conditions)};
}

Conditions of_predictions(const SourceArguments& arguments) {
    Conditions conditions{"predictions " + arguments.predictions,
                          {{"program", "retinaface " + version()}, {"predictions", arguments.predictions}}};
    std::error_code ignored;
    if (std::filesystem::is_regular_file(arguments.predictions, ignored)) {
        const std::string digest = file_digest(arguments.predictions);
        conditions.text += ", sha256 " + digest.substr(0, 12);
        conditions.json["sha256"] = digest;
    }
    conditions.json["score"] = static_cast<double>(arguments.detector.options.score_threshold);
    conditions.json["candidates"] = static_cast<double>(arguments.candidates);
    return conditions;
}

double find_faces(const SourceArguments& arguments, const Detector& detector, const std::vector<Picture>& pictures,
                  const std::vector<std::string>& folders, const std::function<void(std::size_t, std::vector<Face>&&)>& use) {
    struct Found {
        std::vector<Face> faces;
        double seconds = 0;
    };
    const FileSet images(arguments.images);
    std::vector<retinaface::Workspace> workspaces(static_cast<std::size_t>(arguments.jobs));
    Progress progress(pictures.size(), arguments.progress);
    std::size_t taken = 0;
    double seconds = 0;
    Batch<std::size_t, Found>::run(
        arguments.jobs, [&] { return taken < pictures.size() ? std::optional<std::size_t>(taken++) : std::nullopt; },
        [&](std::size_t index, int worker) {
            const Picture& picture = pictures[index];
            try {
                std::string name = picture.file;
                for (const std::string& folder : folders)
                    if (!images.contains(name) && images.contains(folder + "/" + picture.file))
                        name = folder + "/" + picture.file;
                const Image image = decode_image(images.read(name, kMaxImageFile), false);
                if (picture.width > 0 && (image.source.width != picture.width || image.source.height != picture.height))
                    throw Error(ErrorCode::mismatch, "the truth is about " + std::to_string(picture.width) + " x " +
                                                         std::to_string(picture.height) + " pixels, the picture has " +
                                                         std::to_string(image.source.width) + " x " +
                                                         std::to_string(image.source.height));
                Found found;
                const auto start = std::chrono::steady_clock::now();
                const auto faces = detector.detect(image.view(), workspaces[static_cast<std::size_t>(worker)]);
                found.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
                for (const Face& face : faces) found.faces.push_back(in_source(image, face));
                return found;
            } catch (const Error& error) {
                throw Error(error.code(), picture.file + ": " + error.what());
            }
        },
        [&](std::size_t index, Found& found) {
            seconds += found.seconds;
            use(index, std::move(found.faces));
            progress.step();
        });
    return seconds;
}

Face read_face(const nlohmann::json& entry, bool landmarks) {
    Face face;
    const auto set_box = [&](const float* v) { face.box = {v[0], v[1], v[2], v[3]}; };
    if (entry.is_array()) {
        const std::vector<float> v = floats(entry, 15);
        face.score = v[0];
        set_box(v.data() + 1);
        for (std::size_t i = 0; i < 5; ++i) face.landmarks[i] = {v[5 + 2 * i], v[6 + 2 * i]};
        return face;
    }
    if (entry.contains("score")) face.score = entry.at("score").get<float>();
    set_box(floats(entry.at("box"), 4).data());
    if (!landmarks && !entry.contains("landmarks")) return face;
    const nlohmann::json& points = entry.at("landmarks");
    if (points.size() != face.landmarks.size())
        throw Error(ErrorCode::bad_format, "expected five landmarks, found " + std::to_string(points.size()));
    for (std::size_t i = 0; i < face.landmarks.size(); ++i) {
        const std::vector<float> v = floats(points[i], 2);
        face.landmarks[i] = {v[0], v[1]};
    }
    return face;
}

void name_pictures(const std::string& images, std::vector<Picture>& pictures) {
    const FileSet files(images);
    for (Picture& picture : pictures) {
        const std::string stem = picture.file;
        for (const char* extension : {".jpg", ".png", ".jpeg", ".bmp", ".JPG", ".PNG", ".JPEG", ".BMP", ".ppm", ".pgm"})
            if (files.contains(stem + extension)) picture.file = stem + extension;
        if (picture.file == stem) throw Error(ErrorCode::io, stem + ": no picture of that name in " + images);
    }
}

void Names::add(const std::string& full, std::size_t index) {
    const std::string name = stems_ ? without_extension(full) : full;
    const auto [at, added] = exact_.emplace(name, index);
    if (!added) throw Error(ErrorCode::bad_format, "'" + name + "' is there twice");
    by_last_.emplace(last_part(name), &*at);
}

std::size_t Names::find(const std::string& full) const {
    const std::string name = stems_ ? without_extension(full) : full;
    if (const auto found = exact_.find(name); found != exact_.end()) return found->second;
    const auto [begin, end] = by_last_.equal_range(last_part(name));
    const std::pair<const std::string, std::size_t>* match = nullptr;
    for (auto at = begin; at != end; ++at) {
        if (!ends_with_part(at->second->first, name) && !ends_with_part(name, at->second->first)) continue;
        if (match != nullptr)
            throw Error(ErrorCode::bad_format,
                        "'" + name + "' may be '" + match->first + "' or '" + at->second->first + "' of the predictions");
        match = at->second;
    }
    return match == nullptr ? kNone : match->second;
}

Predictions::Predictions(const std::string& path, bool landmarks, bool stems) : names_(stems) {
    for_each_line(path, [&](const std::string& line) {
        const nlohmann::json row = nlohmann::json::parse(line);
        std::vector<Face> faces;
        if (row.contains("faces"))
            for (const nlohmann::json& entry : row.at("faces")) faces.push_back(read_face(entry, landmarks));
        else if (!row.contains("error"))
            throw Error(ErrorCode::bad_format, "neither faces nor an error");
        std::stable_sort(faces.begin(), faces.end(), [](const Face& a, const Face& b) { return a.score > b.score; });
        names_.add(row.at("file").get<std::string>(), faces_.size());
        faces_.push_back(std::move(faces));
    });
}

const std::vector<Face>* Predictions::find(const std::string& name) const {
    const std::size_t index = names_.find(name);
    return index == Names::kNone ? nullptr : &faces_[index];
}

void report_missing(std::size_t missing, std::size_t total, const std::string& example) {
    if (missing == 0) return;
    complain(std::to_string(missing) + " of " + std::to_string(total) + " pictures have no predictions (" + example +
             (missing > 1 ? ", ...)" : ")") + ": their faces count as missed");
}

}  // namespace cli
