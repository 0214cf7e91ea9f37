// The pass that explains: runs a network one operation after the other over whole maps and shows every intermediate value. Nothing is
// fused, split or placed in an arena, so what the planned pass makes can be held against it; with the reference kernels it is the
// network's definition. For tests: allocates, single-threaded, slow.
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <string>

#include "../detail/aligned_buffer.hpp"
#include "../layers/stem.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace passes {

/// Calls `visit(name, map)` for every value of a forward pass; the map is valid during the call. For a convolution named `X` in the
/// weights file (weights/README.md): `X.norm` is its output after the folded BatchNorm, `X.activation` that after the activation.
/// `fpn.pN.sum` is lateral plus upsampled, `context.pN` the concatenation, `head.pN.class`, `.box` and `.landmark` are the raw outputs.
template <class Visit>
class Trace {
public:
    /// A map with memory of its own, shared by copies.
    struct Value {
        layers::Shape shape;
        layers::Map map;
        std::shared_ptr<detail::AlignedBuffer> memory;
    };

    Trace(const layers::Pixels& image, Visit visit) : image_(image), visit_(visit) {}

    Value image() const { return {image_.shape(), {}, nullptr}; }

    template <class Layer>
    auto operator()(const Layer& layer, const Value& in) {
        if constexpr (Layer::kKind != layers::Kind::leaf)
            return layer.forward(*this, in);
        else
            return activated(sum(layer, in), layer.name(), layer.activation());
    }

    template <class Layer, std::size_t N>
    auto operator()(const Layer& layer, const std::array<Value, N>& in) {
        return layer.forward(*this, in);
    }

    template <class Layer>
    Value operator()(const Layer& layer, const Value& in, layers::Addition addition, const Value& other) {
        const std::string& name = layer.name();
        if (addition == layers::Addition::offsets) return activated(sum(layer, in, addition, other), name, layer.activation());
        Value value = sum(layer, in);
        if (addition == layers::Addition::residual) {
            value = added(value, other, 1, name + ".residual");
            return activated(value, name, layer.activation());
        }
        value = activated(value, name, layer.activation());
        return added(value, other, 2, name.substr(0, name.rfind('.')) + ".sum");
    }

    template <class Layer>
    std::array<Value, 2> pair(const Layer& layer, const Value& in) {
        const std::array<layers::Shape, 2> shapes = layer.outputs(in.shape);
        const std::array<Value, 2> sums{value(shapes[0]), value(shapes[1])};
        layers::Io io;
        io.in = in.map;
        io.out = sums[0].map;
        io.second = sums[1].map;
        compute(layer, in, io);
        return {activated(sums[0], layer.names()[0], layer.activations()[0]),
                activated(sums[1], layer.names()[1], layer.activations()[1])};
    }

    template <std::size_t N>
    Value concat(const std::array<Value, N>& parts, const std::string& name) {
        layers::Shape shape = parts[0].shape;
        shape.channels = 0;
        for (const Value& part : parts) shape.channels += part.shape.channels;
        const Value out = value(shape);
        int from = 0;
        for (const Value& part : parts) {
            for (int i = 0; i < shape.pixels(); ++i)
                std::copy_n(part.map.data + i * part.map.pitch, part.shape.channels, out.map.data + i * out.map.pitch + from);
            from += part.shape.channels;
        }
        visit_(name, out.map);
        return out;
    }

    template <class Head, std::size_t N>
    void outputs(const std::array<const Head*, N>& heads, const std::array<Value, N>& features) {
        for (std::size_t level = 0; level < N; ++level) {
            const Head& head = *heads[level];
            visit_(head.classes().name(), sum(head.classes(), features[level]).map);
            // The deltas are one product, padded: [box][landmark].
            const Value rows = sum(head.deltas(), features[level]);
            layers::Map part = rows.map;
            part.channels = Head::kLayout.box_size();
            visit_(head.box_name(), part);
            part.data += part.channels;
            part.channels = Head::kLayout.landmark_size();
            visit_(head.landmark_name(), part);
            if (head.mesh() != nullptr) visit_(head.mesh()->name(), sum(*head.mesh(), features[level]).map);
            if constexpr (Head::kLayout.dense_size() > 0) visit_(head.dense().name(), sum(head.dense(), features[level]).map);
        }
    }

private:
    static Value value(const layers::Shape& shape) {
        Value out{shape, {}, std::make_shared<detail::AlignedBuffer>(shape.size())};
        out.map = {out.memory->data(), shape};
        return out;
    }

    template <class Layer>
    void compute(const Layer& layer, const Value& in, layers::Io& io) const {
        io.image = &image_;
        io.activation = io.second_activation = layers::kIdentity;
        const layers::Work work = layer.work(in.shape);
        detail::AlignedBuffer scratch(work.scratch);
        layer.run(io, 0, work.units, scratch.data());
    }

    /// A leaf's output before its activation, and before what is added to it; offsets are no addend.
    template <class Layer>
    Value sum(const Layer& layer, const Value& in, layers::Addition addition = layers::Addition::none,
              const Value& other = {}) const {
        const Value out = value(layer.output(in.shape));
        layers::Io io;
        io.in = in.map;
        io.out = out.map;
        io.addition = addition;
        io.add = other.map;
        compute(layer, in, io);
        return out;
    }

    /// Shows `value` and what the activation makes of it, which it returns.
    Value activated(const Value& in, const std::string& name, layers::Activation activation) {
        visit_(name + ".norm", in.map);
        const Value out = value(in.shape);
        for (std::size_t i = 0; i < in.shape.size(); ++i)
            out.map.data[i] = std::max(in.map.data[i], in.map.data[i] * activation.slope);
        visit_(name + ".activation", out.map);
        return out;
    }

    /// Pixel (y, x) of `fine` plus pixel (y / factor, x / factor) of `coarse`.
    Value added(const Value& fine, const Value& coarse, int factor, const std::string& name) {
        const Value out = value(fine.shape);
        for (int y = 0; y < fine.shape.height; ++y)
            for (int x = 0; x < fine.shape.width; ++x)
                for (int c = 0; c < fine.shape.channels; ++c)
                    out.map.row(y)[x * out.map.pitch + c] =
                        fine.map.row(y)[x * fine.map.pitch + c] + coarse.map.row(y / factor)[x / factor * coarse.map.pitch + c];
        visit_(name, out.map);
        return out;
    }

    const layers::Pixels& image_;
    Visit visit_;
};

/// Traces a network with the kernels that it was loaded for.
template <class Network, class Visit>
void trace(const Network& network, const layers::Pixels& image, Visit visit) {
    Trace<Visit> pass(image, visit);
    network.forward(pass);
}

}  // namespace passes
RETINAFACE_END_NAMESPACE
