#include "model.hpp"

#include <cstdio>

namespace cli {

using retinaface::Isa;
using retinaface::SizePolicy;

namespace {

// "WxH" with sides 1..kMaxSide.
SizePolicy parse_size(const std::string& text) {
    int width = 0, height = 0;
    char rest = 0;
    const bool parsed = std::sscanf(text.c_str(), "%5dx%5d%c", &width, &height, &rest) == 2;
    if (!parsed || width < 1 || height < 1 || width > retinaface::kMaxSide || height > retinaface::kMaxSide)
        throw CLI::ValidationError("--size", "expected WIDTHxHEIGHT in pixels, as in 640x480, found '" + text + "'");
    return SizePolicy::exact(width, height);
}

Isa parse_isa(const std::string& name) {
    std::string known;
    for (const Isa isa : {Isa::automatic, Isa::reference, Isa::portable, Isa::avx2, Isa::avx512, Isa::neon}) {
        if (name == retinaface::to_string(isa)) return isa;
        known += std::string(known.empty() ? "" : ", ") + retinaface::to_string(isa);
    }
    throw CLI::ValidationError("--isa", "expected one of " + known + ", found '" + name + "'");
}

// CLI::Range lets NaN pass.
std::string check_probability(const std::string& text) {
    float value = 0;
    const bool valid = CLI::detail::lexical_cast(text, value) && value >= 0 && value <= 1;
    return valid ? "" : "expected a number from 0 to 1, found '" + text + "'";
}

}  // namespace

void add_detector_arguments(CLI::App& command, DetectorArguments& arguments) {
    retinaface::Options& options = arguments.options;
    command.add_option("--model", arguments.model, "Weights file (safetensors); without it the weights that come with the tool")
        ->type_name("FILE");
    command.add_option("--score", options.score_threshold, "Report faces with a greater score")
        ->type_name("T")
        ->check(check_probability)
        ->capture_default_str();
    command.add_option("--nms", options.nms_threshold, "Suppress boxes that overlap a better one by more than this IoU")
        ->type_name("T")
        ->check(check_probability)
        ->capture_default_str();
    command.add_option("--max-faces", options.max_faces, "Report the best N faces only; 0: all")
        ->type_name("N")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();

    const auto set_side = [&options](int side) { options.size = SizePolicy::longest_side(side); };
    CLI::Option* max_side =
        command.add_option_function<int>("--max-side", set_side, "Shrink larger pictures to this longest side")
            ->type_name("N")
            ->check(CLI::Range(1, retinaface::kMaxSide));
    const auto set_size = [&options](const std::string& text) { options.size = parse_size(text); };
    command.add_option_function<std::string>("--size", set_size, "Fit every picture into W x H and pad it to that size")
        ->type_name("WxH")
        ->excludes(max_side);

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
    const SizePolicy& size = options.size;
    switch (size.kind()) {
        case SizePolicy::Kind::longest_side: return "longest side at most " + std::to_string(size.width());
        case SizePolicy::Kind::exact: return "size " + std::to_string(size.width()) + "x" + std::to_string(size.height());
        case SizePolicy::Kind::original: break;
    }
    return "original size";
}

Detector make_detector(const DetectorArguments& arguments) {
    const Isa isa = arguments.options.isa;
    if (retinaface::kernels::select(isa) == nullptr)
        throw retinaface::Error(retinaface::ErrorCode::unsupported,
                                std::string("--isa ") + retinaface::to_string(isa) + ": not in this build or not on this CPU");
    if (arguments.model.empty()) return Detector(arguments.options);
    const retinaface::Weights weights = retinaface::Weights::load(arguments.model);
    try {
        return Detector(weights, arguments.options);
    } catch (const retinaface::Error& error) {
        throw retinaface::Error(error.code(), arguments.model + ": " + error.what());
    }
}

}  // namespace cli
