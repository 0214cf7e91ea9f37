// retinaface evaluate verify: are two pictures, or two templates, of the same person? Embeddings by any recogniser.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "evaluate/embeddings.hpp"
#include "evaluate/evaluate.hpp"
#include "evaluate/lines.hpp"
#include "evaluate/predictions.hpp"
#include "evaluate/report.hpp"
#include "inputs/file_set.hpp"
#include "output.hpp"
#include "text.hpp"

namespace cli {

namespace {

using retinaface::Error;
using retinaface::ErrorCode;

struct Arguments {
    ReportArguments report;
    std::string pairs;
    std::string embeddings;
    std::string names;
    std::string templates;
    std::string detection_scores;
    int folds = 10;
    bool unit = false;
};

/// Embeddings of images by row; sums of image and mirror where the file has both.
class Embeddings {
public:
    Embeddings(const std::string& path, const std::string& names) {
        if (extension_of(path) == "npy") {
            npy_.emplace(path);
            dimension_ = npy_->dimension();
            if (!names.empty()) for_each_line(names, [&](const std::string& name) { names_.add(name, count_++); });
            if (!names.empty() && count_ != npy_->rows())
                throw Error(ErrorCode::mismatch, names + ": " + std::to_string(count_) + " names for " +
                                                     std::to_string(npy_->rows()) + " rows of " + path);
            count_ = npy_->rows();
            return;
        }
        for_each_line(path, [&](const std::string& line) {
            const nlohmann::json row = nlohmann::json::parse(line);
            std::vector<float> values = row.at("embedding").get<std::vector<float>>();
            if (values.empty() || (count_ > 0 && values.size() != dimension_))
                throw Error(ErrorCode::bad_format,
                            "expected " + std::to_string(dimension_) + " numbers, found " + std::to_string(values.size()));
            dimension_ = values.size();
            std::vector<double> sum(values.begin(), values.end());
            if (row.contains("mirrored")) {
                values = floats(row.at("mirrored"), dimension_);
                for (std::size_t i = 0; i < dimension_; ++i) sum[i] += static_cast<double>(values[i]);
            }
            names_.add(row.at("file").get<std::string>(), count_++);
            rows_.push_back(std::move(sum));
        });
        if (count_ == 0) throw Error(ErrorCode::bad_format, path + ": no embeddings in it");
    }

    std::size_t count() const { return count_; }
    std::size_t dimension() const { return dimension_; }

    std::size_t find(const std::string& name) const {
        const std::size_t index = names_.find(name);
        if (index == Names::kNone) throw Error(ErrorCode::mismatch, "no embedding of '" + name + "'");
        return index;
    }

