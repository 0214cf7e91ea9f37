// A network of one's own from the library's layers: a stem, two depthwise-separable blocks, one head. Written down once, in forward();
// laid out, run, traced and listed by the library's passes.
#include <cmath>
#include <cstdio>

#include <retinaface/layers/fused.hpp>
#include <retinaface/passes/describe.hpp>
#include <retinaface/passes/layout.hpp>
#include <retinaface/passes/run.hpp>
#include <retinaface/passes/trace.hpp>

using namespace retinaface;

class Small {
public:
    Small(const Weights& weights, Isa isa) {
        detail::Parameters parameters(weights, isa);
        const layers::Scope root = parameters.root();
        body_.load([&](std::size_t i) { return root["layer" + std::to_string(i)]; }, layers::kRelu);
        head_.load(root["head"], layers::kIdentity);
        parameters.finish().value();  // throws Error where a tensor is missing, of another shape or left over
    }
    template <class Pass>
    auto forward(Pass& pass) const {
        return pass(head_, pass(body_, pass.image()));
    }

private:
    layers::Fused<layers::Stem<3, 2, 8>, layers::Separable<8, 16>, layers::Separable<16, 32, 2>> body_;
    layers::Conv2d<32, 8, 1> head_;
};

int main() {
    std::vector<Tensor> tensors;
    const auto add = [&](const std::string& name, std::vector<std::int64_t> shape) {
        std::size_t size = 1;
        for (const std::int64_t side : shape) size *= static_cast<std::size_t>(side);
        Tensor tensor{name, Tensor::Dtype::f32, std::move(shape), std::vector<float>(size), {}};
        for (std::size_t i = 0; i < size; ++i) tensor.values[i] = 0.2f * std::sin(static_cast<float>(7 * i + tensors.size()));
        tensors.push_back(std::move(tensor));
    };
    const auto conv = [&](const std::string& name, int out, int in, int k) {
        add(name + ".weight", {out, in, k, k}), add(name + ".bias", {out});
    };
    conv("layer0", 8, 3, 3);
    conv("layer1.depthwise", 8, 1, 3), conv("layer1.pointwise", 16, 8, 1);
    conv("layer2.depthwise", 16, 1, 3), conv("layer2.pointwise", 32, 16, 1);
    conv("head", 8, 32, 1);
    const Small network(Weights::from_tensors({{"architecture", "small"}}, std::move(tensors)), resolved(Isa::automatic));

    const std::vector<std::uint8_t> rgb(3 * 61 * 45, 90);
    const layers::Pixels image{{rgb.data(), 61, 45}, 45, 61, {0, 0, 0}, false};
    for (const passes::Description& d : passes::describe(network, 61, 45))
        std::printf("%-18s %s\n", d.name.c_str(), d.kernel.c_str());

    std::vector<float> traced;  // one operation after the other, nothing fused
    passes::trace(network, image, [&](const std::string& name, const layers::Map& map) {
        if (name == "head.activation") traced.assign(map.data, map.data + map.size());
    });

    float difference = 0;
    for (const int threads : {1, 3}) {
        passes::Plan plan;
        passes::Layout layout(plan, 1, image.shape(), threads);
        const passes::Value out = network.forward(layout);
        layout.place();
        detail::AlignedArray<std::byte> arena(plan.size);
        detail::ThreadPool pool(threads);
        passes::Progress progress;
        passes::run(plan, image, arena.data(), {&pool, threads}, progress);
        const layers::Map found = plan.map(out.id, arena.data());
        for (std::size_t i = 0; i < found.size(); ++i) difference = std::max(difference, std::abs(found.data[i] - traced[i]));
    }
    std::printf("%zu outputs, planned and traced differ by %g\n", traced.size(), static_cast<double>(difference));
    return difference == 0 && !traced.empty() ? 0 : 1;
}
