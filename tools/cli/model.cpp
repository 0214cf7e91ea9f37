#include "model.hpp"

#include <cstdio>
#include <limits>
#include <tuple>
#include <utility>
#include <vector>

#include "shipped.hpp"
#include "text.hpp"

namespace cli {

using retinaface::Isa;
using retinaface::Scales;
using retinaface::SizePolicy;
using retinaface::Voting;

namespace {

Isa parse_isa(const std::string& name) {
    Isa isa = Isa::automatic;
    if (retinaface::parse_isa(name.c_str(), isa)) return isa;
    std::string known = retinaface::to_string(isa);
    for (const Isa set : retinaface::kIsas) known += std::string(", ") + retinaface::to_string(set);
    throw CLI::ValidationError("--isa", "expected one of " + known + ", found '" + name + "'");
}

constexpr std::pair<const char*, Voting> kVoting[] = {
    {"none", Voting::none}, {"paper", Voting::paper}, {"insightface", Voting::insightface}};

Voting parse_voting(const std::string& name) {
    for (const auto& [known, voting] : kVoting)
        if (name == known) return voting;
    throw CLI::ValidationError("--voting", "expected none, paper or insightface, found '" + name + "'");
}

Scales parse_scales(const std::vector<float>& factors) {
    try {
        return {factors.data(), factors.size()};
    } catch (const retinaface::Error& error) {
        throw CLI::ValidationError("--scales", error.what());
    }
}

std::string short_number(float value) {
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, "%g", static_cast<double>(value));
    return buffer;
}

std::string describe_policy(const SizePolicy& size) {
    const auto number = [](int side) { return std::to_string(side); };
    switch (size.kind()) {
        case SizePolicy::Kind::longest_side: return "longest side at most " + number(size.width());
        case SizePolicy::Kind::exact: return "size " + number(size.width()) + "x" + number(size.height());
        case SizePolicy::Kind::shortest_side:
            return "shortest side " + number(size.width()) +
                   (size.height() > 0 ? ", longest at most " + number(size.height()) : "");
        case SizePolicy::Kind::original: break;
    }
    return "original size";
}

}  // namespace

std::pair<int, int> parse_sides(const std::string& option, const std::string& text) {
    int width = 0, height = 0;
    char rest = 0;
    const bool parsed = std::sscanf(text.c_str(), "%5dx%5d%c", &width, &height, &rest) == 2;
    if (!parsed || width < 1 || height < 1 || width > retinaface::kMaxSide || height > retinaface::kMaxSide)
        throw CLI::ValidationError(option, "expected WIDTHxHEIGHT in pixels, as in 640x480, found '" + text + "'");
    return {width, height};
}

void add_detector_arguments(CLI::App& command, DetectorArguments& arguments, const std::string& size_name) {
    retinaface::Options& options = arguments.options;
    command.add_option("--model", arguments.model, "Weights file (safetensors); without it the weights that come with the tool")
        ->type_name("FILE");
    command.add_option("--score", options.score_threshold, "Report faces with a greater score")
        ->type_name("T")
        ->check(number_from(0, 1))
        ->capture_default_str();
    command.add_option("--nms", options.nms_threshold, "Suppress boxes that overlap a better one by more than this IoU")
        ->type_name("T")
        ->check(number_from(0, 1))
        ->capture_default_str();
    command.add_flag("--clip", options.clip, "Boxes end at the picture's edges");
    command.add_option("--max-faces", options.max_faces, "Report the best N faces only; 0: all")
        ->type_name("N")
        ->check(CLI::Range(0, std::numeric_limits<int>::max()))
        ->capture_default_str();

    const auto set_side = [&options](int side) { options.size = SizePolicy::longest_side(side); };
    CLI::Option* max_side =
        command.add_option_function<int>("--max-side", set_side, "Shrink larger pictures to this longest side")
            ->type_name("N")
            ->check(CLI::Range(1, retinaface::kMaxSide));
    const auto set_size = [&options, size_name](const std::string& text) {
        const auto [width, height] = parse_sides(size_name, text);
        options.size = SizePolicy::exact(width, height);
    };
    CLI::Option* size =
        command.add_option_function<std::string>(size_name, set_size, "Fit every picture into W x H and pad it to that size")
            ->type_name("WxH")
            ->excludes(max_side);
    const auto set_shortest = [&options](int side) { options.size = SizePolicy::shortest_side(side); };
    CLI::Option* shortest_side = command
                                     .add_option_function<int>("--shortest-side", set_shortest,
                                                               "Resize every picture to this shortest side, enlarging too")
                                     ->type_name("N")
                                     ->check(CLI::Range(1, retinaface::kMaxSide))
                                     ->excludes(max_side)
                                     ->excludes(size);

    const auto set_scales = [&options](const std::vector<float>& factors) { options.scales = parse_scales(factors); };
    CLI::Option* scales =
        command
            .add_option_function<std::vector<float>>("--scales", set_scales,
                                                     "Look at every picture at each of these factors of its size, as in 1,0.5")
            ->type_name("F,...")
            ->allow_extra_args(false)  // pictures may follow
            ->delimiter(',');
    command.add_flag("--flip", options.flip, "At each size, look at the mirrored picture too");
    const auto set_voting = [&options](const std::string& name) { options.voting = parse_voting(name); };
    CLI::Option* voting = command
                              .add_option_function<std::string>(
                                  "--voting", set_voting, "Average a face with the boxes it suppresses: none, paper, insightface")
                              ->type_name("RULE")
                              ->default_str("none");
    const auto set_paper = [&options](std::int64_t) { options = retinaface::with_paper_augmentation(options); };
    CLI::Option* paper = command
                             .add_flag_function("--paper-augmentation", set_paper,
                                                "The paper's protocol: shortest sides 500 to 1700, mirrored too, voting")
                             ->excludes(voting)
                             ->excludes(scales)
                             ->excludes(max_side)
                             ->excludes(size)
                             ->excludes(shortest_side);
    for (const auto& [name, side, text] :
         {std::make_tuple("--min-face", &options.min_face, "Side in pixels of the smallest face of interest; chooses the scales"),
          std::make_tuple("--max-face", &options.max_face, "Side in pixels of the largest face of interest; chooses the scales")})
        command.add_option(name, *side, text)
            ->type_name("N")
            ->check(CLI::Range(1, retinaface::kMaxSide))
            ->excludes(paper)
            ->excludes(scales)
            ->excludes(max_side)
            ->excludes(size)
            ->excludes(shortest_side);

    command.parse_complete_callback([&options] {
        if (options.max_face > 0 && options.min_face > options.max_face)
            throw CLI::ValidationError("--max-face", "expected at least --min-face (" + short_number(options.min_face) +
                                                         "), found " + short_number(options.max_face));
    });

    command.add_option("--threads", options.threads, "Threads a picture")
        ->type_name("N")
        ->check(CLI::Range(1, retinaface::kMaxThreads))
        ->capture_default_str();
    const auto set_isa = [&options](const std::string& name) { options.isa = parse_isa(name); };
    command
        .add_option_function<std::string>("--isa", set_isa,
                                          "Kernels: auto (best on this CPU), reference, portable, avx2, avx512, neon")
        ->type_name("NAME")
        ->default_str("auto");
}

