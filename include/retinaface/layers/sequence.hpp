// Running layers over whole maps: each is split over threads by bands of rows.
#pragma once

#include "../detail/parallel.hpp"
#include "fused.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace layers {

/// What a pass runs with: kernels, threads, activation, and a piece of scratch a band.
struct Context {
    const KernelTable& table;
    const detail::Parallel& parallel;
    float slope;
    float* scratch;
    std::size_t scratch_size;  ///< floats a band

    float* band_scratch(int band) const noexcept { return scratch + static_cast<std::size_t>(band) * scratch_size; }
};

/// Makes the whole of `out` by bands of rows.
template <class Input, class... Layers>
void run(const Context& context, const Fused<Layers...>& fused, const Input& input, const Map& out) {
    context.parallel.bands(out.height, 1, [&](int begin, int end, int band) {
        fused.rows(context.table, input, out, begin, end, context.slope, context.band_scratch(band));
    });
}

/// Layers one after the other, each over the whole map.
template <class... Layers>
class Sequence {
    using Tuple = std::tuple<Fused<Layers>...>;
    static constexpr std::size_t kLayers = sizeof...(Layers);

public:
    static constexpr int kChannelsOut = std::tuple_element_t<kLayers - 1, std::tuple<Layers...>>::kChannelsOut;
    static constexpr int kStride = (Layers::kStride * ...);

    /// `name(i)` is the name of layer i's tensors.
    template <class Name>
    void load(Parameters& parameters, Name name, const KernelTable& table) {
        std::size_t i = 0;
        const auto load_one = [&](auto& fused) {
            fused.load(parameters, [&](std::size_t) { return name(i); }, table);
            ++i;
        };
        std::apply([&](auto&... fused) { (load_one(fused), ...); }, layers_);
    }

    template <std::size_t I>
    const auto& layer() const {
        return std::get<I>(layers_).template layer<0>();
    }

    /// Floats of scratch a band that run() needs for an input of this size.
    std::size_t scratch(const KernelTable& table, Map in) const {
        std::size_t most = 0;
        const auto visit = [&](const auto& fused) {
            most = std::max(most, fused.scratch(table, MapRows{in}));
            in = output(fused, in);
        };
        std::apply([&](const auto&... fused) { (visit(fused), ...); }, layers_);
        return most;
    }

    /// Runs the layers; maps alternate between two buffers so that the result lies in `last`.
    Map run(const Context& context, Map in, float* last, float* other) const {
        float* buffers[2] = {kLayers % 2 == 1 ? last : other, kLayers % 2 == 1 ? other : last};
        std::size_t i = 0;
        const auto visit = [&](const auto& fused) {
            Map out = output(fused, in);
            out.data = buffers[i++ % 2];
            layers::run(context, fused, MapRows{in}, out);
            in = out;
        };
        std::apply([&](const auto&... fused) { (visit(fused), ...); }, layers_);
        return in;
    }

private:
    template <class Layer>
    static Map output(const Fused<Layer>&, const Map& in) {
        return {nullptr, strided(in.height, Layer::kStride), strided(in.width, Layer::kStride), Layer::kChannelsOut};
    }

    Tuple layers_;
};

}  // namespace layers
RETINAFACE_END_NAMESPACE
