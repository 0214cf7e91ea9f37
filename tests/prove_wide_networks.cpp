// prove_wide_networks WEIGHTS GOLDEN [ISA]: a converted weights file against what the independent model computed (docs/wide-networks.md).
//
// For every image of GOLDEN (tools/oracle/heavy_networks.py): the raw outputs of the planned network against the golden ones, and, where it has
// them (--layers), every layer's output, one operation after the other. Differences are shares of the output's peak. Exit code 1: one is
// above 1e-3.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "network_input.hpp"
#include "retinaface/passes/trace.hpp"
#include "retinaface/resnet.hpp"

namespace {

using namespace retinaface;

double difference(Span<const float> found, const std::vector<float>& expected) {
    if (found.size() != expected.size()) return INFINITY;
    double peak = 1e-30, most = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        peak = std::max(peak, std::abs(static_cast<double>(expected[i])));
        const double d = std::abs(static_cast<double>(found[i]) - static_cast<double>(expected[i]));
        if (!(d <= most)) most = d;
    }
    return most / peak;
}

/// A traced value's name as the golden file has it: that of the layer, of a block for its last convolution.
std::string layer_of(const std::string& name) {
    const std::string activation = ".activation";
    std::string layer = name;
    if (name.size() > activation.size() && name.compare(name.size() - activation.size(), std::string::npos, activation) == 0)
        layer = name.substr(0, name.size() - activation.size());
    if (layer.compare(0, 14, "backbone.layer") == 0 && layer.compare(layer.size() - 6, 6, ".conv3") == 0)
        return layer.substr(0, layer.size() - 6);
    return layer;
}

/// [height][width][channels] as [channels][height][width].
std::vector<float> planes(const layers::Map& map) {
    std::vector<float> out;
    out.reserve(map.size());
    for (int c = 0; c < map.channels; ++c)
        for (int i = 0; i < map.pixels(); ++i) out.push_back(map.data[i * map.pitch + c]);
    return out;
}

template <class Architecture>
int prove(const Weights& weights, const Weights& golden, const Options& options) {
    const BasicDetector<Architecture> detector(weights, options);
    const models::RetinaFace<Architecture> network(weights, detector.profile(), detector.isa());
    Workspace workspace;
    double worst = 0;
    for (const Tensor& image : golden.tensors()) {
        if (image.dtype != Tensor::Dtype::u8) continue;
        const std::string size = image.name.substr(0, image.name.find('.'));
        const ImageView view{image.bytes.data(), static_cast<int>(image.shape[1]), static_cast<int>(image.shape[0])};
        const RawOutputs outputs = detector.forward(view, workspace);
        const std::pair<const char*, Span<const float>> raw[] = {
            {".class", outputs.class_logits}, {".box", outputs.boxes}, {".landmark", outputs.landmarks}};
        std::printf("%s, %s:", size.c_str(), to_string(detector.isa()));
        for (const auto& [name, found] : raw) {
            const double d = difference(found, golden.find(size + name)->values);
            worst = std::max(worst, d);
            std::printf(" %s %.2g", name + 1, d);
        }
        // Layers without an activation of their own in the golden file have one here (concatenation and ReLU in one step): not compared.
        double largest = 0;
        std::string where;
        std::set<std::string> compared;
        const bool layered = std::any_of(golden.tensors().begin(), golden.tensors().end(), [&](const Tensor& t) {
            return t.name.compare(0, size.size() + 7, size + ".layer.") == 0;
        });
        if (layered) {
            passes::trace(network, retinaface_test::pixels_of(view, detector.profile()),
                          [&](const std::string& name, const layers::Map& map) {
                              const std::string layer = layer_of(name);
                              bool early_relu = false;
                              for (const char* part : {".conv3", ".conv5_2", ".conv7_3"})
                                  early_relu = early_relu || (layer.compare(0, 8, "context.") == 0 && layer.size() > 10 &&
                                                              layer.substr(10) == part);
                              const Tensor* expected = golden.find(size + ".layer." + layer);
                              if (expected == nullptr || early_relu || name.find(".norm") != std::string::npos) return;
                              std::vector<float> found = planes(map);
                              if (layer.find(".offset") != std::string::npos)
                                  found.resize(expected->values.size());  // padded channels come last
                              const double d = difference({found.data(), found.size()}, expected->values);
                              compared.insert(layer);
                              if (d >= largest) largest = d, where = layer;
                          });
            worst = std::max(worst, largest);
            std::printf("; %zu layers, worst %.2g (%s)", compared.size(), largest, where.c_str());
        }
        std::printf("\n");
        std::fflush(stdout);
    }
    std::printf("largest difference %.2g of the peak\n", worst);
    return worst <= 1e-3 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) {
        std::fprintf(stderr, "usage: prove_wide_networks WEIGHTS GOLDEN [ISA]\n");
        return 2;
    }
    try {
        const Weights weights = Weights::load(argv[1]), golden = Weights::load(argv[2]);
        Options options;
        if (argc > 3 && !parse_isa(argv[3], options.isa))
            throw Error(ErrorCode::invalid_argument, std::string("no instruction set ") + argv[3]);
        const std::string& architecture = weights.metadata("architecture");
        if (architecture == models::ResNet50::kName) return prove<models::ResNet50>(weights, golden, options);
        if (architecture == models::ResNet50Preactivation::kName)
            return prove<models::ResNet50Preactivation>(weights, golden, options);
        if (architecture == models::ResNet152Deformable::kName)
            return prove<models::ResNet152Deformable>(weights, golden, options);
        throw Error(ErrorCode::unsupported, "architecture " + architecture + " is not a wide network");
    } catch (const Error& error) {
        std::fprintf(stderr, "prove_wide_networks: %s\n", error.what());
        return 2;
    }
}
