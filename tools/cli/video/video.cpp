// retinaface video: faces in every frame of a stream.
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "draw.hpp"
#include "interrupt.hpp"
#include "json.hpp"
#include "model.hpp"
#include "output.hpp"
#include "progress.hpp"
#include "subcommand.hpp"
#include "text.hpp"
#include "video/frames.hpp"
#include "video/tracker.hpp"

namespace cli {

namespace {

using retinaface::Error;
using retinaface::ErrorCode;
using retinaface::Face;

struct Arguments {
    DetectorArguments detector;
    StreamFormat format;
    std::string stream = "-";
    std::string json;
    std::string draw;
    double rate = 0;
    bool track = false;
    bool smooth = false;
    int lost = 10;
    bool progress = false;
};

/// Pictures as Y4M of 4:4:4, which says its size and rate itself.
class Y4mWriter {
public:
    Y4mWriter(const std::string& path, double rate)
        : name_(path == "-" ? "standard output" : path), rate_(rate), file_(open_own(path, kFirst)) {}

    void write(const Image& image) {
        const auto width = static_cast<std::size_t>(image.width), area = width * static_cast<std::size_t>(image.height);
        if (width_ == 0) {
            width_ = image.width;
            height_ = image.height;
            const std::string header = kFirst + std::string("W") + std::to_string(width_) + " H" + std::to_string(height_) +
                                       " F" + std::to_string(static_cast<long>(rate_ * 1000 + 0.5)) + ":1000 Ip A1:1 C444\n";
            put(header.data(), header.size());
        }
        if (image.width != width_ || image.height != height_)
            throw Error(ErrorCode::unsupported, "--draw: frames change their size from " + std::to_string(width_) + " x " +
                                                    std::to_string(height_) + " to " + std::to_string(image.width) + " x " +
                                                    std::to_string(image.height));
        planes_.resize(3 * area);
        std::uint8_t *y = planes_.data(), *u = y + area, *v = u + area;
        const std::uint8_t* rgb = image.pixels.data();
        // BT.601, video range, in 16 bits of fraction.
        for (std::size_t i = 0; i < area; ++i, rgb += 3) {
            const int r = rgb[0], g = rgb[1], b = rgb[2];
            y[i] = static_cast<std::uint8_t>((16829 * r + 33039 * g + 6416 * b + (16 << 16) + (1 << 15)) >> 16);
            u[i] = static_cast<std::uint8_t>((-9714 * r - 19070 * g + 28784 * b + (128 << 16) + (1 << 15)) >> 16);
            v[i] = static_cast<std::uint8_t>((28784 * r - 24103 * g - 4681 * b + (128 << 16) + (1 << 15)) >> 16);
        }
        put("FRAME\n", 6);
        put(planes_.data(), planes_.size());
        if (std::fflush(file_.get()) != 0) fail();
    }

private:
    static constexpr const char* kFirst = "YUV4MPEG2 ";

    void put(const void* data, std::size_t size) {
        if (std::fwrite(data, 1, size, file_.get()) != size) fail();
    }
    [[noreturn]] void fail() const { throw Error(ErrorCode::io, "cannot write " + name_); }

