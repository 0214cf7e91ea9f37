// retinaface evaluate faces: the House rule, average precision and landmark error by size of face.
#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
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

using retinaface::Error;
using retinaface::ErrorCode;
using retinaface::Face;

struct Arguments {
    SourceArguments source;
    ReportArguments report;
    std::string truth;
    std::string reference;
    std::string baseline;
    std::string details;
    bool by_source = false;
};

struct Truth {
    std::vector<Picture> pictures;
    std::vector<Evaluated> known;
};

Truth read_truth(const std::string& path) {
    Truth truth;
    for_each_line(path, [&](const std::string& line) {
        const nlohmann::json row = nlohmann::json::parse(line);
        Picture picture{row.at("file").get<std::string>(), row.value("width", 0), row.value("height", 0)};
        Evaluated known;
        for (const nlohmann::json& box : row.at("boxes")) {
            const std::vector<float> v = floats(box, 4);
            known.truth.push_back({v[0], v[1], v[2], v[3]});
        }
        truth.pictures.push_back(std::move(picture));
        truth.known.push_back(std::move(known));
    });
    if (truth.pictures.empty()) throw Error(ErrorCode::bad_format, path + ": no pictures in it");
    return truth;
}

void read_predictions(const std::string& path, float candidates, const std::vector<Picture>& pictures, bool landmarks,
                      std::vector<Evaluated>& known) {
    const Predictions predictions(path, landmarks);
    std::size_t missing = 0;
    std::string example;
    for (std::size_t i = 0; i < pictures.size(); ++i) {
        known[i].found.clear();
        const std::vector<Face>* faces = predictions.find(pictures[i].file);
        if (faces == nullptr && missing++ == 0) example = pictures[i].file;
        if (faces == nullptr) continue;
        for (const Face& face : *faces)
            if (face.score > candidates) known[i].found.push_back(face);
    }
    report_missing(missing, pictures.size(), example);
}

/// Everything that is judged once and then looked at by size and by source.
struct Judgement {
    std::vector<std::vector<Match>> matches[kOverlaps];  // [overlap][picture]
    std::vector<std::vector<LandmarkError>> landmarks;

    Judgement(const std::vector<Evaluated>& pictures, float threshold) {
        for (int i = 0; i < kOverlaps; ++i)
            for (const Evaluated& picture : pictures) matches[i].push_back(judge(picture, overlap_at(i)));
        for (const Evaluated& picture : pictures) landmarks.push_back(landmark_errors(picture, threshold));
    }
};

constexpr std::pair<const char*, SizeRange> kRanges[] = {
    {"all", {}},       {"8-16 px", {8, 16}}, {"16-32 px", {16, 32}}, {"32-64 px", {32, 64}}, {"64-128 px", {64, 128}},
    {"128- px", {128}}};

struct Reported {
    Report& report;
    std::string candidates, threshold;  // which scores count
    float score;

    void figures(const std::vector<Evaluated>& pictures, const Judgement& judged, const std::string& name,
                 SizeRange range) const {
        const Marks marks = pool(pictures, judged.matches[0], range);
        const std::size_t faces = marks.total();
        if (faces > 0) {
            const Marks::AtThreshold at = marks.at(score);
            report.add("AP@.5", name, faces, marks.average_precision(), "%.4f", candidates);
            double sum = 0;
            for (const std::vector<std::vector<Match>>& matches : judged.matches)
                sum += pool(pictures, matches, range).average_precision();
            report.add("AP@.5:.95", name, faces, sum / kOverlaps, "%.4f", candidates);
            report.add("recall", name, faces, at.recall, "%.4f", threshold);
            report.add("precision", name, at.hits + at.false_alarms, at.precision, "%.4f", threshold);
        }
        std::size_t all = 0, found = 0;
        double sum = 0;
        for (const std::vector<LandmarkError>& errors : judged.landmarks)
            for (const LandmarkError& error : errors) {
                if (!range.contains(error.side)) continue;
                ++all;
                found += error.error ? 1 : 0;
                sum += error.error.value_or(0);
            }
        if (all > 0) {
            report.add("landmark error %", name, found, found > 0 ? 100 * sum / static_cast<double>(found) : 0, "%.2f",
                       threshold);
            report.add("landmarks found", name, all, static_cast<double>(found) / static_cast<double>(all), "%.4f", threshold);
        }
    }
};

/// One line a picture: its detections [score, 1 hit / 0 false alarm / -1 neither, index of the face or -1, side], the sides of the faces
/// that count, and the errors [side, error or null] of the reference faces.
std::string details(const std::vector<Picture>& pictures, const std::vector<Evaluated>& known, const Judgement& judged) {
    std::string text;
    for (std::size_t i = 0; i < pictures.size(); ++i) {
        nlohmann::ordered_json line = {{"file", pictures[i].file}};
        auto& detections = line["detections"] = nlohmann::ordered_json::array();
        for (const Match& match : judged.matches[0][i]) {
            const bool hit = match.outcome == Match::Outcome::hit;
            detections.push_back({match.score,
                                  hit                                            ? 1
                                  : match.outcome == Match::Outcome::false_alarm ? 0
                                                                                 : -1,
                                  hit ? static_cast<int>(match.face) : -1, match.side});
        }
        auto& faces = line["faces"] = nlohmann::ordered_json::array();
        for (const retinaface::Box& box : known[i].truth)
            if (side_of(box) >= kIgnoredSide) faces.push_back(side_of(box));
        auto& errors = line["landmark_errors"] = nlohmann::ordered_json::array();
        for (const LandmarkError& error : judged.landmarks[i])
            errors.push_back({error.side, error.error ? nlohmann::ordered_json(*error.error) : nlohmann::ordered_json(nullptr)});
        text += line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
    }
    return text;
}

