// The detector behind the tool and the arguments that make it; every subcommand that detects shares them.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <utility>
#include <vector>

#include "retinaface.hpp"
#include "retinaface/passes/describe.hpp"
#include "retinaface/resnet.hpp"

namespace cli {

/// The networks that the tool can run.
using Detector = retinaface::AnyNetworkDetector;

struct DetectorArguments {
    std::string model;
    retinaface::Options options;
};

/// Adds --model, what becomes retinaface::Options, and --threads and --isa; `arguments` outlives the parse.
/// `size_name` is what the option for SizePolicy::exact is called.
void add_detector_arguments(CLI::App& command, DetectorArguments& arguments, const std::string& size_name = "--size");

/// The sides of "WxH", 1..kMaxSide each. Throws CLI::ValidationError that names the option.
std::pair<int, int> parse_sides(const std::string& option, const std::string& text);

/// At which sizes the options have a picture seen, in words: "size 640x480, scales 1 0.5, mirrored too".
std::string describe_sizes(const retinaface::Options& options);

/// The error of a file that is no weights file says how to make one of it.
retinaface::Error with_way_out(const retinaface::Error& error, const std::string& path);
/// A weights file, or where `path` is empty the weights that come with the tool. Throws retinaface::Error.
retinaface::Weights load_weights(const std::string& path);

/// Detectors are made here and nowhere else, so that the networks are compiled once. Throws retinaface::Error, its message led by
/// the model's path where the file is at fault.
Detector make_detector(const DetectorArguments& arguments);
Detector make_detector(const retinaface::Weights& weights, const retinaface::Options& options);

/// What a network does with an input of this size, operation by operation. Throws retinaface::Error.
std::vector<retinaface::passes::Description> describe_network(const retinaface::Weights& weights, int width, int height);

}  // namespace cli
