// The reference executor: runs a network one operation after the other over whole maps and shows every intermediate value. Nothing is
// fused, banded or kept in rings, so what the planned executor makes can be held against it; with the reference kernels it is the
// network's definition. For tests: allocates, single-threaded, slow.
#pragma once

#include <string>
#include <vector>

#include "../models/retinaface.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace detail {

/// Calls `visit(name, map)` for every value of a forward pass; the map is valid during the call. For a convolution named `X` in the
/// weights file (weights/README.md): `X.norm` is its output behind the folded BatchNorm, `X.activation` that behind the activation.
/// `fpn.pN.sum` is lateral plus upsampled, `context.pN` the concatenation behind its ReLU, `head.pN.class`, `.box` and `.landmark` are
/// the raw outputs.
template <class Visit>
class Trace {
    using Map = layers::Map;
    using KernelTable = kernels::KernelTable;

    /// A map with memory of its own.
    struct Value {
        AlignedBuffer buffer;
        Map map;

        Value(int height, int width, int channels) : map{nullptr, height, width, channels} {
            buffer.reserve(map.size());
            map.data = buffer.data();
        }
    };

public:
    Trace(const KernelTable& table, float slope, Visit visit) : table_(table), slope_(slope), visit_(visit) {}

    template <class Backbone>
    void run(const models::RetinaFace<Backbone>& network, const layers::Pixels& input) {
        const Value c3 = stem_and_blocks(network.stage1(), input, Backbone::kFirstBlock[0]);
        const Value c4 = blocks(network.stage2(), c3, Backbone::kFirstBlock[1]);
        const Value c5 = blocks(network.stage3(), c4, Backbone::kFirstBlock[2]);

        const auto& pyramid = network.pyramid();
        const Value p5 = pointwise(pyramid.lateral5(), c5, "fpn.p5.lateral");
        const Value sum4 = upsample_add(pointwise(pyramid.lateral4(), c4, "fpn.p4.lateral"), p5, "fpn.p4.sum");
        const Value p4 = merge(pyramid.merge4(), sum4, "fpn.p4.merge");
        const Value sum3 = upsample_add(pointwise(pyramid.lateral3(), c3, "fpn.p3.lateral"), p4, "fpn.p3.sum");
        const Value p3 = merge(pyramid.merge3(), sum3, "fpn.p3.merge");

        const Value* const levels[kLevels] = {&p3, &p4, &p5};
        for (int level = 0; level < kLevels; ++level) {
            const std::string p = ".p" + std::to_string(3 + level);
            const Value features = context(network.context(level), *levels[level], "context" + p);
            heads(network.heads(level), features, "head" + p);
        }
    }

private:
    /// Shows `value` and what the activation makes of it, which it returns.
    Value activated(const Value& value, const std::string& name, float slope) {
        visit_(name + ".norm", value.map);
        Value out(value.map.height, value.map.width, value.map.channels);
        for (std::size_t i = 0; i < value.map.size(); ++i) out.map.data[i] = std::max(value.map.data[i], value.map.data[i] * slope);
        visit_(name + ".activation", out.map);
        return out;
    }

    template <int Cout, int K, int Stride>
    Value stem(const layers::Conv2d<3, Cout, K, Stride>& conv, const layers::Pixels& input) {
        Value out(layers::strided(input.height, Stride), layers::strided(input.width, Stride), Cout);
        const std::size_t row_size = table_.stem_row_size(input.width, K, Stride);
        std::vector<AlignedBuffer> staged(K);
        for (AlignedBuffer& row : staged) row.reserve(row_size);
        for (int y = 0; y < out.map.height; ++y) {
            const float* rows[K];
            for (int k = 0; k < K; ++k) {
                input.load_row(table_, y * Stride + k - K / 2, K, Stride, staged[static_cast<std::size_t>(k)].data());
                rows[k] = staged[static_cast<std::size_t>(k)].data();
            }
            conv.row(table_, input, rows, 1.0f, out.map.row(y));
        }
        return out;
    }

    template <int Cin, int Cout, int Stride>
    Value separable(const layers::Separable<Cin, Cout, Stride>& layer, const Value& in, const std::string& name) {
        Value out(layers::strided(in.map.height, Stride), layers::strided(in.map.width, Stride), Cin);
        const std::vector<float> zeros(static_cast<std::size_t>(in.map.row_size()));
        const auto row = [&](int y) -> const float* { return y < 0 || y >= in.map.height ? zeros.data() : in.map.row(y); };
        for (int y = 0; y < out.map.height; ++y) layer.depthwise().rows(table_, row, in.map.width, y, y + 1, 1.0f, out.map.row(y));
        return pointwise(layer.pointwise(), activated(out, name + ".depthwise", slope_), name + ".pointwise");
    }

    template <int Cin, int Cout>
    Value pointwise(const layers::PointwiseConv2d<Cin, Cout>& conv, const Value& in, const std::string& name) {
        Value out(in.map.height, in.map.width, Cout);
        conv.pixels(table_, in.map.data, in.map.pixels(), 1.0f, out.map.data);
        return activated(out, name, slope_);
    }

