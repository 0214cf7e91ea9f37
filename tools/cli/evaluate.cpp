// retinaface evaluate: accuracy on pictures whose faces are known.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "evaluation.hpp"
#include "image_file.hpp"
#include "model.hpp"
#include "progress.hpp"
#include "subcommand.hpp"
#include "tar.hpp"

namespace cli {

namespace {

using retinaface::Error;
using retinaface::ErrorCode;

struct Arguments {
    DetectorArguments detector;
    float candidates = 0.02f;
    std::string truth;
    std::string images;
    std::string reference;
    std::string json;
    bool by_source = false;
};

/// Calls use(row) with every line of a JSON lines file; what use() throws is led by the line's number.
template <class Use>
void for_each_line(const std::string& path, Use use) {
    constexpr std::size_t kLargestFile = std::size_t{1} << 30;
    std::vector<std::uint8_t> bytes;
    try {
        bytes = read_file(path, kLargestFile);
    } catch (const Error& error) {
        throw Error(error.code(), path + ": " + error.what());
    }
    std::size_t number = 0;
    for (auto at = bytes.begin(); at != bytes.end();) {
        const auto end = std::find(at, bytes.end(), '\n');
        ++number;
        try {
            if (std::any_of(at, end, [](std::uint8_t c) { return c != ' ' && c != '\r' && c != '\t'; }))
                use(nlohmann::json::parse(at, end));
        } catch (const nlohmann::json::exception& error) {
            throw Error(ErrorCode::bad_format, path + ":" + std::to_string(number) + ": " + error.what());
        } catch (const Error& error) {
            throw Error(error.code(), path + ":" + std::to_string(number) + ": " + error.what());
        }
        at = end == bytes.end() ? end : end + 1;
    }
}

std::vector<float> numbers(const nlohmann::json& list, std::size_t count) {
    const auto values = list.get<std::vector<float>>();
    if (values.size() != count)
        throw Error(ErrorCode::bad_format,
                    "expected " + std::to_string(count) + " numbers, found " + std::to_string(values.size()));
    return values;
}

struct Photograph {
    std::string file;
    int width = 0;
    int height = 0;
    Evaluated faces;
};

std::vector<Photograph> read_truth(const std::string& path) {
    std::vector<Photograph> photographs;
    for_each_line(path, [&](const nlohmann::json& row) {
        Photograph photograph{row.at("file").get<std::string>(), row.at("width").get<int>(), row.at("height").get<int>(), {}};
        for (const nlohmann::json& box : row.at("boxes")) {
            const std::vector<float> v = numbers(box, 4);
            photograph.faces.truth.push_back({v[0], v[1], v[2], v[3]});
        }
        photographs.push_back(std::move(photograph));
    });
    if (photographs.empty()) throw Error(ErrorCode::bad_format, path + ": no pictures in it");
    return photographs;
}

void read_reference(const std::string& path, std::vector<Photograph>& photographs) {
    std::map<std::string, Photograph*> by_name;
    for (Photograph& photograph : photographs) by_name[photograph.file] = &photograph;
    for_each_line(path, [&](const nlohmann::json& row) {
        const auto found = by_name.find(row.at("file").get<std::string>());
        if (found == by_name.end()) return;
        for (const nlohmann::json& entry : row.at("faces")) {
            const std::vector<float> v = numbers(entry, 15);
            retinaface::Face face{v[0], {v[1], v[2], v[3], v[4]}, {}};
            for (std::size_t i = 0; i < 5; ++i) face.landmarks[i] = {v[5 + 2 * i], v[6 + 2 * i]};
            found->second->faces.reference.push_back(face);
        }
    });
}

std::string number(const char* format, double value) {
    char buffer[64];
    std::snprintf(buffer, sizeof buffer, format, value);
    return buffer;
}

/// What every line of figures depends on.
std::string conditions(const Arguments& arguments, const Detector& detector) {
    return describe_sizes(arguments.detector.options) + ", NMS " +
           number("%g", static_cast<double>(arguments.detector.options.nms_threshold)) + ", " +
           retinaface::to_string(detector.isa());
}

/// Prints lines, and keeps them for --json.
class Report {
public:
    Report(std::string conditions, double candidates, double threshold)
        : conditions_(std::move(conditions)),
          candidates_(number("score > %g", candidates)),
          threshold_(number("score > %g", threshold)) {}

