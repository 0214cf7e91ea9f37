// Figures of an evaluation: as lines, JSON, a Markdown table, a plot of curves.
#pragma once

#include <CLI/CLI.hpp>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace cli {

struct ReportArguments {
    std::string json;
    std::string markdown;
    std::string plot;

    std::vector<std::string> files() const { return {json, markdown, plot}; }
};

/// Adds --json, --markdown and --plot; `arguments` outlives the parse.
void add_report_arguments(CLI::App& command, ReportArguments& arguments);

/// What every figure of an evaluation depends on: the same in words and as an object.
struct Conditions {
    std::string text;
    nlohmann::ordered_json json;
};

class Report {
public:
    Report(std::string protocol, Conditions conditions) : protocol_(std::move(protocol)), conditions_(std::move(conditions)) {}

    /// `value` of `figure` on the group of faces (pictures, pairs) `of`, which are `count`. `scores` says which detections count,
    /// empty: all.
    void add(const std::string& figure, const std::string& of, std::size_t count, double value, const char* format = "%.4f",
             const std::string& scores = "");

    struct Curve {
        std::string name, x, y;
        std::vector<std::pair<double, double>> points;
    };
    void add(Curve curve) { curves_.push_back(std::move(curve)); }

    /// Prints a line a figure, but where JSON or Markdown goes to standard output, and writes what was asked for. Throws
    /// retinaface::Error (io).
    void finish(const ReportArguments& arguments) const;

private:
    struct Row {
        std::string figure, of, scores, text;
        std::size_t count;
        double value;
    };

    std::string lines() const;
    std::string markdown() const;
    std::string json() const;

    std::string protocol_;
    Conditions conditions_;
    std::vector<Row> rows_;
    std::vector<Curve> curves_;
};

/// At most `most` of a curve's points, evenly chosen by index, its ends included.
std::vector<std::pair<double, double>> thinned(const std::vector<std::pair<double, double>>& points, std::size_t most = 1000);

/// The share of `errors` (infinite: not found) that are at most x, for x from 0 to `end` in 100 steps: a cumulative error distribution.
std::vector<std::pair<double, double>> cumulative(std::vector<double> errors, double end);

}  // namespace cli
