// retinaface evaluate wider: the official protocol of WIDER FACE with its oddities (docs/evaluation.md names each).
#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "evaluate/detections.hpp"
#include "evaluate/evaluate.hpp"
#include "evaluate/lines.hpp"
#include "evaluate/mat_file.hpp"
#include "evaluate/predictions.hpp"
#include "evaluate/report.hpp"
#include "output.hpp"
#include "text.hpp"

namespace cli {

namespace {

namespace fs = std::filesystem;
using retinaface::Error;
using retinaface::ErrorCode;

struct Arguments {
    SourceArguments source;
    ReportArguments report;
    std::string truth;
    std::string write_predictions;
};

struct Rect {
    double x, y, width, height;
};

struct Scored {
    Rect box;
    double score;
};

struct Photograph {
    std::string event, name;  // without extension
    std::vector<Rect> faces;
};

/// Which faces of every photograph are to be found; the others count as neither.
struct List {
    std::string name;
    std::vector<std::vector<bool>> wanted;  // [photograph][face]
};

struct Truth {
    std::vector<Photograph> photographs;
    std::vector<List> lists;
};

constexpr const char* kLists[] = {"easy", "medium", "hard"};

/// Marks the faces with the one-based indices given.
std::vector<bool> marked(const std::vector<double>& indices, std::size_t faces, const std::string& where) {
    std::vector<bool> wanted(faces);
    for (const double index : indices) {
        if (!(index >= 1 && index <= static_cast<double>(faces)))
            throw Error(ErrorCode::bad_format,
                        where + ": face " + std::to_string(static_cast<long long>(index)) + " of " + std::to_string(faces));
        wanted[static_cast<std::size_t>(index) - 1] = true;
    }
    return wanted;
}

/// A part of a path that leads nowhere else.
const std::string& checked_name(const std::string& name) {
    if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos)
        throw Error(ErrorCode::bad_format, "expected the name of an event or a picture, found '" + name.substr(0, 80) + "'");
    return name;
}

Truth read_mat(const fs::path& folder, const std::string& split) {
    Truth truth;
    const std::string path = (folder / ("wider_face_" + split + ".mat")).string();
    MatFile file(path);
    const MatValue events = file["event_list"], files = file["file_list"], boxes = file["face_bbx_list"];
    for (std::size_t e = 0; e < events.size(); ++e) {
        const MatValue names = files[e], of_event = boxes[e];
        for (std::size_t i = 0; i < names.size(); ++i) {
            Photograph photograph{checked_name(events[e].text()), checked_name(names[i].text()), {}};
            const MatValue matrix = of_event[i];
            const std::vector<double> numbers = matrix.numbers();
            const std::size_t count = matrix.rows();
            if (numbers.size() != 4 * count)
                throw Error(ErrorCode::bad_format, path + ": " + photograph.name + ": expected boxes of 4 numbers, found " +
                                                       std::to_string(numbers.size()) + " in " + std::to_string(count) + " rows");
            for (std::size_t k = 0; k < count; ++k)
                photograph.faces.push_back({numbers[k], numbers[count + k], numbers[2 * count + k], numbers[3 * count + k]});
            truth.photographs.push_back(std::move(photograph));
        }
    }
    for (const char* name : kLists) {
        const std::string list_path = (folder / ("wider_" + std::string(name) + "_" + split + ".mat")).string();
        if (!fs::exists(list_path)) continue;
        MatFile list_file(list_path);
        const MatValue wanted = list_file["gt_list"];
        List list{name, {}};
        std::size_t at = 0;
        for (std::size_t e = 0; e < events.size(); ++e)
            for (std::size_t i = 0; i < files[e].size(); ++i, ++at)
                list.wanted.push_back(marked(wanted[e][i].numbers(), truth.photographs[at].faces.size(),
                                             list_path + ": " + truth.photographs[at].name));
        truth.lists.push_back(std::move(list));
    }
    return truth;
}

/// Reads groups of a name, a count, and so many lines; use(name, line, index) is called for every such line, and begin(name) before.
/// A count of 0 may be followed by one line of zeros, as in the official file.
template <class Begin, class Use>
void read_groups(const std::string& path, Begin begin, Use use) {
    std::string group;
    std::size_t left = 0, index = 0;
    enum class Expect { name, count, lines, zeros } expect = Expect::name;
    for_each_line(path, [&](const std::string& line) {
        if (expect == Expect::zeros) {
            expect = Expect::name;
            if (line.find_first_not_of("0 ") == std::string::npos) return;
        }
        if (expect == Expect::name) {
            group = line;
            begin(group);
            expect = Expect::count;
        } else if (expect == Expect::count) {
            left = to_index(line);
            index = 0;
            expect = left > 0 ? Expect::lines : Expect::zeros;
        } else {
            use(group, line, index++);
            if (--left == 0) expect = Expect::name;
        }
    });
    if (expect == Expect::count || expect == Expect::lines)
        throw Error(ErrorCode::bad_format, path + ": ends in the middle of '" + group + "'");
}

Truth read_text(const fs::path& path, const std::string& split) {
    Truth truth;
    std::vector<std::vector<bool>> valid;
    Names names;
    read_groups(
        path.string(),
        [&](const std::string& name) {
            const fs::path file(name);
            if (file.parent_path().empty())
                throw Error(ErrorCode::bad_format, "expected EVENT/NAME.jpg, found '" + name.substr(0, 80) + "'");
            truth.photographs.push_back(
                {checked_name(file.parent_path().filename().string()), checked_name(file.stem().string()), {}});
            valid.emplace_back();
            names.add(truth.photographs.back().event + "/" + truth.photographs.back().name, truth.photographs.size() - 1);
        },
        [&](const std::string&, const std::string& line, std::size_t) {
            const std::vector<std::string_view> fields = words(line);
            if (fields.size() < 4)
                throw Error(ErrorCode::bad_format, "expected a box x y w h, found " + std::to_string(fields.size()) + " numbers");
            truth.photographs.back().faces.push_back(
                {to_double(fields[0]), to_double(fields[1]), to_double(fields[2]), to_double(fields[3])});
            // x y w h blur expression illumination invalid occlusion pose
            const Rect& box = truth.photographs.back().faces.back();
            valid.back().push_back(box.width > 0 && box.height > 0 && (fields.size() < 8 || to_double(fields[7]) == 0));
        });
    for (const char* list_name : kLists) {
        const std::string list_path = (path.parent_path() / ("wider_" + std::string(list_name) + "_" + split + ".txt")).string();
        if (!fs::exists(list_path)) continue;
        std::vector<std::vector<double>> indices(truth.photographs.size());
        std::size_t at = 0;
        read_groups(
            list_path,
            [&](const std::string& name) {
                const fs::path file(name);
                at = names.find(file.parent_path().filename().string() + "/" + file.stem().string());
                if (at == Names::kNone) throw Error(ErrorCode::bad_format, "'" + name + "' is not in " + path.string());
            },
            [&](const std::string&, const std::string& line, std::size_t) { indices[at].push_back(to_double(line)); });
        List list{list_name, {}};
        for (std::size_t i = 0; i < indices.size(); ++i)
            list.wanted.push_back(
                marked(indices[i], truth.photographs[i].faces.size(), list_path + ": " + truth.photographs[i].name));
        truth.lists.push_back(std::move(list));
    }
    // Without lists every face counts that the annotation does not call invalid.
    if (truth.lists.empty()) truth.lists.push_back({"all", std::move(valid)});
    return truth;
}

Truth read_truth(const std::string& argument) {
    const fs::path path(argument);
    Truth truth;
    if (fs::is_directory(path)) {
        std::string split;
        bool mat = false;
        for (const char* name : {"val", "train", "test"}) {
            const bool has_mat = fs::exists(path / ("wider_face_" + std::string(name) + ".mat"));
            const bool has_text = fs::exists(path / ("wider_face_" + std::string(name) + "_bbx_gt.txt"));
            if (!has_mat && !has_text) continue;
            split = name;
            mat = has_mat && (reads_mat_files() || !has_text);
            break;
        }
        if (split.empty())
            throw Error(ErrorCode::io, argument + ": neither wider_face_val.mat nor wider_face_val_bbx_gt.txt is there");
        truth = mat ? read_mat(path, split) : read_text(path / ("wider_face_" + split + "_bbx_gt.txt"), split);
    } else {
        const std::string stem = path.stem().string();
        const std::string split = stem.find("train") != std::string::npos  ? "train"
                                  : stem.find("test") != std::string::npos ? "test"
                                                                           : "val";
        truth = path.extension() == ".mat" ? read_mat(path.parent_path(), split) : read_text(path, split);
    }
    if (truth.photographs.empty()) throw Error(ErrorCode::bad_format, argument + ": no pictures in it");
    if (truth.lists.empty())
        throw Error(ErrorCode::io, argument + ": none of wider_easy_*.mat, wider_medium_*.mat, wider_hard_*.mat is there");
    return truth;
}

/// DIR/EVENT/NAME.txt: the picture's name, a count, and lines "x y w h score".
std::vector<Scored> read_official(const std::string& path) {
    std::vector<Scored> found;
    std::size_t line_number = 0, count = 0;
    for_each_line(path, [&](const std::string& line) {
        ++line_number;
        if (line_number == 1) return;
        if (line_number == 2) {
            count = to_index(line);
            return;
        }
        const std::vector<std::string_view> fields = words(line);
        if (fields.size() != 5)
            throw Error(ErrorCode::bad_format, "expected x y w h score, found " + std::to_string(fields.size()) + " words");
        found.push_back(
            {{to_double(fields[0]), to_double(fields[1]), to_double(fields[2]), to_double(fields[3])}, to_double(fields[4])});
    });
    if (found.size() != count || line_number < 2)
        throw Error(ErrorCode::bad_format,
                    path + ": expected " + std::to_string(count) + " boxes, found " + std::to_string(found.size()));
    return found;
}

void append(std::string& text, double value) {
    char buffer[32];
    text.append(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
}

void write_official(const fs::path& folder, const Photograph& photograph, const std::vector<Scored>& found) {
    std::string text = photograph.name + "\n" + std::to_string(found.size()) + "\n";
    for (const Scored& face : found) {
        for (const double value : {face.box.x, face.box.y, face.box.width, face.box.height}) {
            append(text, value);
            text += ' ';
        }
        append(text, face.score);
        text += '\n';
    }
    std::error_code error;
    fs::create_directories(folder / photograph.event, error);
    if (error)
        throw Error(ErrorCode::io, "cannot create directory " + (folder / photograph.event).string() + ": " + error.message());
    write_file((folder / photograph.event / (photograph.name + ".txt")).string(), text);
}

double inclusive_overlap(const Rect& a, const Rect& b) {
    const double ax2 = a.x + a.width, ay2 = a.y + a.height, bx2 = b.x + b.width, by2 = b.y + b.height;
    const double width = std::min(ax2, bx2) - std::max(a.x, b.x) + 1, height = std::min(ay2, by2) - std::max(a.y, b.y) + 1;
    if (!(width > 0 && height > 0)) return 0;
    const double both = width * height;
    return both / ((ax2 - a.x + 1) * (ay2 - a.y + 1) + (bx2 - b.x + 1) * (by2 - b.y + 1) - both);
}

/// A prediction, best first within its picture, with the face that it overlaps most.
struct Candidate {
    double score;  ///< 0..1 over the whole set
    double overlap;
    std::size_t face;
};

using Candidates = std::vector<std::vector<Candidate>>;

Candidates make_candidates(const Truth& truth, std::vector<std::vector<Scored>>& found) {
    double least = std::numeric_limits<double>::infinity(), most = -least;
    for (std::vector<Scored>& of_picture : found) {
        std::stable_sort(of_picture.begin(), of_picture.end(),
                         [](const Scored& a, const Scored& b) { return a.score > b.score; });
        for (const Scored& face : of_picture) {
            least = std::min(least, face.score);
            most = std::max(most, face.score);
        }
    }
    Candidates candidates(found.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
        for (const Scored& face : found[i]) {
            Candidate candidate{most > least ? (face.score - least) / (most - least) : 1, -1, 0};
            const std::vector<Rect>& faces = truth.photographs[i].faces;
            for (std::size_t k = 0; k < faces.size(); ++k)
                if (const double overlap = inclusive_overlap(faces[k], face.box); overlap > candidate.overlap) {
                    candidate.overlap = overlap;
                    candidate.face = k;
                }
            candidates[i].push_back(candidate);
        }
    }
    return candidates;
}

constexpr int kThresholds = 1000;

struct Curve {
    std::vector<std::pair<double, double>> points;  // recall, precision at each threshold, the highest first
    std::size_t faces = 0;
};

Curve make_curve(const List& list, const Candidates& candidates, double min_overlap) {
    Curve curve;
    std::array<std::size_t, kThresholds> proposals{}, hits{};
    for (std::size_t i = 0; i < candidates.size(); ++i) {
        const std::vector<bool>& wanted = list.wanted[i];
        curve.faces += static_cast<std::size_t>(std::count(wanted.begin(), wanted.end(), true));
        // Pictures without any face take no part, whatever was found in them.
        if (wanted.empty() || candidates[i].empty()) continue;
        std::vector<bool> taken(wanted.size());
        std::size_t proposed = 0, found = 0, next = 0;
        for (int t = 0; t < kThresholds; ++t) {
            const double threshold = 1 - static_cast<double>(t + 1) / kThresholds;
            for (; next < candidates[i].size() && candidates[i][next].score >= threshold; ++next) {
                const Candidate& candidate = candidates[i][next];
                const bool matches = candidate.overlap >= min_overlap;
                if (matches && !wanted[candidate.face]) continue;
                ++proposed;
                if (matches && !taken[candidate.face]) {
                    taken[candidate.face] = true;
                    ++found;
                }
            }
            proposals[static_cast<std::size_t>(t)] += proposed;
            hits[static_cast<std::size_t>(t)] += found;
        }
    }
    for (std::size_t t = 0; t < kThresholds; ++t) {
        const auto ratio = [&](std::size_t of) { return of == 0 ? 0.0 : static_cast<double>(hits[t]) / static_cast<double>(of); };
        curve.points.emplace_back(ratio(curve.faces), ratio(proposals[t]));
    }
    return curve;
}

int run(const Arguments& arguments) {
    refuse_overwriting(arguments.report.files(), {arguments.truth, arguments.source.images, arguments.source.detector.model});
    const Truth truth = read_truth(arguments.truth);
    const SourceArguments& source = arguments.source;
    std::vector<std::vector<Scored>> found(truth.photographs.size());
    Conditions conditions;
    double seconds = -1;
    if (source.predictions.empty()) {
        const Judged judged = make_judged(source);
        conditions = judged.conditions;
        std::vector<Picture> pictures;
        for (const Photograph& photograph : truth.photographs)
            pictures.push_back({photograph.event + "/" + photograph.name + ".jpg", 0, 0});
        seconds = find_faces(
            source, judged.detector, pictures, {"images", "WIDER_val/images", "WIDER_train/images"},
            [&](std::size_t i, std::vector<retinaface::Face>&& faces) {
                for (const retinaface::Face& face : faces) {
                    const double x = static_cast<double>(face.box.x1), y = static_cast<double>(face.box.y1);
                    found[i].push_back({{x, y, static_cast<double>(face.box.x2) - x, static_cast<double>(face.box.y2) - y},
                                        static_cast<double>(face.score)});
                }
                if (!arguments.write_predictions.empty())
                    write_official(arguments.write_predictions, truth.photographs[i], found[i]);
            });
    } else {
        conditions = of_predictions(source);
        std::size_t missing = 0;
        std::string example;
        if (!fs::is_directory(source.predictions))
            throw Error(ErrorCode::io, source.predictions + ": no directory of predictions");
        for (std::size_t i = 0; i < truth.photographs.size(); ++i) {
            const Photograph& photograph = truth.photographs[i];
            const fs::path path = fs::path(source.predictions) / photograph.event / (photograph.name + ".txt");
            if (fs::exists(path))
                found[i] = read_official(path.string());
            else if (missing++ == 0)
                example = photograph.event + "/" + photograph.name;
        }
        if (missing == truth.photographs.size())
            throw Error(ErrorCode::io,
                        source.predictions + ": no predictions there; expected EVENT/NAME.txt, for example " + example + ".txt");
        report_missing(missing, truth.photographs.size(), example);
    }

    const Candidates candidates = make_candidates(truth, found);
    Report report("wider", conditions);
    if (seconds >= 0)
        report.add("ms a picture", "all", truth.photographs.size(),
                   1000 * seconds / static_cast<double>(truth.photographs.size()), "%.2f");
    const std::string scores = source.predictions.empty() ? number("score > %g", static_cast<double>(source.candidates)) : "";
    for (const List& list : truth.lists) {
        const Curve curve = make_curve(list, candidates, overlap_at(0));
        const double precision = area_under_envelope(curve.points);
        double sum = precision;
        for (int i = 1; i < kOverlaps; ++i) sum += area_under_envelope(make_curve(list, candidates, overlap_at(i)).points);
        report.add("AP@.5", list.name, curve.faces, precision, "%.4f", scores);
        report.add("mAP@.5:.95", list.name, curve.faces, sum / kOverlaps, "%.4f", scores);
        report.add({list.name, "recall", "precision", curve.points});
    }
    report.finish(arguments.report);
    return kSuccess;
}

}  // namespace

Run add_evaluate_wider(CLI::App& command) {
    const auto arguments = std::make_shared<Arguments>();
    add_source_arguments(command, arguments->source, "DIR", "DIR/EVENT/NAME.txt in the official format");
    add_report_arguments(command, arguments->report);
    command
        .add_option("--truth", arguments->truth,
                    "Folder with wider_face_val.mat and wider_{easy,medium,hard}_val.mat, or wider_face_val_bbx_gt.txt (or one "
                    "of these files)")
        ->type_name("DIR|FILE")
        ->required();
    command
        .add_option("--write-predictions", arguments->write_predictions,
                    "With --images: write what was found in the official format")
        ->type_name("DIR")
        ->needs("--images");
    return [arguments] { return run(*arguments); };
}

}  // namespace cli