    template <class First, class... Layers>
    Value stem_and_blocks(const layers::Fused<First, Layers...>& stage, const layers::Pixels& input, int first_block) {
        Value value = activated(stem(stage.template layer<0>(), input), "backbone.conv0", slope_);
        each_block(stage, value, first_block, std::make_index_sequence<sizeof...(Layers)>{}, std::integral_constant<std::size_t, 1>{});
        return value;
    }

    template <class... Layers>
    Value blocks(const layers::Sequence<Layers...>& stage, const Value& in, int first_block) {
        Value value(in.map.height, in.map.width, in.map.channels);
        std::copy_n(in.map.data, in.map.size(), value.map.data);
        each_block(stage, value, first_block, std::make_index_sequence<sizeof...(Layers)>{}, std::integral_constant<std::size_t, 0>{});
        return value;
    }

    template <class Stage, std::size_t... I, std::size_t First>
    void each_block(const Stage& stage, Value& value, int first_block, std::index_sequence<I...>, std::integral_constant<std::size_t, First>) {
        const auto name = [&](std::size_t i) { return "backbone.block" + std::to_string(first_block + static_cast<int>(i)); };
        ((value = separable(stage.template layer<First + I>(), value, name(I))), ...);
    }

    Value upsample_add(const Value& fine, const Value& coarse, const std::string& name) {
        Value out(fine.map.height, fine.map.width, fine.map.channels);
        for (int y = 0; y < fine.map.height; ++y)
            for (int x = 0; x < fine.map.width; ++x)
                for (int c = 0; c < fine.map.channels; ++c)
                    out.map.row(y)[x * fine.map.channels + c] =
                        fine.map.row(y)[x * fine.map.channels + c] + coarse.map.row(y / 2)[x / 2 * fine.map.channels + c];
        visit_(name, out.map);
        return out;
    }

    /// A 3 x 3 convolution without activation into one or two maps.
    template <class Conv>
    void convolve(const Conv& conv, const Map& in, Value& first, Value* second) {
        AlignedBuffer scratch(Conv::scratch(table_));
        const auto sink = [](const Map& map) { return kernels::Sink{map.data, map.channels, map.channels, 1.0f}; };
        conv.tiles(table_, in, sink(first.map), second == nullptr ? kernels::Sink{} : sink(second->map), 0,
                   kernels::conv3x3_tiles(in.height, in.width), scratch.data());
    }

    template <class Conv>
    Value merge(const Conv& conv, const Value& in, const std::string& name) {
        Value out(in.map.height, in.map.width, Conv::kChannelsOut);
        convolve(conv, in.map, out, nullptr);
        return activated(out, name, slope_);
    }

    template <int C>
    Value context(const models::ContextModule<C>& module, const Value& in, const std::string& name) {
        const auto value = [&](int channels) { return Value(in.map.height, in.map.width, channels); };
        Value a = value(C / 2), b = value(C / 4), c = value(C / 4), d = value(C / 4), e = value(C / 4);
        convolve(module.conv3_conv5_1(), in.map, a, &b);
        visit_(name + ".conv3.norm", a.map);
        convolve(module.conv5_2_conv7_2(), activated(b, name + ".conv5_1", slope_).map, c, &d);
        visit_(name + ".conv5_2.norm", c.map);
        convolve(module.conv7_3(), activated(d, name + ".conv7_2", slope_).map, e, nullptr);
        visit_(name + ".conv7_3.norm", e.map);

        Value out = value(C);
        int from = 0;
        for (const Value* part : {&a, &c, &e}) {
            for (int i = 0; i < in.map.pixels(); ++i)
                for (int k = 0; k < part->map.channels; ++k)
                    out.map.data[i * C + from + k] = std::max(part->map.data[i * part->map.channels + k], 0.0f);
            from += part->map.channels;
        }
        visit_(name, out.map);
        return out;
    }

    template <int C>
    void heads(const models::Heads<C>& heads, const Value& in, const std::string& name) {
        const Value logits(in.map.height, in.map.width, 4), box(in.map.height, in.map.width, 8), landmark(in.map.height, in.map.width, 20);
        heads.logits(table_, in.map.data, in.map.pixels(), logits.map.data);
        std::vector<models::Regression> regressions(static_cast<std::size_t>(in.map.pixels()));
        heads.regression(table_, in.map.data, in.map.pixels(), regressions.data());
        for (int i = 0; i < in.map.pixels(); ++i) {
            const models::Regression& cell = regressions[static_cast<std::size_t>(i)];
            std::copy_n(cell.box[0], 8, box.map.data + 8 * i);
            std::copy_n(cell.landmark[0], 20, landmark.map.data + 20 * i);
        }
        visit_(name + ".class", logits.map);
        visit_(name + ".box", box.map);
        visit_(name + ".landmark", landmark.map);
    }

    const KernelTable& table_;
    float slope_;
    Visit visit_;
};

/// Traces `network` with the kernels and the profile it was loaded for.
template <class Backbone, class Visit>
void trace(const models::RetinaFace<Backbone>& network, const layers::Pixels& input, Visit visit) {
    Trace<Visit>(network.table(), network.profile().slope, visit).run(network, input);
}

}  // namespace detail
RETINAFACE_END_NAMESPACE
