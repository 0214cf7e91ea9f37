// The pass that lays a network out: records its operations and shapes, then gives every value a place in the arena. Values whose lives do
// not overlap share memory.
#pragma once

#include <algorithm>
#include <string>

#include "../detail/aligned_buffer.hpp"
#include "plan.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace passes {

class Layout {
public:
    using Value = passes::Value;

    /// Starts a plan anew. With several threads an operation may begin while those up to kReach - 1 before it are still at work.
    Layout(Plan& plan, std::uint64_t network, const Shape& image, int threads) : plan_(plan) {
        plan.network = network;
        plan.image = image;
        plan.threads = threads;
        plan.slots.clear();
        plan.operations.clear();
        plan.chunks.clear();
        plan.logits = -1;
        add_value({image.height, image.width, 0});
    }

    Value image() const { return {0, plan_.image}; }

    /// Applies a layer or a module.
    template <class Layer>
    auto operator()(const Layer& layer, const Value& in) {
        if constexpr (Layer::kKind == layers::Kind::module) {
            return layer.forward(*this, in);
        } else {
            const Value out = add_value(layer.output(in.shape));
            Plan::Operation& operation = add_operation(layer, in, out);
            if constexpr (Layer::kKind == layers::Kind::leaf) operation.activations[0] = layer.activation();
            return out;
        }
    }

    /// Applies a module to several values.
    template <class Layer, std::size_t N>
    auto operator()(const Layer& layer, const std::array<Value, N>& in) {
        return layer.forward(*this, in);
    }

    /// Applies a layer and adds another map to its result.
    template <class Layer>
    Value operator()(const Layer& layer, const Value& in, layers::Addition addition, const Value& other) {
        const Value out = add_value(layer.output(in.shape));
        Plan::Operation& operation = add_operation(layer, in, out);
        operation.activations[0] = layer.activation();
        operation.add = other.id;
        operation.addition = addition;
        keep(other.id, static_cast<int>(plan_.operations.size()) - 1);
        if (addition == layers::Addition::residual) operation.in_place = Layer::kAddsInPlace;
        return out;
    }

    /// Applies a layer of two outputs.
    template <class Layer>
    std::array<Value, 2> pair(const Layer& layer, const Value& in) {
        const std::array<Shape, 2> shapes = layer.outputs(in.shape);
        const std::array<Value, 2> out{add_value(shapes[0]), add_value(shapes[1])};
        Plan::Operation& operation = add_operation(layer, in, out[0]);
        operation.out[1] = out[1].id;
        for (std::size_t i = 0; i < 2; ++i) operation.activations[i] = layer.activations()[i];
        return out;
    }

    /// One map of the channels of several, in order: they are made in place.
    template <std::size_t N>
    Value concat(const std::array<Value, N>& parts, const std::string&) {
        Shape shape = parts[0].shape;
        shape.channels = 0;
        for (const Value& part : parts) shape.channels += part.shape.channels;
        const Value whole = add_value(shape);
        std::size_t first = 0;
        for (const Value& part : parts) {
            place_in(whole, part, first, shape.channels);
            first += static_cast<std::size_t>(part.shape.channels);
        }
        return whole;
    }

    /// The heads of every level: class logits of every cell, level by level; features are kept for the outputs that are made on demand.
    template <class Head, std::size_t N>
    void outputs(const std::array<const Head*, N>& heads, const std::array<Value, N>& features) {
        static_assert(N <= kMostLevels, "more levels than a plan holds");
        int cells = 0;
        for (const Value& level : features) cells += level.shape.pixels();
        const Value logits = add_value({1, cells, Head::kLayout.class_size()});
        plan_.logits = logits.id;
        std::size_t first = 0;
        for (std::size_t level = 0; level < N; ++level) {
            const Value part = (*this)(heads[level]->classes(), features[level]);
            place_in(logits, part, first, part.shape.channels);
            first += part.shape.size();
            plan_.features[level] = features[level].id;
        }
        const int end = static_cast<int>(plan_.operations.size());
        for (const Value& level : features) keep(level.id, end);
        keep(logits.id, end);
    }

