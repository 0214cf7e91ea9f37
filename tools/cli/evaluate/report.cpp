#include "evaluate/report.hpp"

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "output.hpp"
#include "plot_script.hpp"
#include "retinaface/error.hpp"
#include "retinaface/version.hpp"
#include "text.hpp"

extern char** environ;

namespace cli {

using retinaface::Error;
using retinaface::ErrorCode;

namespace {

/// Runs tools/plot_evaluation.py, whose text this program carries, with the report on its standard input.
void plot(const std::string& report, const std::string& path) {
    const std::string extension = path.size() > 4 ? path.substr(path.size() - 4) : "";
    const std::string beside = path + ".part" + extension;
    const char* python = std::getenv("RETINAFACE_PYTHON");
    if (python == nullptr || *python == '\0') python = "python3";
    int ends[2];
    if (pipe(ends) != 0) throw Error(ErrorCode::io, std::string("cannot start ") + python + ": " + std::strerror(errno));
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    std::string arguments[] = {python, "-c", kPlotScript, "-", beside};
    char* argv[] = {arguments[0].data(), arguments[1].data(), arguments[2].data(),
                    arguments[3].data(), arguments[4].data(), nullptr};
    pid_t child = 0;
    const int failed = posix_spawnp(&child, python, &actions, nullptr, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[0]);
    if (failed != 0) {
        close(ends[1]);
        throw Error(ErrorCode::io, std::string("--plot: cannot start ") + python + ": " + std::strerror(failed));
    }
    // A script that ends early must not end this program.
    struct sigaction ignore = {}, before = {};
    ignore.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &ignore, &before);
    for (std::size_t sent = 0; sent < report.size();) {
        const ssize_t count = ::write(ends[1], report.data() + sent, report.size() - sent);
        if (count < 0 && errno != EINTR) break;
        if (count > 0) sent += static_cast<std::size_t>(count);
    }
    close(ends[1]);
    sigaction(SIGPIPE, &before, nullptr);
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        std::remove(beside.c_str());
        constexpr int kNoMatplotlib = 3;
        const bool none = WIFEXITED(status) && (WEXITSTATUS(status) == kNoMatplotlib || WEXITSTATUS(status) == 127);
        throw Error(ErrorCode::io,
                    none ? std::string("--plot: ") + python +
                               " has no matplotlib (Debian: python3-matplotlib); RETINAFACE_PYTHON names another Python"
                         : "--plot: " + std::string(python) + " could not draw to " + path);
    }
    if (std::rename(beside.c_str(), path.c_str()) != 0)
        throw Error(ErrorCode::io, "cannot write " + path + ": " + std::strerror(errno));
}

}  // namespace

void add_report_arguments(CLI::App& command, ReportArguments& arguments) {
    command.add_option("--json", arguments.json, "Write figures, curves and conditions to FILE or with - to standard output")
        ->type_name("FILE|-");
    command.add_option("--markdown", arguments.markdown, "Write a table to FILE or with - to standard output")
        ->type_name("FILE|-");
    command.add_option("--plot", arguments.plot, "Draw the curves (Python with matplotlib)")
        ->type_name("FILE.svg|png|pdf")
        ->check([](const std::string& path) {
            for (const char* extension : {".svg", ".png", ".pdf"})
                if (path.size() > 4 && path.compare(path.size() - 4, 4, extension) == 0) return std::string();
            return std::string("expected FILE.svg, FILE.png or FILE.pdf, found '") + path + "'";
        });
}

void Report::add(const std::string& figure, const std::string& of, std::size_t count, double value, const char* format,
                 const std::string& scores) {
    rows_.push_back({figure, of, scores, number(format, value), count, value});
}

std::string Report::lines() const {
    std::string text;
    for (const Row& row : rows_) {
        char line[256];
        std::snprintf(line, sizeof line, "%-22s %-14s %9s  of %7zu  [", row.figure.c_str(), row.of.c_str(), row.text.c_str(),
                      row.count);
        text += line + (row.scores.empty() ? "" : row.scores + ", ") + printable(conditions_.text) + "]\n";
    }
    return text;
}

std::string Report::markdown() const {
    // A column a group, a row a figure, each in the order in which they came.
    std::vector<std::string> columns;
    std::vector<std::pair<std::string, std::string>> figures;
    for (const Row& row : rows_) {
        if (std::find(columns.begin(), columns.end(), row.of) == columns.end()) columns.push_back(row.of);
        const std::pair<std::string, std::string> figure{row.figure, row.scores};
        if (std::find(figures.begin(), figures.end(), figure) == figures.end()) figures.push_back(figure);
    }
    const auto cell = [](std::string text) {
        for (std::size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) text.insert(at, "\\");
        return " " + printable(text) + " |";
    };
    std::string header = "| " + protocol_ + " |", rule = "|---|", text;
    for (const std::string& column : columns) {
        header += cell(column);
        rule += "---|";
    }
    for (const auto& figure : figures) {
        text += "|" + cell(figure.first + (figure.second.empty() ? "" : " (" + figure.second + ")"));
        for (const std::string& column : columns) {
            std::string value;
            for (const Row& row : rows_)
                if (row.of == column && row.figure == figure.first && row.scores == figure.second) value = row.text;
            text += cell(value);
        }
        text += "\n";
    }
    return header + "\n" + rule + "\n" + text + "\n" + printable(conditions_.text) + "\n";
}

std::string Report::json() const {
    nlohmann::ordered_json report = {{"protocol", protocol_}, {"conditions", conditions_.json}};
    auto& figures = report["figures"] = nlohmann::ordered_json::array();
    for (const Row& row : rows_) {
        nlohmann::ordered_json figure = {{"figure", row.figure}, {"faces", row.of}, {"count", row.count}, {"value", row.value}};
        if (!row.scores.empty()) figure["scores"] = row.scores;
        figure["conditions"] = conditions_.text;
        figures.push_back(std::move(figure));
    }
    auto& curves = report["curves"] = nlohmann::ordered_json::array();
    for (const Curve& curve : curves_)
        curves.push_back({{"name", curve.name}, {"x", curve.x}, {"y", curve.y}, {"points", curve.points}});
    return report.dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

void Report::finish(const ReportArguments& arguments) const {
    if (arguments.json != "-" && arguments.markdown != "-") write_text("-", lines());
    if (!arguments.json.empty()) write_text(arguments.json, json());
    if (!arguments.markdown.empty()) write_text(arguments.markdown, markdown());
    if (!arguments.plot.empty()) plot(json(), arguments.plot);
}

std::vector<std::pair<double, double>> thinned(const std::vector<std::pair<double, double>>& points, std::size_t most) {
    if (points.size() <= most) return points;
    std::vector<std::pair<double, double>> some;
    for (std::size_t i = 0; i < most; ++i) some.push_back(points[i * (points.size() - 1) / (most - 1)]);
    return some;
}

std::vector<std::pair<double, double>> cumulative(std::vector<double> errors, double end) {
    std::sort(errors.begin(), errors.end());
    std::vector<std::pair<double, double>> points;
    constexpr int kSteps = 100;
    for (int i = 0; i <= kSteps && !errors.empty(); ++i) {
        const double x = end * i / kSteps;
        const auto found = static_cast<double>(std::upper_bound(errors.begin(), errors.end(), x) - errors.begin());
        points.emplace_back(x, found / static_cast<double>(errors.size()));
    }
    return points;
}

}  // namespace cli