    void add(const std::string& figure, const std::string& faces, std::size_t count, double value, bool at_threshold,
             const char* format) {
        const std::string& scores = at_threshold ? threshold_ : candidates_;
        std::printf("%-16s %-14s %7s  of %5zu  [%s, %s]\n", figure.c_str(), faces.c_str(), number(format, value).c_str(), count,
                    scores.c_str(), conditions_.c_str());
        rows_.push_back({{"figure", figure},
                         {"faces", faces},
                         {"count", count},
                         {"value", value},
                         {"scores", scores},
                         {"conditions", conditions_}});
    }
    const nlohmann::ordered_json& rows() const { return rows_; }

private:
    std::string conditions_, candidates_, threshold_;
    nlohmann::ordered_json rows_ = nlohmann::ordered_json::array();
};

void report_accuracy(Report& report, const std::vector<Evaluated>& pictures, float threshold, bool landmarks,
                     const std::string& source = "") {
    const std::pair<const char*, SizeRange> ranges[] = {
        {"all", {}},       {"8-16 px", {8, 16}}, {"16-32 px", {16, 32}}, {"32-64 px", {32, 64}}, {"64-128 px", {64, 128}},
        {"128- px", {128}}};
    for (const auto& [name, range] : ranges) {
        const std::string faces = source.empty() ? name : source;
        const Judged judged = judge(pictures, 0.5f, range);
        if (judged.faces > 0) {
            const Judged::AtThreshold at = judged.at(threshold);
            report.add("AP@.5", faces, judged.faces, judged.average_precision(), false, "%.4f");
            double sum = 0;
            for (int i = 0; i < 10; ++i) sum += judge(pictures, 0.5f + 0.05f * static_cast<float>(i), range).average_precision();
            report.add("AP@.5:.95", faces, judged.faces, sum / 10, false, "%.4f");
            report.add("recall", faces, judged.faces, at.recall, true, "%.4f");
            report.add("precision", faces, at.hits + at.false_alarms, at.precision, true, "%.4f");
        }
        const LandmarkError error = landmark_error(pictures, threshold, range);
        if (landmarks && error.faces > 0) {
            report.add("landmark error %", faces, error.found, 100 * error.mean, true, "%.2f");
            report.add("landmarks found", faces, error.faces, static_cast<double>(error.found) / static_cast<double>(error.faces),
                       true, "%.4f");
        }
        if (!source.empty()) return;
    }
}

/// The part of a file's name that says where it is from: what precedes the first '_' or '/'.
std::string source_of(const std::string& file) { return file.substr(0, file.find_first_of("_/")); }

int run(Arguments arguments) {
    const FileSet images(arguments.images);
    std::vector<Photograph> photographs = read_truth(arguments.truth);
    if (!arguments.reference.empty()) read_reference(arguments.reference, photographs);

    const float threshold = arguments.detector.options.score_threshold;
    arguments.detector.options.score_threshold = std::min(arguments.candidates, threshold);
    const Detector detector = make_detector(arguments.detector);

    retinaface::Workspace workspace;
    std::vector<std::pair<std::string, Evaluated>> evaluated;
    double seconds = 0;
    {
        Progress progress(photographs.size());
        for (Photograph& photograph : photographs) {
            try {
                const Image image = decode_image(images.read(photograph.file, kMaxImageFile), false);
                if (image.width != photograph.width || image.height != photograph.height)
                    throw Error(ErrorCode::mismatch, "the truth is about " + std::to_string(photograph.width) + " x " +
                                                         std::to_string(photograph.height) + " pixels, the picture has " +
                                                         std::to_string(image.width) + " x " + std::to_string(image.height));
                const auto start = std::chrono::steady_clock::now();
                const retinaface::Span<const retinaface::Face> found = detector.detect(image.view(), workspace);
                seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
                photograph.faces.found.assign(found.begin(), found.end());
            } catch (const Error& error) {
                throw Error(error.code(), photograph.file + ": " + error.what());
            }
            evaluated.emplace_back(source_of(photograph.file), std::move(photograph.faces));
            progress.step();
        }
    }

    std::vector<Evaluated> all;
    std::map<std::string, std::vector<Evaluated>> sources;
    for (auto& [source, faces] : evaluated) {
        if (arguments.by_source) sources[source].push_back(faces);
        all.push_back(std::move(faces));
    }
    Report report(conditions(arguments, detector), static_cast<double>(arguments.candidates), static_cast<double>(threshold));
    std::size_t alarms = 0;
    for (const Judged::Mark& mark : judge(all, 0.5f).marks) alarms += !mark.hit && mark.score > threshold ? 1 : 0;
    report.add("ms a picture", "all", all.size(), 1000 * seconds / static_cast<double>(all.size()), false, "%.2f");
    report.add("false alarms", "all", all.size(), static_cast<double>(alarms), true, "%.0f");
    report_accuracy(report, all, threshold, !arguments.reference.empty());
    for (const auto& [source, pictures] : sources)
        report_accuracy(report, pictures, threshold, !arguments.reference.empty(), source);

    if (!arguments.json.empty()) {
        const std::string text = report.rows().dump(1) + "\n";
        std::FILE* file = std::fopen(arguments.json.c_str(), "wb");
        const bool written = file != nullptr && std::fwrite(text.data(), 1, text.size(), file) == text.size();
        if (file == nullptr || std::fclose(file) != 0 || !written) throw Error(ErrorCode::io, "cannot write " + arguments.json);
    }
    return kSuccess;
}

}  // namespace

Run add_evaluate(CLI::App& command) {
    const auto arguments = std::make_shared<Arguments>();
    add_detector_arguments(command, arguments->detector);
    command
        .add_option("--truth", arguments->truth, "JSON lines {file, width, height, boxes [[x1, y1, x2, y2]]}, in stored pixels")
        ->type_name("FILE")
        ->required();
    command.add_option("--images", arguments->images, "Where the pictures are: a directory or a tar archive")
        ->type_name("DIR|TAR")
        ->required();
    command
        .add_option("--reference", arguments->reference,
                    "JSON lines {file, faces [[score, box, five landmarks]]} to compare landmarks with")
        ->type_name("FILE");
    command.add_option("--candidates", arguments->candidates, "AP counts detections with a greater score")
        ->type_name("T")
        ->check(CLI::Range(0.0, 1.0))
        ->capture_default_str();
    command.add_flag("--by-source", arguments->by_source, "Also by source: the file's name up to its first _ or /");
    command.add_option("--json", arguments->json, "Also write the figures to FILE")->type_name("FILE");
    return [arguments] { return run(*arguments); };
}

}  // namespace cli