std::string describe_sizes(const retinaface::Options& options) {
    std::string text = describe_policy(options.size);
    if (options.min_face > 0) text += ", faces from " + short_number(options.min_face) + " px";
    if (options.max_face > 0) text += ", faces to " + short_number(options.max_face) + " px";
    if (options.scales.size() > 1 || options.scales[0] != 1.0f) {
        text += ", scales";
        for (const float factor : options.scales) text += " " + short_number(factor);
    }
    if (options.flip) text += ", mirrored too";
    for (const auto& [name, voting] : kVoting)
        if (voting == options.voting && voting != Voting::none) text += std::string(", voting ") + name;
    return text;
}

retinaface::Error with_way_out(const retinaface::Error& error, const std::string& path) {
    const std::string suffix = ".safetensors";
    const bool named_so = path.size() >= suffix.size() && path.compare(path.size() - suffix.size(), suffix.size(), suffix) == 0;
    if (error.code() != retinaface::ErrorCode::bad_format || named_so) return error;
    return {error.code(), std::string(error.what()) +
                              "; weights of PyTorch, MXNet, ONNX and ncnn become a weights file with tools/convert_weights.py " +
                              path + " -o model.safetensors"};
}

retinaface::Weights load_weights(const std::string& path) {
    if (path.empty()) {
        const std::vector<std::uint8_t> bytes = shipped_weights();
        return retinaface::Weights::from_memory(bytes.data(), bytes.size());
    }
    try {
        return retinaface::Weights::open(path);
    } catch (const retinaface::Error& error) {
        throw with_way_out(error, path);
    }
}

Detector make_detector(const retinaface::Weights& weights, const retinaface::Options& options) {
    return Detector(weights, options);
}

std::vector<retinaface::passes::Description> describe_network(const retinaface::Weights& weights, int width, int height) {
    namespace models = retinaface::models;
    std::vector<retinaface::passes::Description> list;
    const retinaface::Profile& profile = retinaface::find_profile(weights.metadata("profile"));
    const auto try_one = [&](auto* candidate) {
        using Architecture = std::remove_pointer_t<decltype(candidate)>;
        if (weights.metadata("architecture") != Architecture::kName) return;
        // The reference set packs nothing.
        list = retinaface::passes::describe(models::RetinaFace<Architecture>(weights, profile, Isa::reference), width, height);
    };
    try_one(static_cast<models::MobileNet025*>(nullptr));
    try_one(static_cast<models::MobileNet025Light*>(nullptr));
    try_one(static_cast<models::Mnet12*>(nullptr));
    try_one(static_cast<models::ResNet50*>(nullptr));
    try_one(static_cast<models::ResNet50Preactivation*>(nullptr));
    try_one(static_cast<models::ResNet152Deformable*>(nullptr));
    return list;
}

Detector make_detector(const DetectorArguments& arguments) {
    const Isa isa = arguments.options.isa;
    if (!retinaface::available(isa))
        throw retinaface::Error(retinaface::ErrorCode::unsupported,
                                std::string("--isa ") + retinaface::to_string(isa) + ": not in this build or not on this CPU");
    const retinaface::Weights weights = load_weights(arguments.model);
    try {
        return make_detector(weights, arguments.options);
    } catch (const retinaface::Error& error) {
        if (arguments.model.empty()) throw;
        throw retinaface::Error(error.code(), arguments.model + ": " + error.what());
    }
}

}  // namespace cli
