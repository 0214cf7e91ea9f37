// retinaface evaluate landmarks: five points against those that people marked.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "evaluate/detections.hpp"
#include "evaluate/evaluate.hpp"
#include "evaluate/lines.hpp"
#include "evaluate/predictions.hpp"
#include "evaluate/report.hpp"
#include "output.hpp"
#include "text.hpp"

namespace cli {

namespace {

namespace fs = std::filesystem;
using retinaface::Error;
using retinaface::ErrorCode;
using retinaface::Face;
using retinaface::Point;

struct Arguments {
    SourceArguments source;
    ReportArguments report;
    std::string truth;
    double failure = 0.1;
};

/// A face that people marked.
struct Marked {
    std::size_t picture = 0;
    std::optional<retinaface::Box> drawn;  ///< the box, where one was drawn
    retinaface::Box box;                   ///< that, or the one around all points
    std::array<Point, 5> points{};
    std::array<bool, 5> visible{{true, true, true, true, true}};
};

struct Truth {
    std::vector<Picture> pictures;
    std::vector<Marked> faces;
};

/// Five points of the layouts in use, as means of one-based ranges of points: eyes, nose, mouth corners.
struct Layout {
    std::size_t points;
    std::array<std::pair<std::size_t, std::size_t>, 5> ranges;
};
constexpr Layout kLayouts[] = {{5, {{{1, 1}, {2, 2}, {3, 3}, {4, 4}, {5, 5}}}},
                               {19, {{{8, 8}, {11, 11}, {14, 14}, {16, 16}, {18, 18}}}},     // AFLW without ears
                               {21, {{{8, 8}, {11, 11}, {15, 15}, {18, 18}, {20, 20}}}},     // AFLW
                               {68, {{{37, 42}, {43, 48}, {31, 31}, {49, 49}, {55, 55}}}}};  // 300W

/// "version: 1", "n_points: N", and N lines "x y" in braces; a point of AFLW that was not marked has two numbers that are 0 or less, or
/// no numbers.
Marked read_pts(const std::string& path) {
    std::vector<std::pair<double, double>> points;
    std::size_t stated = 0;
    bool inside = false;
    for_each_line(path, [&](const std::string& line) {
        const std::vector<std::string_view> fields = words(line);
        if (fields.empty()) return;
        if (fields[0] == "{") {
            inside = true;
        } else if (fields[0] == "}") {
            inside = false;
        } else if (inside) {
            if (fields.size() != 2)
                throw Error(ErrorCode::bad_format, "expected x y, found " + std::to_string(fields.size()) + " words");
            points.emplace_back(to_double(fields[0]), to_double(fields[1]));
        } else if (line.compare(0, 9, "n_points:") == 0 && fields.size() == 2) {
            stated = to_index(fields[1]);
        }
    });
    if (points.empty() || (stated > 0 && stated != points.size()))
        throw Error(ErrorCode::bad_format,
                    path + ": expected " + std::to_string(stated) + " points, found " + std::to_string(points.size()));
    const Layout* layout =
        std::find_if(std::begin(kLayouts), std::end(kLayouts), [&](const Layout& l) { return l.points == points.size(); });
    if (layout == std::end(kLayouts))
        throw Error(ErrorCode::bad_format, path + ": expected 5, 19, 21 or 68 points, found " + std::to_string(points.size()));

    const auto is_marked = [](const std::pair<double, double>& p) {
        return std::isfinite(p.first) && std::isfinite(p.second) && (p.first > 0 || p.second > 0);
    };
    constexpr float kFar = std::numeric_limits<float>::max();
    Marked face;
    face.box = {kFar, kFar, -kFar, -kFar};
    for (const auto& point : points) {
        if (!is_marked(point)) continue;
        const auto x = static_cast<float>(point.first), y = static_cast<float>(point.second);
        face.box = {std::min(face.box.x1, x), std::min(face.box.y1, y), std::max(face.box.x2, x), std::max(face.box.y2, y)};
    }
    for (std::size_t i = 0; i < 5; ++i) {
        const auto [first, last] = layout->ranges[i];
        double x = 0, y = 0;
        for (std::size_t k = first - 1; k < last; ++k) {
            face.visible[i] = face.visible[i] && is_marked(points[k]);
            x += points[k].first;
            y += points[k].second;
        }
        const auto count = static_cast<double>(last - first + 1);
        face.points[i] = {static_cast<float>(x / count), static_cast<float>(y / count)};
    }
    return face;
}

Truth read_truth(const std::string& path) {
    Truth truth;
    if (fs::is_directory(path)) {
        std::vector<fs::path> files;
        std::error_code error;
        for (fs::recursive_directory_iterator it(path, error), end; !error && it != end; it.increment(error))
            if (it->path().extension() == ".pts") files.push_back(it->path());
        if (error) throw Error(ErrorCode::io, path + ": cannot read directory: " + error.message());
        std::sort(files.begin(), files.end());
        for (const fs::path& file : files) {
            Marked face = read_pts(file.string());
            face.picture = truth.pictures.size();
            truth.pictures.push_back({file.lexically_relative(path).replace_extension().string(), 0, 0});
            truth.faces.push_back(face);
        }
    } else {
        for_each_line(path, [&](const std::string& line) {
            const nlohmann::json row = nlohmann::json::parse(line);
            for (const nlohmann::json& entry : row.at("faces")) {
                const Face read = read_face(entry, true);
                Marked face;
                face.picture = truth.pictures.size();
                face.drawn = read.box;
                face.box = read.box;
                face.points = read.landmarks;
                truth.faces.push_back(face);
            }
            truth.pictures.push_back({row.at("file").get<std::string>(), row.value("width", 0), row.value("height", 0)});
        });
    }
    if (truth.faces.empty()) throw Error(ErrorCode::bad_format, path + ": no faces in it (.pts files, or JSON lines)");
    return truth;
}

/// The detection that shows a marked face: of those that overlap a drawn box with an IoU of 0.5 or more the one that overlaps most; where
/// none was drawn the best one whose box holds the centre of the points.
const Face* find_face(const Marked& face, const std::vector<Face>& found) {
    const Face* best = nullptr;
    double most = 0.5;
    float x = 0, y = 0, count = 0;
    for (std::size_t i = 0; i < 5; ++i) {
        if (!face.visible[i]) continue;
        x += face.points[i].x;
        y += face.points[i].y;
        ++count;
    }
    for (const Face& candidate : found) {
        if (face.drawn) {
            const double iou = overlap(*face.drawn, candidate.box);
            if (iou < most || (iou == most && best != nullptr)) continue;
            most = iou;
            best = &candidate;
        } else {
            const retinaface::Box& box = candidate.box;
            const bool holds = x / count >= box.x1 && x / count <= box.x2 && y / count >= box.y1 && y / count <= box.y2;
            if (holds && (best == nullptr || candidate.score > best->score)) best = &candidate;
        }
    }
    return best;
}

constexpr const char* kPoints[] = {"left eye", "right eye", "nose", "left mouth", "right mouth"};

int run(const Arguments& arguments) {
    refuse_overwriting(arguments.report.files(),
                       {arguments.truth, arguments.source.predictions, arguments.source.images, arguments.source.detector.model});
    const Truth truth = read_truth(arguments.truth);
    const SourceArguments& source = arguments.source;
    const float threshold = source.detector.options.score_threshold;
    std::vector<std::vector<Face>> found(truth.pictures.size());
    Conditions conditions;
    if (source.predictions.empty()) {
        const Judged judged = make_judged(source);
        conditions = judged.conditions;
        std::vector<Picture> pictures = truth.pictures;
        if (fs::is_directory(arguments.truth)) name_pictures(source.images, pictures);
        find_faces(source, judged.detector, pictures, {},
                   [&](std::size_t i, std::vector<Face>&& faces) { found[i] = std::move(faces); });
    } else {
        conditions = of_predictions(source);
        const Predictions predictions(source.predictions, true, fs::is_directory(arguments.truth));
        std::size_t missing = 0;
        std::string example;
        for (std::size_t i = 0; i < found.size(); ++i) {
            const std::vector<Face>* faces = predictions.find(truth.pictures[i].file);
            if (faces != nullptr)
                found[i] = *faces;
            else if (missing++ == 0)
                example = truth.pictures[i].file;
        }
        report_missing(missing, found.size(), example);
    }
    for (std::vector<Face>& faces : found)
        faces.erase(std::remove_if(faces.begin(), faces.end(), [&](const Face& face) { return !(face.score > threshold); }),
                    faces.end());

    constexpr double kNever = std::numeric_limits<double>::infinity();
    std::vector<double> by_box, by_eyes;
    std::array<std::pair<double, std::size_t>, 5> by_point{};
    for (const Marked& face : truth.faces) {
        std::vector<Point> wanted, got;
        for (std::size_t i = 0; i < 5; ++i)
            if (face.visible[i]) wanted.push_back(face.points[i]);
        const double side =
            std::sqrt(static_cast<double>(face.box.x2 - face.box.x1) * static_cast<double>(face.box.y2 - face.box.y1));
        const double eyes = face.visible[0] && face.visible[1] ? mean_distance({&face.points[0], 1}, {&face.points[1], 1}) : 0;
        if (wanted.empty() || !(side > 0)) continue;
        const Face* match = find_face(face, found[face.picture]);
        if (match == nullptr) {
            by_box.push_back(kNever);
            if (eyes > 0) by_eyes.push_back(kNever);
            continue;
        }
        for (std::size_t i = 0; i < 5; ++i) {
            if (!face.visible[i]) continue;
            got.push_back(match->landmarks[i]);
            by_point[i].first += mean_distance({&face.points[i], 1}, {&match->landmarks[i], 1}) / side;
            ++by_point[i].second;
        }
        const double distance = mean_distance(wanted, got);
        by_box.push_back(distance / side);
        if (eyes > 0) by_eyes.push_back(distance / eyes);
    }

    Report report("landmarks", conditions);
    const std::string scores = number("score > %g", static_cast<double>(threshold));
    for (const auto& [name, errors] : {std::make_pair("sqrt(box)", &by_box), std::make_pair("eye distance", &by_eyes)}) {
        double sum = 0;
        std::size_t count = 0, failed = 0;
        for (const double error : *errors) {
            if (error == kNever) continue;
            sum += error;
            ++count;
            failed += error > arguments.failure ? 1 : 0;
        }
        const std::size_t all = errors->size(), missed = all - count;
        const auto share = [](std::size_t of, std::size_t total) {
            return total > 0 ? 100 * static_cast<double>(of) / static_cast<double>(total) : 0;
        };
        report.add("NME %", name, count, count > 0 ? 100 * sum / static_cast<double>(count) : 0, "%.3f", scores);
        report.add("failures %", name, count, share(failed, count), "%.2f", scores);
        report.add("failures, missed too %", name, all, share(failed + missed, all), "%.2f", scores);
        report.add("found %", name, all, share(count, all), "%.2f", scores);
        report.add({name, "normalised error", "share of faces", cumulative(*errors, 2 * arguments.failure)});
    }
    for (std::size_t i = 0; i < 5; ++i)
        if (by_point[i].second > 0)
            report.add("NME %", kPoints[i], by_point[i].second, 100 * by_point[i].first / static_cast<double>(by_point[i].second),
                       "%.3f", scores);
    report.finish(arguments.report);
    return kSuccess;
}

}  // namespace

Run add_evaluate_landmarks(CLI::App& command) {
    const auto arguments = std::make_shared<Arguments>();
    add_source_arguments(command, arguments->source, "FILE.jsonl", "JSON lines as `detect` writes them");
    add_report_arguments(command, arguments->report);
    command
        .add_option(
            "--truth", arguments->truth,
            "JSON lines {file, faces [{box, landmarks}]}, or a directory of .pts files of 5, 19, 21 (AFLW) or 68 (300W) points")
        ->type_name("FILE.jsonl|DIR")
        ->required();
    command.add_option("--failure", arguments->failure, "A normalised error above this is a failure")
        ->type_name("E")
        ->check(number_from(1e-6, 10))
        ->capture_default_str();
    return [arguments] { return run(*arguments); };
}

}  // namespace cli