/// The part of a file's name that says where it is from: what precedes the first '_' or '/'.
std::string source_of(const std::string& file) { return file.substr(0, file.find_first_of("_/")); }

int run(const Arguments& arguments) {
    refuse_overwriting(arguments.report.files(),
                       {arguments.truth, arguments.reference, arguments.baseline, arguments.source.predictions,
                        arguments.source.images, arguments.source.detector.model});
    refuse_overwriting({arguments.details},
                       {arguments.truth, arguments.reference, arguments.baseline, arguments.source.predictions});
    Truth truth = read_truth(arguments.truth);
    std::vector<Evaluated>& known = truth.known;
    const bool landmarks = !arguments.reference.empty();
    if (landmarks) {
        const Predictions reference(arguments.reference, true);
        for (std::size_t i = 0; i < known.size(); ++i)
            if (const std::vector<Face>* faces = reference.find(truth.pictures[i].file)) known[i].reference = *faces;
    }

    const SourceArguments& source = arguments.source;
    const float threshold = source.detector.options.score_threshold;
    Conditions conditions;
    double seconds = -1;
    if (source.predictions.empty()) {
        const Judged judged = make_judged(source);
        conditions = judged.conditions;
        seconds = find_faces(source, judged.detector, truth.pictures, {},
                             [&](std::size_t i, std::vector<Face>&& faces) { known[i].found = std::move(faces); });
    } else {
        conditions = of_predictions(source);
        read_predictions(source.predictions, source.candidates, truth.pictures, landmarks, known);
    }

    Report report("faces", conditions);
    const Judgement judged(known, threshold);
    const Reported reported{report, number("score > %g", static_cast<double>(source.candidates)),
                            number("score > %g", static_cast<double>(threshold)), threshold};
    const Marks all = pool(known, judged.matches[0]);
    if (seconds >= 0) report.add("ms a picture", "all", known.size(), 1000 * seconds / static_cast<double>(known.size()), "%.2f");
    report.add("false alarms", "all", known.size(), static_cast<double>(all.at(threshold).false_alarms), "%.0f",
               reported.threshold);
    for (const auto& [name, range] : kRanges) reported.figures(known, judged, name, range);
    if (arguments.by_source) {
        std::map<std::string, std::vector<Evaluated>> sources;
        for (std::size_t i = 0; i < known.size(); ++i) sources[source_of(truth.pictures[i].file)].push_back(known[i]);
        for (const auto& [name, pictures] : sources) reported.figures(pictures, Judgement(pictures, threshold), name, {});
    }
    if (!arguments.baseline.empty()) {
        std::vector<Evaluated> other = known;
        read_predictions(arguments.baseline, source.candidates, truth.pictures, false, other);
        const Judgement baseline(other, threshold);
        for (const auto& [name, range] : kRanges) {
            const Marks marks = pool(known, judged.matches[0], range), others = pool(other, baseline.matches[0], range);
            if (marks.total() == 0) continue;
            const Difference difference = compare(marks, others);
            report.add("AP@.5 less baseline", name, marks.total(), difference.mean, "%+.4f", reported.candidates);
            report.add("  95 % from", name, marks.total(), difference.low, "%+.4f", reported.candidates);
            report.add("  95 % to", name, marks.total(), difference.high, "%+.4f", reported.candidates);
        }
    }
    report.add({"all", "recall", "precision", thinned(all.curve())});
    std::vector<double> errors;
    for (const std::vector<LandmarkError>& of_picture : judged.landmarks)
        for (const LandmarkError& error : of_picture)
            errors.push_back(error.error.value_or(std::numeric_limits<double>::infinity()));
    if (landmarks) report.add({"landmarks", "error / side of the box", "share of faces", cumulative(errors, 0.2)});
    if (!arguments.details.empty()) write_text(arguments.details, details(truth.pictures, known, judged));
    report.finish(arguments.report);
    return kSuccess;
}

}  // namespace

Run add_evaluate_faces(CLI::App& command) {
    const auto arguments = std::make_shared<Arguments>();
    add_source_arguments(command, arguments->source, "FILE.jsonl", "JSON lines as `detect` writes them");
    add_report_arguments(command, arguments->report);
    command
        .add_option("--truth", arguments->truth,
                    "JSON lines {file, boxes [[x1, y1, x2, y2]]}, in stored pixels; with width and height these are compared")
        ->type_name("FILE")
        ->required();
    command
        .add_option(
            "--reference", arguments->reference,
            "JSON lines {file, faces [[score, box, five landmarks]]}, or as `detect` writes them, to compare landmarks with")
        ->type_name("FILE");
    command
        .add_option(
            "--baseline", arguments->baseline,
            "Other predictions for the same pictures: AP less theirs, with an interval of 95 % (1000 paired bootstrap rounds)")
        ->type_name("FILE.jsonl");
    command.add_option("--details", arguments->details, "Write what became of every detection and face, a JSON line a picture")
        ->type_name("FILE|-");
    command.add_flag("--by-source", arguments->by_source, "Also by source: the file's name up to its first _ or /");
    return [arguments] { return run(*arguments); };
}

}  // namespace cli