    /// Finishes the plan.
    void place() {
        for (std::size_t k = 0; k < plan_.operations.size(); ++k) take_place(plan_.operations[k], static_cast<int>(k));
        for (const Plan::Slot& part : plan_.slots) {
            if (part.parent < 0) continue;
            Plan::Slot& whole = plan_.slot(part.parent);
            whole.birth = std::min(whole.birth, part.birth);
            whole.death = std::max(whole.death, part.death);
        }
        const std::size_t values = place_values();
        plan_.scratch = 0;
        for (const Plan::Operation& operation : plan_.operations)
            plan_.scratch = std::max(plan_.scratch, detail::aligned(operation.work.scratch * sizeof(float)));
        plan_.scratch_offset = values;
        plan_.size = values + plan_.scratch * static_cast<std::size_t>(plan_.threads);
        if (plan_.threads > 1) make_chunks();
    }

private:
    /// Operations that may be at work at one time: what the last kReach - 1 wrote or read is not written to.
    static constexpr int kReach = 3;

    int reach() const { return plan_.threads > 1 ? kReach : 1; }

    Value add_value(const Shape& shape) {
        Plan::Slot slot;
        slot.shape = shape;
        slot.pitch = shape.channels;
        slot.birth = slot.death = static_cast<int>(plan_.operations.size());
        plan_.slots.push_back(slot);
        return {static_cast<int>(plan_.slots.size()) - 1, shape};
    }

    template <class Layer>
    Plan::Operation& add_operation(const Layer& layer, const Value& in, const Value& out) {
        Plan::Operation operation{};
        operation.run = [](const void* self, const layers::Io& io, int begin, int end, float* scratch) {
            static_cast<const Layer*>(self)->run(io, begin, end, scratch);
        };
        operation.made = [](const Shape& shape, int begin, int end) { return Layer::made(shape, begin, end); };
        operation.needed = [](layers::Rows made) { return Layer::needed(made); };
        operation.layer = &layer;
        operation.in = in.id;
        operation.out[0] = out.id;
        operation.out[1] = -1;
        operation.add = -1;
        operation.work = layer.work(in.shape);
        keep(in.id, static_cast<int>(plan_.operations.size()));
        plan_.operations.push_back(operation);
        return plan_.operations.back();
    }

    /// An operation reads a value.
    void keep(int value, int operation) { plan_.slot(value).death = std::max(plan_.slot(value).death, operation); }

    void place_in(const Value& whole, const Value& part, std::size_t first, int pitch) {
        Plan::Slot& slot = plan_.slot(part.id);
        slot.parent = whole.id;
        slot.first = first;
        slot.pitch = pitch;
    }

    /// A sum that can be made where one of its terms lies is, if nobody reads that term after it: a large map less to fetch and to write back.
    /// The term's other readers are done before: see make_chunks().
    void take_place(const Plan::Operation& operation, int k) {
        if (!operation.in_place) return;
        Plan::Slot &sum = plan_.slot(operation.out[0]), &term = plan_.slot(operation.add);
        const bool part = term.parent >= 0 && plan_.slot(term.parent).shape.size() != term.shape.size();
        if (sum.parent >= 0 || part || term.death != k) return;
        sum.parent = term.parent >= 0 ? term.parent : operation.add;
    }
    bool takes_place(const Plan::Operation& operation) const {
        return operation.in_place && plan_.slot(operation.out[0]).offset == plan_.slot(operation.add).offset;
    }

