// Layers one after the other, each over the whole map.
#pragma once

#include <array>
#include <tuple>

#include "layer.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace layers {

template <class... Layers>
class Sequence {
protected:
    static constexpr std::size_t kLayers = sizeof...(Layers);
    template <std::size_t I>
    using Layer = std::tuple_element_t<I, std::tuple<Layers...>>;

private:
    template <std::size_t... I>
    static constexpr bool channels_match(std::index_sequence<I...>) {
        return ((Layer<I>::kChannelsOut == Layer<I + 1>::kChannelsIn) && ...);
    }
    static_assert(channels_match(std::make_index_sequence<kLayers - 1>{}),
                  "a layer's input has the channels of the output before it");

public:
    static constexpr Kind kKind = Kind::module;
    static constexpr int kChannelsIn = Layer<0>::kChannelsIn;
    static constexpr int kChannelsOut = Layer<kLayers - 1>::kChannelsOut;
    static constexpr int kStride = (Layers::kStride * ...);

    /// `scope(i)` is the scope of layer i's tensors.
    template <class ScopeOf>
    auto load(ScopeOf scope, Activation activation) -> decltype(scope(std::size_t{}), void()) {
        std::size_t i = 0;
        std::apply([&](auto&... layer) { (layer.load(scope(i++), activation), ...); }, layers_);
    }

    template <class Pass, class Value>
    auto forward(Pass& pass, Value in) const {
        return apply_from<0>(pass, in);
    }

private:
    template <std::size_t I, class Pass, class Value>
    auto apply_from(Pass& pass, Value in) const {
        if constexpr (I == kLayers)
            return in;
        else
            return apply_from<I + 1>(pass, pass(std::get<I>(layers_), in));
    }

protected:
    std::tuple<Layers...> layers_;
};

/// The same layer N times over, compiled once.
template <int N, class Layer>
class Repeat {
    static_assert(N >= 1 && Layer::kChannelsIn == Layer::kChannelsOut,
                  "a layer's input has the channels of the output before it");

public:
    static constexpr Kind kKind = Kind::module;
    static constexpr int kChannelsIn = Layer::kChannelsIn;
    static constexpr int kChannelsOut = Layer::kChannelsOut;

    /// `scope(i)` is the scope of layer i's tensors.
    template <class ScopeOf>
    void load(ScopeOf scope, Activation activation) {
        for (std::size_t i = 0; i < N; ++i) layers_[i].load(scope(i), activation);
    }

    template <class Pass, class Value>
    Value forward(Pass& pass, Value in) const {
        for (const Layer& layer : layers_) in = pass(layer, in);
        return in;
    }

private:
    std::array<Layer, std::size_t{N}> layers_;
};

}  // namespace layers
RETINAFACE_END_NAMESPACE
