// retinaface info: what a weights file is, and whether it computes here what it should.
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "image_file.hpp"
#include "model.hpp"
#include "sha256.hpp"
#include "shipped.hpp"
#include "subcommand.hpp"

namespace cli {

namespace {

void print(const char* key, const std::string& value) { std::printf("%-14s%s\n", key, value.c_str()); }

// Metadata is text by others: nothing in it may move a terminal's cursor or end the line.
std::string printable(std::string text) {
    for (char& c : text)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
    return text;
}

/// Operations, their shapes and cost for a VGA picture.
void print_layers(const retinaface::Weights& weights) {
    constexpr int kWidth = 640, kHeight = 480;
    std::printf("\n%-44s %-14s %-18s %-18s %12s %14s\n", "layer", "kernel", "in", "out", "parameters", "multiply-adds");
    const auto shape = [](const retinaface::layers::Shape& s) {
        return std::to_string(s.width) + "x" + std::to_string(s.height) + "x" + std::to_string(s.channels);
    };
    std::int64_t cost = 0;
    for (const retinaface::passes::Description& d : describe_network(weights, kWidth, kHeight)) {
        const std::string kernel =
            d.kernel +
            (d.kernel_size > 1 || d.stride > 1 ? " " + std::to_string(d.kernel_size) + "/" + std::to_string(d.stride) : "");
        std::printf("%-44s %-14s %-18s %-18s %12lld %14lld%s\n", d.name.c_str(), kernel.c_str(), shape(d.in).c_str(),
                    shape(d.out).c_str(), static_cast<long long>(d.parameters), static_cast<long long>(d.multiply_adds),
                    d.on_demand ? "  (of faces only)" : "");
        if (!d.on_demand) cost += d.multiply_adds;
    }
    std::printf("%lld multiply-adds at %d x %d\n", static_cast<long long>(cost), kWidth, kHeight);
}

int run(const std::string& path, bool layers) {
    const std::vector<std::uint8_t> bytes = path.empty() ? shipped_weights() : read_file(path, retinaface::Weights::kMaxFile);
    const retinaface::Weights weights = retinaface::Weights::from_memory(bytes.data(), bytes.size());

    print("file", path.empty() ? "(the weights that come with the tool)" : path);
    for (const char* key : {"format", "architecture", "profile", "version", "source", "licence"}) {
        const auto found = weights.metadata().find(key);
        print(key, found != weights.metadata().end() ? printable(found->second) : "(not stated)");
    }
    std::size_t tensors = 0, parameters = 0;
    std::string stored;
    for (const retinaface::Tensor& tensor : weights.tensors()) {
        if (tensor.name.compare(0, 9, "selftest.") == 0) continue;
        ++tensors;
        parameters += tensor.values.size();
        const std::string dtype = retinaface::to_string(tensor.dtype);
        if (stored.find(dtype) == std::string::npos) stored += (stored.empty() ? "" : ", ") + dtype;
    }
    print("tensors", std::to_string(tensors) + " (" + stored + ")");
    print("parameters", std::to_string(parameters));
    print("size", std::to_string(bytes.size()) + " bytes");
    print("sha256", sha256(bytes.data(), bytes.size()));
    print("hash", weights.has_hash() ? "fits" : "none in the file: damage would go unseen (convert_weights.py adds one)");
    std::fflush(stdout);
    if (const std::string* const format = weights.find_metadata("format");
        format != nullptr && (*format == retinaface::detail::kMeshFormat || *format == retinaface::detail::kRefinerFormat)) {
        if (layers)
            throw retinaface::Error(retinaface::ErrorCode::unsupported, "--layers: expected a detector, found " + *format);
        return kSuccess;
    }

    const Detector detector = make_detector(weights, {});
    print("runs on", retinaface::to_string(detector.isa()));
    const retinaface::SelfTest test = detector.self_test();
    char difference[64];
    std::snprintf(difference, sizeof difference, " (largest difference %.2g, at most %.2g)",
                  static_cast<double>(test.max_difference), static_cast<double>(retinaface::SelfTest::kTolerance));
    print("self-test", !test.present ? "none in the file" : (test.passed ? "passed" : "FAILED") + std::string(difference));
    if (layers) print_layers(weights);
    return !test.present || test.passed ? kSuccess : kFailure;
}

}  // namespace

Run add_info(CLI::App& command) {
    const auto path = std::make_shared<std::string>();
    const auto layers = std::make_shared<bool>(false);
    command.add_flag("--layers", *layers, "List the network's operations, their shapes and cost");
    command.add_option("model", *path, "Weights file (safetensors); without it the weights that come with the tool")
        ->type_name("MODEL");
    return [path, layers] {
        try {
            return run(*path, *layers);
        } catch (const retinaface::Error& error) {
            throw retinaface::Error(error.code(), (path->empty() ? "" : *path + ": ") + with_way_out(error, *path).what());
        }
    };
}

}  // namespace cli
