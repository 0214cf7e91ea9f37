// retinaface evaluate dense: AFLW2000-3D, 68 points by yaw, and the pose of the head.
#include <algorithm>
#include <array>
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
#include "evaluate/mat_file.hpp"
#include "evaluate/predictions.hpp"
#include "evaluate/report.hpp"
#include "output.hpp"

namespace cli {

namespace {

namespace fs = std::filesystem;
using retinaface::Error;
using retinaface::ErrorCode;
using retinaface::Point;

constexpr std::size_t kPoints = 68;

struct Arguments {
    ReportArguments report;
    std::string truth;
    std::string predictions;
};

/// One face; pose: pitch, yaw, roll in degrees.
struct Dense {
    std::vector<Point> points;
    std::optional<std::array<double, 3>> pose;
};

struct Known {
    std::string file;
    Dense face;
};

Dense read_dense(const nlohmann::json& entry) {
    Dense face;
    const nlohmann::json& points = entry.contains("landmarks68") ? entry.at("landmarks68") : entry.at("points");
    if (points.size() != kPoints)
        throw Error(ErrorCode::bad_format,
                    "expected " + std::to_string(kPoints) + " points, found " + std::to_string(points.size()));
    for (const nlohmann::json& point : points) {
        if (point.size() < 2) throw Error(ErrorCode::bad_format, "expected points of 2 or 3 numbers");
        face.points.push_back({point[0].get<float>(), point[1].get<float>()});
    }
    if (!entry.contains("pose")) return face;
    const nlohmann::json& pose = entry.at("pose");
    if (pose.is_object())
        face.pose = {{pose.at("pitch").get<double>(), pose.at("yaw").get<double>(), pose.at("roll").get<double>()}};
    else if (pose.size() == 3)
        face.pose = {{pose[0].get<double>(), pose[1].get<double>(), pose[2].get<double>()}};
    else
        throw Error(ErrorCode::bad_format, "expected a pose of pitch, yaw and roll");
    return face;
}

Known read_mat(const fs::path& path, const fs::path& folder) {
    MatFile file(path.string());
    const MatValue points = file["pt3d_68"];
    const std::vector<double> numbers = points.numbers(), pose = file["Pose_Para"].numbers();
    const std::size_t rows = points.rows();
    if (rows < 2 || numbers.size() != rows * kPoints || pose.size() < 3)
        throw Error(ErrorCode::bad_format, path.string() + ": expected pt3d_68 of 3 x 68 and Pose_Para of 7 numbers");
    Known known{path.lexically_relative(folder).replace_extension().string(), {}};
    for (std::size_t i = 0; i < kPoints; ++i)
        known.face.points.push_back({static_cast<float>(numbers[rows * i]), static_cast<float>(numbers[rows * i + 1])});
    constexpr double kDegrees = 180 / 3.14159265358979323846;
    known.face.pose = {{pose[0] * kDegrees, pose[1] * kDegrees, pose[2] * kDegrees}};
    return known;
}

std::vector<Known> read_truth(const std::string& path) {
    std::vector<Known> truth;
    if (fs::is_directory(path)) {
        std::vector<fs::path> files;
        for (const fs::directory_entry& entry : fs::directory_iterator(path))
            if (entry.path().extension() == ".mat") files.push_back(entry.path());
        std::sort(files.begin(), files.end());
        for (const fs::path& file : files) truth.push_back(read_mat(file, path));
    } else {
        for_each_line(path, [&](const std::string& line) {
            const nlohmann::json row = nlohmann::json::parse(line);
            truth.push_back({row.at("file").get<std::string>(), read_dense(row)});
            if (!truth.back().face.pose)
                throw Error(ErrorCode::bad_format, "no pose, whose yaw says to which bin the face belongs");
        });
    }
    if (truth.empty()) throw Error(ErrorCode::bad_format, path + ": no faces in it (.mat files, or JSON lines)");
    return truth;
}

Point centre(const std::vector<Point>& points) {
    Point sum;
    for (const Point& point : points) {
        sum.x += point.x / static_cast<float>(points.size());
        sum.y += point.y / static_cast<float>(points.size());
    }
    return sum;
}

int run(const Arguments& arguments) {
    refuse_overwriting(arguments.report.files(), {arguments.truth, arguments.predictions});
    const std::vector<Known> truth = read_truth(arguments.truth);
    Names names(true);
    std::vector<std::vector<Dense>> found;
    for_each_line(arguments.predictions, [&](const std::string& line) {
        const nlohmann::json row = nlohmann::json::parse(line);
        names.add(row.at("file").get<std::string>(), found.size());
        found.emplace_back();
        if (row.contains("error")) return;
        if (!row.contains("faces")) return found.back().push_back(read_dense(row));
        for (const nlohmann::json& entry : row.at("faces"))
            if (!entry.contains("error")) found.back().push_back(read_dense(entry));
    });

    constexpr std::pair<const char*, double> kBins[] = {
        {"yaw 0-30", 30}, {"yaw 30-60", 60}, {"yaw 60-90", std::numeric_limits<double>::infinity()}};
    struct Bin {
        std::vector<double> errors;
        std::array<double, 3> pose{};
        std::size_t all = 0, posed = 0;
    } bins[3];
    std::vector<double> errors;
    std::size_t missing = 0;
    std::string example;
    for (const Known& known : truth) {
        const double yaw = std::abs((*known.face.pose)[1]);
        Bin& bin = bins[yaw <= kBins[0].second ? 0 : yaw <= kBins[1].second ? 1 : 2];
        ++bin.all;
        // The face about the place of the marked one.
        const std::size_t index = names.find(known.file);
        const Dense* face = nullptr;
        double least = std::numeric_limits<double>::infinity();
        const Point here = centre(known.face.points);
        if (index != Names::kNone)
            for (const Dense& candidate : found[index]) {
                const Point there = centre(candidate.points);
                const double distance = mean_distance({&here, 1}, {&there, 1});
                if (distance >= least) continue;
                least = distance;
                face = &candidate;
            }
        if (face == nullptr) {
            if (missing++ == 0) example = known.file;
            errors.push_back(std::numeric_limits<double>::infinity());
            continue;
        }
        const auto [left, right] = std::minmax_element(known.face.points.begin(), known.face.points.end(),
                                                       [](const Point& a, const Point& b) { return a.x < b.x; });
        const auto [top, bottom] = std::minmax_element(known.face.points.begin(), known.face.points.end(),
                                                       [](const Point& a, const Point& b) { return a.y < b.y; });
        const double side = std::sqrt(static_cast<double>(right->x - left->x) * static_cast<double>(bottom->y - top->y));
        if (!(side > 0)) throw Error(ErrorCode::bad_format, known.file + ": points without extent");
        bin.errors.push_back(mean_distance(known.face.points, face->points) / side);
        errors.push_back(bin.errors.back());
        if (!face->pose) continue;
        ++bin.posed;
        for (std::size_t k = 0; k < 3; ++k) bin.pose[k] += std::abs((*face->pose)[k] - (*known.face.pose)[k]);
    }
    report_missing(missing, truth.size(), example);

    SourceArguments source;
    source.predictions = arguments.predictions;
    Report report("dense", of_predictions(source));
    double sum_of_bins = 0;
    std::size_t bins_with_faces = 0, posed = 0, matched = 0;
    double sum = 0;
    std::array<double, 3> pose{};
    for (std::size_t i = 0; i < 3; ++i) {
        const Bin& bin = bins[i];
        if (bin.errors.empty()) continue;
        double of_bin = 0;
        for (const double error : bin.errors) of_bin += error;
        const auto count = static_cast<double>(bin.errors.size());
        report.add("NME %", kBins[i].first, bin.errors.size(), 100 * of_bin / count, "%.3f");
        sum += of_bin;
        matched += bin.errors.size();
        sum_of_bins += of_bin / count;
        ++bins_with_faces;
        posed += bin.posed;
        for (std::size_t k = 0; k < 3; ++k) pose[k] += bin.pose[k];
    }
    if (bins_with_faces > 0)
        report.add("NME %", "mean of bins", matched, 100 * sum_of_bins / static_cast<double>(bins_with_faces), "%.3f");
    if (matched > 0) report.add("NME %", "all", matched, 100 * sum / static_cast<double>(matched), "%.3f");
    report.add("found %", "all", truth.size(), 100 * static_cast<double>(matched) / static_cast<double>(truth.size()), "%.2f");
    if (posed > 0) {
        constexpr const char* kAngles[] = {"pitch", "yaw", "roll"};
        for (std::size_t k = 0; k < 3; ++k)
            report.add("pose error, degrees", kAngles[k], posed, pose[k] / static_cast<double>(posed), "%.3f");
        report.add("pose error, degrees", "mean of angles", posed, (pose[0] + pose[1] + pose[2]) / 3 / static_cast<double>(posed),
                   "%.3f");
    }
    report.add({"68 points", "error / sqrt(box of the points)", "share of faces", cumulative(errors, 0.1)});
    report.finish(arguments.report);
    return kSuccess;
}

}  // namespace

Run add_evaluate_dense(CLI::App& command) {
    const auto arguments = std::make_shared<Arguments>();
    command
        .add_option(
            "--truth", arguments->truth,
            "Folder of AFLW2000-3D (.mat files), or JSON lines {file, points [68 x [x, y]], pose [pitch, yaw, roll in degrees]}")
        ->type_name("DIR|FILE.jsonl")
        ->required();
    command
        .add_option(
            "--predictions", arguments->predictions,
            "JSON lines {file, faces [{points or landmarks68, pose}]}; of several faces the one about the marked place counts")
        ->type_name("FILE.jsonl")
        ->required();
    add_report_arguments(command, arguments->report);
    return [arguments] { return run(*arguments); };
}

}  // namespace cli