    std::string name_;
    double rate_;
    OpenFile file_;
    int width_ = 0, height_ = 0;
    std::vector<std::uint8_t> planes_;
};

int run(const Arguments& arguments) {
    refuse_overwriting({arguments.json, arguments.draw}, {arguments.stream, arguments.detector.model});
    const Detector detector = make_detector(arguments.detector);
    catch_interrupts();
    Frames frames(arguments.stream, arguments.format);
    constexpr double kUsualRate = 30;
    const double stated = arguments.rate > 0 ? arguments.rate : frames.rate(), rate = stated > 0 ? stated : kUsualRate;
    std::optional<Lines> lines;
    if (!arguments.json.empty() || arguments.draw != "-") lines.emplace(arguments.json, "{\"frame\":");
    std::optional<Y4mWriter> drawn;
    if (!arguments.draw.empty()) drawn.emplace(arguments.draw, rate);

    retinaface::Workspace workspace;
    retinaface::detail::Upright upright;
    Tracker tracker(arguments.lost);
    Smoother smoother(rate);
    Progress progress(std::nullopt, arguments.progress, "frames");
    bool broken = false;
    retinaface::ImageView view;
    for (std::uint64_t index = 0;; ++index) {
        const Frames::Read read = interrupted() ? Frames::Read::end : frames.next(view);
        if (read == Frames::Read::end) break;
        Json line = {{"frame", index}};
        if (stated > 0) line["time"] = static_cast<float>(static_cast<double>(index) / stated);
        std::vector<Face> faces;
        std::vector<std::uint64_t> ids;
        if (read == Frames::Read::frame) {
            const retinaface::Span<const Face> found = detector.detect(view, workspace);
            faces.assign(found.begin(), found.end());
        } else {
            broken = true;
            progress.clear();
            complain("frame " + std::to_string(index), frames.error());
        }
        if (arguments.track || arguments.smooth) ids = tracker.update(faces);
        if (arguments.smooth) smoother.update(faces, ids);
        if (read == Frames::Read::frame) {
            const bool turned = static_cast<int>(arguments.detector.options.rotation) % 180 != 0;
            line["width"] = turned ? view.height : view.width;
            line["height"] = turned ? view.width : view.height;
            Json list = Json::array();
            for (std::size_t i = 0; i < faces.size(); ++i) {
                Json face;
                if (!ids.empty()) face["id"] = ids[i];
                face.update(to_json(faces[i]));
                list.push_back(std::move(face));
            }
            line["faces"] = std::move(list);
            if (drawn) {
                const retinaface::ImageView picture = upright.convert(view, arguments.detector.options.rotation);
                const Image image{picture.width,
                                  picture.height,
                                  picture.format,
                                  {picture.data, picture.data + picture.row_stride() * picture.height}};
                drawn->write(draw_faces(image, faces));
            }
        } else {
            line["error"] = printable(frames.error());
        }
        if (lines) lines->write(to_line(line));
        progress.step();
    }
    if (interrupted()) return kInterrupted;
    return broken ? kFailure : kSuccess;
}

}  // namespace

Run add_video(CLI::App& command) {
    const auto arguments = std::make_shared<Arguments>();
    add_detector_arguments(command, arguments->detector, "--input-size");
    command.add_option("stream", arguments->stream, "The stream; -: standard input")->type_name("FILE|-")->capture_default_str();
    CLI::Option* raw =
        command.add_option("--raw", arguments->format.raw, "Frames without any header: " + raw_formats() + "; else Y4M or MJPEG")
            ->type_name("FORMAT")
            ->check([](const std::string& name) {
                return is_raw_format(name) ? std::string() : "expected one of " + raw_formats() + ", found '" + name + "'";
            });
    CLI::Option* size = command
                            .add_option_function<std::string>(
                                "--size",
                                [arguments](const std::string& text) {
                                    std::tie(arguments->format.width, arguments->format.height) = parse_sides("--size", text);
                                },
                                "Width and height of raw frames")
                            ->type_name("WxH")
                            ->needs(raw);
    raw->needs(size);
    command
        .add_option_function<std::string>(
            "--range",
            [arguments](const std::string& name) {
                if (name != "video" && name != "full")
                    throw CLI::ValidationError("--range", "expected video or full, found '" + name + "'");
                arguments->format.range = name == "full" ? retinaface::YuvRange::full : retinaface::YuvRange::video;
            },
            "Values of raw YUV frames: video (16 to 235) or full")
        ->type_name("video|full")
        ->default_str("video")
        ->needs(raw);
    command
        .add_option_function<int>(
            "--rotation",
            [arguments](int degrees) { arguments->detector.options.rotation = static_cast<retinaface::Rotation>(degrees); },
            "Turn every frame so many degrees clockwise; results are in pixels of the upright frame")
        ->type_name("0|90|180|270")
        ->check(CLI::IsMember({0, 90, 180, 270}))
        ->default_str("0");
    command.add_option("--fps", arguments->rate, "Frames a second, where the stream does not say (--smooth takes 30 then)")
        ->type_name("F")
        ->check(number_from(0.001, 100000));
    command.add_flag("--track", arguments->track, "Give faces an id that stays across frames");
    command.add_option("--lost", arguments->lost, "Frames that a tracked face may be missing and keep its id")
        ->type_name("N")
        ->check(CLI::Range(0, 100000))
        ->capture_default_str();
    command.add_flag("--smooth", arguments->smooth, "Steady boxes and landmarks over time (one-euro filter); tracks too");
    command
        .add_option("--json", arguments->json,
                    "Write a JSON line a frame to FILE or with - to standard output (where they go by default)")
        ->type_name("FILE|-");
    command
        .add_option("--draw", arguments->draw,
                    "Write the frames with their faces drawn in as Y4M to FILE or with - to standard output")
        ->type_name("FILE|-");
    command.add_flag("--progress", arguments->progress,
                     "Say on standard error how far it is, and at the end how fast, in how much memory");
    command.callback([arguments] {
        if (arguments->draw == "-" && arguments->json == "-")
            throw CLI::ValidationError("--draw", "standard output takes frames or lines: give --json a file");
        if (!arguments->draw.empty() && arguments->draw == arguments->json)
            throw CLI::ValidationError("--draw", "expected another file than --json's, found " + arguments->draw);
    });
    return [arguments] { return run(*arguments); };
}

}  // namespace cli