    std::vector<double> row(std::size_t index) const {
        if (!npy_) return rows_[index];
        std::vector<double> sum(dimension_);
        npy_->add_row(index, sum.data());
        return sum;
    }

private:
    std::optional<Npy> npy_;
    std::vector<std::vector<double>> rows_;
    Names names_{true};
    std::size_t count_ = 0, dimension_ = 0;
};

void normalise(std::vector<double>& v) {
    double sum = 0;
    for (const double x : v) sum += x * x;
    if (sum > 0)
        for (double& x : v) x /= std::sqrt(sum);
}

struct Pair {
    double score;  ///< the larger the more alike
    bool same;
};

/// Shares of the pairs of one person and of those of two that every threshold accepts: (false, true) accept rate, from the highest
/// score on; equal scores are accepted together.
std::vector<std::pair<double, double>> roc(std::vector<Pair> pairs) {
    std::sort(pairs.begin(), pairs.end(), [](const Pair& a, const Pair& b) { return a.score > b.score; });
    double same = 0, all = static_cast<double>(pairs.size());
    for (const Pair& pair : pairs) same += pair.same ? 1 : 0;
    if (same == 0 || same == all)
        throw Error(ErrorCode::mismatch, "pairs of one person and of two are needed, found " + number("%.0f", same) + " and " +
                                             number("%.0f", all - same));
    std::vector<std::pair<double, double>> points{{0, 0}};
    double hits = 0, alarms = 0;
    for (std::size_t i = 0; i < pairs.size(); ++i) {
        ++(pairs[i].same ? hits : alarms);
        if (i + 1 == pairs.size() || pairs[i + 1].score != pairs[i].score)
            points.emplace_back(alarms / (all - same), hits / same);
    }
    return points;
}

void report_roc(Report& report, const std::vector<Pair>& pairs) {
    const std::vector<std::pair<double, double>> points = roc(pairs);
    double area = 0;
    for (std::size_t i = 1; i < points.size(); ++i)
        area += (points[i].first - points[i - 1].first) * (points[i].second + points[i - 1].second) / 2;
    report.add("area under ROC", "all", pairs.size(), area, "%.6f");
    for (int power = 1; power <= 6; ++power) {
        const std::string name = "1e-" + std::to_string(power);
        const double most = std::strtod(name.c_str(), nullptr);
        double accepted = 0;
        for (const auto& [false_rate, true_rate] : points)
            if (false_rate <= most) accepted = true_rate;
        report.add("TAR at FAR " + name, "all", pairs.size(), accepted, "%.4f");
    }
    report.add({"ROC", "false accept rate", "true accept rate", thinned(points)});
}

/// Ten folds: the threshold is the one that is best on the other nine. Squared distances of unit vectors, thresholds 0 to 4 by 0.01.
void report_folds(Report& report, const std::vector<Pair>& pairs, int folds) {
    constexpr int kThresholds = 400;
    const auto count = static_cast<std::size_t>(folds);
    if (pairs.size() < count)
        throw Error(ErrorCode::mismatch, std::to_string(pairs.size()) + " pairs for " + std::to_string(count) + " folds");
    // right[t][f]: pairs of fold f that threshold t judges rightly.
    std::vector<std::vector<std::size_t>> right(kThresholds, std::vector<std::size_t>(count));
    std::vector<std::size_t> sizes(count);
    std::size_t begin = 0;
    for (std::size_t f = 0; f < count; ++f) {
        sizes[f] = pairs.size() / count + (f < pairs.size() % count ? 1 : 0);
        for (std::size_t i = begin; i < begin + sizes[f]; ++i)
            for (int t = 0; t < kThresholds; ++t)
                if ((-pairs[i].score < 0.01 * t) == pairs[i].same) ++right[static_cast<std::size_t>(t)][f];
        begin += sizes[f];
    }
    std::vector<double> accuracy;
    double threshold = 0;
    for (std::size_t f = 0; f < count; ++f) {
        std::size_t best = 0, most = 0;
        for (std::size_t t = 0; t < kThresholds; ++t) {
            std::size_t others = 0;
            for (std::size_t k = 0; k < count; ++k) others += k == f ? 0 : right[t][k];
            if (others > most || t == 0) {
                best = t;
                most = others;
            }
        }
        accuracy.push_back(static_cast<double>(right[best][f]) / static_cast<double>(sizes[f]));
        threshold += 0.01 * static_cast<double>(best) / static_cast<double>(count);
    }
    double mean = 0, variance = 0;
    for (const double a : accuracy) mean += a / static_cast<double>(count);
    for (const double a : accuracy) variance += (a - mean) * (a - mean) / static_cast<double>(count);
    report.add("accuracy", "mean of folds", pairs.size(), mean, "%.5f");
    report.add("standard deviation", "mean of folds", pairs.size(), std::sqrt(variance), "%.5f");
    report.add("threshold", "mean of folds", pairs.size(), threshold, "%.4f");
    for (std::size_t f = 0; f < count; ++f)
        report.add("accuracy", "fold " + std::to_string(f + 1), sizes[f], accuracy[f], "%.5f");
}

struct NamedPair {
    std::string a, b;
    bool same;
};

std::string lfw_name(const std::string& person, std::string_view index) {
    char digits[16];
    std::snprintf(digits, sizeof digits, "_%04zu", to_index(index));
    return person + "/" + person + digits;
}

bool to_same(std::string_view word) {
    if (word != "0" && word != "1")
        throw Error(ErrorCode::bad_format, "expected 1 (one person) or 0 (two), found '" + std::string(word.substr(0, 20)) + "'");
    return word == "1";
}

/// "NAME NAME 0|1" a line, or LFW's pairs.txt, whose folds are sets of as many pairs of one person as of two.
std::vector<NamedPair> read_pairs(const std::string& path) {
    std::vector<NamedPair> pairs;
    bool first = true, lfw = false;
    for_each_line(path, [&](const std::string& line) {
        const std::vector<std::string_view> fields = words(line);
        if (std::exchange(first, false) && fields.size() <= 2) {
            lfw = true;  // the numbers of folds and of pairs
            return;
        }
        const auto text = [&](std::size_t i) { return std::string(fields[i]); };
        if (lfw && fields.size() == 3)
            pairs.push_back({lfw_name(text(0), fields[1]), lfw_name(text(0), fields[2]), true});
        else if (lfw && fields.size() == 4)
            pairs.push_back({lfw_name(text(0), fields[1]), lfw_name(text(2), fields[3]), false});
        else if (!lfw && fields.size() == 3)
            pairs.push_back({text(0), text(1), to_same(fields[2])});
        else
            throw Error(ErrorCode::bad_format, "expected a pair, found " + std::to_string(fields.size()) + " words");
    });
    if (pairs.empty()) throw Error(ErrorCode::bad_format, path + ": no pairs in it");
    return pairs;
}

std::vector<Pair> score_pairs(const Arguments& arguments) {
    const Embeddings embeddings(arguments.embeddings, arguments.names);
    std::unordered_map<std::size_t, std::vector<double>> units;
    const auto unit = [&](const std::string& name) -> const std::vector<double>& {
        const std::size_t index = embeddings.find(name);
        const auto [at, added] = units.try_emplace(index);
        if (added) {
            at->second = embeddings.row(index);
            normalise(at->second);
        }
        return at->second;
    };
    std::vector<Pair> scored;
    for (const NamedPair& pair : read_pairs(arguments.pairs)) {
        const std::vector<double>&a = unit(pair.a), &b = unit(pair.b);
        double distance = 0;
        for (std::size_t i = 0; i < a.size(); ++i) distance += (a[i] - b[i]) * (a[i] - b[i]);
        scored.push_back({-distance, pair.same});
    }
    return scored;
}

/// Templates as of IJB: a face is weighted by its detection's score, faces of one medium (frames of a video) are averaged, media summed.
std::vector<Pair> score_templates(const Arguments& arguments) {
    const Embeddings embeddings(arguments.embeddings, arguments.names);
    const std::size_t dimension = embeddings.dimension();
    std::vector<double> weights;
    if (!arguments.detection_scores.empty())
        for_each_line(arguments.detection_scores,
                      [&](const std::string& line) { weights.push_back(to_double(words(line).back())); });

    struct Medium {
        std::vector<double> sum;
        std::size_t count = 0;
    };
    std::map<std::size_t, std::map<std::size_t, Medium>> media;
    std::size_t row = 0;
    for_each_line(arguments.templates, [&](const std::string& line) {
        const std::vector<std::string_view> fields = words(line);
        if (fields.size() != 3)
            throw Error(ErrorCode::bad_format,
                        "expected NAME TEMPLATE MEDIUM, found " + std::to_string(fields.size()) + " words");
        const bool by_name = !arguments.names.empty() || extension_of(arguments.embeddings) != "npy";
        const std::size_t index = by_name ? embeddings.find(std::string(fields[0])) : row;
        if (index >= embeddings.count() || (!weights.empty() && row >= weights.size()))
            throw Error(ErrorCode::mismatch, "more lines than embeddings or detection scores");
        std::vector<double> embedding = embeddings.row(index);
        if (arguments.unit) normalise(embedding);
        const double weight = weights.empty() ? 1 : weights[row];
        Medium& medium = media[to_index(fields[1])][to_index(fields[2])];
        medium.sum.resize(dimension);
        for (std::size_t i = 0; i < dimension; ++i) medium.sum[i] += weight * embedding[i];
        ++medium.count;
        ++row;
    });
    if (!weights.empty() && weights.size() != row)
        throw Error(ErrorCode::mismatch, arguments.detection_scores + ": " + std::to_string(weights.size()) + " scores for " +
                                             std::to_string(row) + " faces");

    std::unordered_map<std::size_t, std::vector<double>> templates;
    for (auto& [id, of_template] : media) {
        std::vector<double> sum(dimension);
        for (const auto& [medium_id, medium] : of_template)
            for (std::size_t i = 0; i < dimension; ++i) sum[i] += medium.sum[i] / static_cast<double>(medium.count);
        of_template.clear();
        normalise(sum);
        templates.emplace(id, std::move(sum));
    }
    std::vector<Pair> scored;
    for_each_line(arguments.pairs, [&](const std::string& line) {
        const std::vector<std::string_view> fields = words(line);
        if (fields.size() != 3)
            throw Error(ErrorCode::bad_format,
                        "expected TEMPLATE TEMPLATE 0|1, found " + std::to_string(fields.size()) + " words");
        const auto a = templates.find(to_index(fields[0])), b = templates.find(to_index(fields[1]));
        if (a == templates.end() || b == templates.end()) throw Error(ErrorCode::mismatch, "a template without faces");
        double product = 0;
        for (std::size_t i = 0; i < dimension; ++i) product += a->second[i] * b->second[i];
        scored.push_back({product, to_same(fields[2])});
    });
    if (scored.empty()) throw Error(ErrorCode::bad_format, arguments.pairs + ": no pairs in it");
    return scored;
}

int run(const Arguments& arguments) {
    refuse_overwriting(arguments.report.files(),
                       {arguments.pairs, arguments.embeddings, arguments.names, arguments.templates, arguments.detection_scores});
    const bool templates = !arguments.templates.empty();
    const std::vector<Pair> pairs = templates ? score_templates(arguments) : score_pairs(arguments);
    SourceArguments source;
    source.predictions = arguments.embeddings;
    Conditions conditions = of_predictions(source);
    conditions.text = "embeddings" + conditions.text.substr(std::string("predictions").size());
    if (templates)
        conditions.text += std::string(arguments.unit ? ", unit embeddings" : ", embeddings with their norms") +
                           (arguments.detection_scores.empty() ? ", not weighted" : ", weighted by detection score");
    conditions.json["pairs"] = arguments.pairs;
    conditions.json["templates"] = arguments.templates;
    conditions.json["detection_scores"] = arguments.detection_scores;
    conditions.json["unit_embeddings"] = arguments.unit;
    Report report("verify", conditions);
    if (!templates) report_folds(report, pairs, arguments.folds);
    report_roc(report, pairs);
    report.finish(arguments.report);
    return kSuccess;
}

}  // namespace

Run add_evaluate_verify(CLI::App& command) {
    const auto arguments = std::make_shared<Arguments>();
    command
        .add_option("--pairs", arguments->pairs,
                    "Lines \"NAME NAME 1|0\" (one person or two), or LFW's pairs.txt; with --templates \"TEMPLATE TEMPLATE 1|0\"")
        ->type_name("FILE")
        ->required();
    command
        .add_option(
            "--embeddings", arguments->embeddings,
            "NumPy float32 [faces, dimension] or [faces, 2, dimension] (image and mirror, which are summed), or JSON lines "
            "{file, embedding, mirrored}")
        ->type_name("FILE.npy|FILE.jsonl")
        ->required();
    command.add_option("--names", arguments->names, "The names of the rows of a NumPy file, one a line")->type_name("FILE");
    CLI::Option* templates =
        command
            .add_option("--templates", arguments->templates,
                        "IJB: lines \"NAME TEMPLATE MEDIUM\", in the order of the rows unless --names says otherwise")
            ->type_name("FILE");
    command
        .add_option("--detection-scores", arguments->detection_scores,
                    "Lines in the order of --templates whose last word weighs the face")
        ->type_name("FILE")
        ->needs(templates);
    command
        .add_flag("--unit-embeddings", arguments->unit,
                  "With --templates: every face counts alike, whatever the norm of its embedding")
        ->needs(templates);
    command.add_option("--folds", arguments->folds, "Folds, in the order of the pairs")
        ->type_name("N")
        ->check(CLI::Range(2, 1000))
        ->capture_default_str();
    add_report_arguments(command, arguments->report);
    return [arguments] { return run(*arguments); };
}

}  // namespace cli
