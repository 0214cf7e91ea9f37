// What is judged: faces that the detector finds now, or that a file says some program found.
#pragma once

#include <CLI/CLI.hpp>
#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "evaluate/report.hpp"
#include "model.hpp"

namespace cli {

struct SourceArguments {
    DetectorArguments detector;
    std::string images;
    std::string predictions;
    float candidates = 0.02f;  ///< detections with a greater score take part
    int jobs = 1;
    bool progress = false;
};

/// Adds the detector's options, --images, --predictions (described by `format`, of the type `type`), --candidates, --jobs and
/// --progress; `arguments` outlives the parse, which fails unless one of the first two is given.
void add_source_arguments(CLI::App& command, SourceArguments& arguments, const std::string& type, const std::string& format);

/// A detector that reports the candidates too, and what its figures depend on.
struct Judged {
    Detector detector;
    Conditions conditions;
};
Judged make_judged(const SourceArguments& arguments);

/// The conditions of predictions read from a file or folder.
Conditions of_predictions(const SourceArguments& arguments);

/// A picture to look at; of a width of 0 any size will do.
struct Picture {
    std::string file;
    int width = 0;
    int height = 0;
};

/// Calls use(index, faces) for every picture, in order; they are in `arguments.images`, under that name or below one of `folders` in
/// it. Returns the seconds that the detector took. Throws retinaface::Error, led by the picture's name.
double find_faces(const SourceArguments& arguments, const Detector& detector, const std::vector<Picture>& pictures,
                  const std::vector<std::string>& folders,
                  const std::function<void(std::size_t, std::vector<retinaface::Face>&&)>& use);

/// Gives pictures that are named without extension that of the picture in `images`. Throws retinaface::Error (io) where there is none.
void name_pictures(const std::string& images, std::vector<Picture>& pictures);

/// A face as `detect` writes it, {"score", "box", "landmarks"}, or as a list of score, box and five points. Landmarks may lack where
/// `landmarks` is false. Throws retinaface::Error (bad_format) or an error of JSON.
retinaface::Face read_face(const nlohmann::json& entry, bool landmarks);

/// Names as programs write them: with the folders that they were given, or without. A name is found by itself, or by what it ends with.
class Names {
public:
    static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

    /// With `stems` extensions do not count: "a.jpg" is "a".
    explicit Names(bool stems = false) : stems_(stems) {}

    /// Throws retinaface::Error (bad_format) for a name that is there already.
    void add(const std::string& name, std::size_t index);

    /// The index of the name that is `name`, or ends with "/" and `name`, or that `name` ends with in this way; kNone: there is none.
    /// Throws retinaface::Error (bad_format) for several.
    std::size_t find(const std::string& name) const;

private:
    bool stems_;
    std::map<std::string, std::size_t> exact_;
    std::multimap<std::string, const std::pair<const std::string, std::size_t>*> by_last_;
};

/// Faces by name, best first, from JSON lines as `detect` writes them.
class Predictions {
public:
    /// `stems` as of Names. Throws retinaface::Error, led by file and line.
    Predictions(const std::string& path, bool landmarks, bool stems = false);

    /// nullptr: the file has none of that name.
    const std::vector<retinaface::Face>* find(const std::string& name) const;

private:
    Names names_;
    std::vector<std::vector<retinaface::Face>> faces_;
};

/// Says on standard error how many of the pictures have no predictions, if any.
void report_missing(std::size_t missing, std::size_t total, const std::string& example);

}  // namespace cli
