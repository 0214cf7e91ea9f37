// The pass that lists: name, kernel, shapes and cost of every operation of a network at an input size.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "../layers/fused.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace passes {

/// One operation.
struct Description {
    std::string name;    ///< as in the weights file; of a pair, both
    std::string kernel;  ///< that computes it
    layers::Shape in, out;
    int kernel_size = 1;
    int stride = 1;
    std::int64_t multiply_adds = 0;  ///< of the direct computation, for the whole map
    std::int64_t parameters = 0;
    int first_channels = 0;  ///< of a pair: channels of the first output; else 0
    bool upsampled = false;  ///< adds a coarser map
    bool streamed = false;   ///< runs depth first with its neighbours: input and output are rings of a few rows
    bool banded = false;     ///< its input is a band of rows that the operation before it left in the cache
    bool on_demand = false;  ///< only for the cells of faces; not part of the cost of a frame
};

class Describe {
public:
    struct Value {
        layers::Shape shape;
    };

    explicit Describe(const layers::Shape& image) : image_(image) {}

    const std::vector<Description>& list() const { return list_; }

    Value image() const { return {image_}; }

    template <class Layer>
    auto operator()(const Layer& layer, const Value& in) {
        if constexpr (Layer::kKind == layers::Kind::leaf)
            return leaf(layer, layer.name(), in);
        else
            return layer.forward(*this, in);
    }
    template <class... Layers>
    Value operator()(const layers::Fused<Layers...>& fused, const Value& in) {
        streamed_ = layers::Fused<Layers...>::kStreams;
        const Value out = fused.forward(*this, in);
        streamed_ = false;
        return out;
    }
    template <int Cin, int Cout, int Stride>
    Value operator()(const layers::Separable<Cin, Cout, Stride>& block, const Value& in) {
        const Value out = block.forward(*this, in);
        list_.back().banded = true;
        return out;
    }
    template <class Layer, std::size_t N>
    auto operator()(const Layer& layer, const std::array<Value, N>& in) {
        return layer.forward(*this, in);
    }

    template <class Layer>
    Value operator()(const Layer& layer, const Value& in, layers::Addition addition, const Value&) {
        const Value out = leaf(layer, layer.name(), in);
        list_.back().upsampled = addition == layers::Addition::upsampled;
        return out;
    }

    template <class Layer>
    std::array<Value, 2> pair(const Layer& layer, const Value& in) {
        const std::array<layers::Shape, 2> shapes = layer.outputs(in.shape);
        layers::Shape both = shapes[0];
        both.channels += shapes[1].channels;
        const std::string& second = layer.names()[1];
        add(layer, layer.names()[0] + "+" + second.substr(second.rfind('.') + 1), in, both);
        list_.back().first_channels = shapes[0].channels;
        return {{{shapes[0]}, {shapes[1]}}};
    }

    template <std::size_t N>
    Value concat(const std::array<Value, N>& parts, const std::string&) {
        Value whole = parts[0];
        whole.shape.channels = 0;
        for (const Value& part : parts) whole.shape.channels += part.shape.channels;
        return whole;
    }

    template <class Head, std::size_t N>
    void outputs(const std::array<const Head*, N>& heads, const std::array<Value, N>& features) {
        for (std::size_t level = 0; level < N; ++level) {
            leaf(heads[level]->classes(), heads[level]->classes().name(), features[level]);
            leaf(heads[level]->deltas(), heads[level]->box_name() + "+landmark", features[level]);
            list_.back().on_demand = true;
            if (heads[level]->mesh() != nullptr) {
                leaf(*heads[level]->mesh(), heads[level]->mesh()->name(), features[level]);
                list_.back().on_demand = true;
            }
            if constexpr (Head::kLayout.dense_size() > 0) {
                leaf(heads[level]->dense(), heads[level]->dense().name(), features[level]);
                list_.back().on_demand = true;
            }
        }
    }

private:
    template <class Layer>
    Value leaf(const Layer& layer, const std::string& name, const Value& in) {
        return add(layer, name, in, layer.output(in.shape));
    }

    template <class Layer>
    Value add(const Layer& layer, const std::string& name, const Value& in, const layers::Shape& out) {
        const layers::Cost cost = layer.cost();
        Description d;
        d.name = name;
        d.kernel = Layer::kKernel;
        d.in = in.shape;
        d.out = out;
        d.kernel_size = cost.kernel_size;
        d.stride = cost.stride;
        d.multiply_adds = cost.multiply_adds * out.pixels();
        d.parameters = cost.parameters;
        d.streamed = streamed_;
        list_.push_back(d);
        return {out};
    }

    layers::Shape image_;
    std::vector<Description> list_;
    bool streamed_ = false;
};

/// The operations of a network for an input of `width` x `height`, in the order in which they run.
template <class Network>
std::vector<Description> describe(const Network& network, int width, int height) {
    Describe pass({height, width, 3});
    network.forward(pass);
    return pass.list();
}

}  // namespace passes
RETINAFACE_END_NAMESPACE