    /// Largest first, each at the lowest place that is free for all of its life. Returns bytes.
    std::size_t place_values() {
        plan_.order_.clear();
        for (int i = 1; i < static_cast<int>(plan_.slots.size()); ++i)
            if (plan_.slot(i).parent < 0) plan_.order_.push_back(i);
        const auto bytes = [&](int i) { return detail::aligned(plan_.slot(i).shape.size() * sizeof(float)); };
        std::sort(plan_.order_.begin(), plan_.order_.end(),
                  [&](int a, int b) { return bytes(a) != bytes(b) ? bytes(a) > bytes(b) : a < b; });
        std::size_t size = 0;
        for (std::size_t k = 0; k < plan_.order_.size(); ++k) {
            Plan::Slot& slot = plan_.slot(plan_.order_[k]);
            const std::size_t needed = bytes(plan_.order_[k]);
            plan_.taken_.clear();
            for (std::size_t j = 0; j < k; ++j) {
                const Plan::Slot& other = plan_.slot(plan_.order_[j]);
                const int slack = reach() - 1;
                if (other.birth > slot.death + slack || slot.birth > other.death + slack) continue;
                plan_.taken_.push_back({other.offset, other.offset + bytes(plan_.order_[j])});
            }
            std::sort(plan_.taken_.begin(), plan_.taken_.end(),
                      [](const Plan::Range& a, const Plan::Range& b) { return a.begin < b.begin; });
            std::size_t offset = 0;
            for (const Plan::Range& range : plan_.taken_) {
                if (range.begin >= offset + needed) break;
                offset = std::max(offset, range.end);
            }
            slot.offset = offset;
            size = std::max(size, offset + needed);
        }
        for (Plan::Slot& slot : plan_.slots)
            if (slot.parent >= 0) slot.offset = plan_.slot(slot.parent).offset + slot.first * sizeof(float);
        return size;
    }

    void make_chunks() {
        plan_.first_chunk_.clear();
        for (std::size_t k = 0; k < plan_.operations.size(); ++k) {
            const Plan::Operation& operation = plan_.operations[k];
            plan_.first_chunk_.push_back(static_cast<int>(plan_.chunks.size()));
            const layers::Work& work = operation.work;
            const int grains = (work.units + work.grain - 1) / work.grain;
            const int wanted = work.seams ? plan_.threads : kChunksAThread * plan_.threads;
            const int count = std::min(grains, wanted);
            int after = k + 1 < static_cast<std::size_t>(kReach) ? 0 : plan_.first_chunk_[k + 1 - kReach];
            if (takes_place(operation))
                for (std::size_t j = 0; j < k; ++j)
                    if (plan_.operations[j].in == operation.add || plan_.operations[j].add == operation.add)
                        after = std::max(after, plan_.first_chunk_[j + 1]);
            for (int i = 0; i < count; ++i) {
                const auto edge = [&](int at) {
                    return std::min(work.units, static_cast<int>(std::int64_t{grains} * at / count) * work.grain);
                };
                Plan::Chunk chunk{static_cast<int>(k), edge(i), edge(i + 1), after, {{0, 0}, {0, 0}}};
                const layers::Rows made = operation.made(plan_.slot(operation.in).shape, chunk.begin, chunk.end);
                chunk.inputs[0] = chunks_of(operation.in, operation.needed(made), static_cast<int>(k));
                if (operation.add >= 0) {
                    const bool same = operation.addition != layers::Addition::upsampled;
                    const layers::Rows rows = same ? made : layers::Rows{made.begin / 2, (made.end - 1) / 2 + 1};
                    chunk.inputs[1] = chunks_of(operation.add, rows, static_cast<int>(k));
                }
                plan_.chunks.push_back(chunk);
            }
        }
    }

    /// The chunks that make rows of a value, if an operation within reach of operation k makes it.
    layers::Rows chunks_of(int value, layers::Rows rows, int k) const {
        layers::Rows chunks{0, 0};
        for (int j = std::max(0, k + 1 - kReach); j < k; ++j) {
            const Plan::Operation& maker = plan_.operations[static_cast<std::size_t>(j)];
            if (!makes(maker, value)) continue;
            const int begin = plan_.first_chunk_[static_cast<std::size_t>(j)];
            const int end = plan_.first_chunk_[static_cast<std::size_t>(j) + 1];
            for (int c = begin; c < end; ++c) {
                const Plan::Chunk& chunk = plan_.chunks[static_cast<std::size_t>(c)];
                const layers::Rows made = maker.made(plan_.slot(maker.in).shape, chunk.begin, chunk.end);
                if (made.end <= rows.begin || made.begin >= rows.end) continue;
                if (chunks.begin == chunks.end) chunks.begin = c;
                chunks.end = c + 1;
            }
        }
        return chunks;
    }
    bool makes(const Plan::Operation& operation, int value) const {
        for (const int out : operation.out)
            if (out >= 0 && (out == value || plan_.slot(out).parent == value)) return true;
        return false;
    }

    static constexpr int kChunksAThread = 2;

    Plan& plan_;
};

}  // namespace passes
RETINAFACE_END_NAMESPACE
