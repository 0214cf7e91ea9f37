// Fused: several layers as one pass, depth first. A call for rows of the last layer pulls the rows it needs from the layer before,
// and so on down to the input; every layer keeps only the rows its consumer still needs, in a ring. The values are those of the
// layer-by-layer computation, whatever the bands.
#pragma once

#include <array>
#include <tuple>

#include "pixels.hpp"
#include "separable.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace layers {

/// Input of a pass: a map, as rows.
struct MapRows {
    Map map;
};

template <class... Layers>
class Fused {
    static constexpr std::size_t kLayers = sizeof...(Layers);
    template <std::size_t I>
    using Layer = std::tuple_element_t<I, std::tuple<Layers...>>;

    template <std::size_t... I>
    static constexpr bool channels_match(std::index_sequence<I...>) {
        return ((Layer<I>::kChannelsOut == Layer<I + 1>::kChannelsIn) && ...);
    }
    static_assert(channels_match(std::make_index_sequence<kLayers - 1>{}), "a layer's input has the channels of the output before it");

public:
    static constexpr int kChannelsOut = Layer<kLayers - 1>::kChannelsOut;
    static constexpr int kStride = (Layers::kStride * ...);

    /// `name(i)` is the name of layer i's tensors.
    template <class Name>
    void load(Parameters& parameters, Name name, const KernelTable& table) {
        std::size_t i = 0;
        std::apply([&](auto&... layer) { (layer.load(parameters, name(i++), table), ...); }, layers_);
    }

    template <std::size_t I>
    const Layer<I>& layer() const {
        return std::get<I>(layers_);
    }

    /// Floats of scratch that one call of rows() needs for this input.
    template <class Input>
    std::size_t scratch(const KernelTable& table, const Input& input) const {
        Pass<Input> pass(*this, input);
        return pass.layout(table, nullptr);
    }

    /// Makes rows [begin, end) of the last layer's map `out`.
    template <class Input>
    void rows(const KernelTable& table, const Input& input, const Map& out, int begin, int end, float slope, float* scratch) const {
        Pass<Input> pass(*this, input);
        pass.layout(table, scratch);
        pass.run(table, out, begin, end, slope);
    }

private:
    /// Rows of one layer's output that are still needed.
    struct Ring {
        float* data = nullptr;
        std::ptrdiff_t row_size = 0;
        int height = 0;
        int width = 0;
        int capacity = 0;  ///< rows; a multiple of `band`
        int band = 1;      ///< rows made at a time
        int first = 0;     ///< first row of this pass
        int next = 0;      ///< first row not made yet
        int end = 0;       ///< behind the last row of this pass

        float* row(int y) const noexcept { return data + ((y - first) % capacity) * row_size; }
    };

    template <class Input>
    struct Pass {
        const Fused& fused;
        const Input& input;
        std::array<Ring, kLayers> rings{};
        Ring pixels{};           ///< staged rows, where the input is an image
        const float* zeros = nullptr;
        float* scratch = nullptr;
        const KernelTable* table = nullptr;
        float slope = 0;

        static constexpr bool kFromPixels = std::is_same_v<Input, Pixels>;

        Pass(const Fused& fused_, const Input& input_) : fused(fused_), input(input_) { sizes(std::make_index_sequence<kLayers>{}); }

        template <std::size_t... I>
        void sizes(std::index_sequence<I...>) {
            int height, width;
            if constexpr (kFromPixels) {
                height = input.height;
                width = input.width;
            } else {
                height = input.map.height;
                width = input.map.width;
            }
            (size<I>(height, width), ...);
        }

        template <std::size_t I>
        void size(int& height, int& width) {
            Ring& ring = rings[I];
            ring.height = height = strided(height, Layer<I>::kStride);
            ring.width = width = strided(width, Layer<I>::kStride);
            ring.row_size = static_cast<std::ptrdiff_t>(width) * Layer<I>::kChannelsOut;
            if constexpr (kFromPixels && I == 0)
                ring.band = 1;
            else
                ring.band = Layer<I>::band_rows(width);
        }

        /// Places rings and scratch behind `base` (which may be null: only the size is wanted).
        std::size_t layout(const KernelTable& kernels, float* base) {
            detail::ArenaLayout arena;
            std::size_t longest = 0;
            const auto place = [&](std::size_t count) {
                const std::size_t offset = arena.take(count);
                return base == nullptr ? nullptr : base + offset;
            };
            if constexpr (kFromPixels) {
                pixels.row_size = static_cast<std::ptrdiff_t>(kernels.stem_row_size(input.width, Layer<0>::kKernel, Layer<0>::kStride));
                pixels.capacity = Layer<0>::kKernel;
                pixels.data = place(static_cast<std::size_t>(pixels.row_size) * static_cast<std::size_t>(pixels.capacity));
            } else {
                longest = static_cast<std::size_t>(input.map.row_size());
            }
            rings_layout(place, longest, std::make_index_sequence<kLayers>{});
            float* z = place(longest);
            if (z != nullptr) std::memset(z, 0, longest * sizeof(float));
            zeros = z;
            scratch = place(scratch_size(std::make_index_sequence<kLayers>{}));
            return arena.size();
        }

        template <class Place, std::size_t... I>
        void rings_layout(Place& place, std::size_t& longest, std::index_sequence<I...>) {
            (ring_layout<I>(place, longest), ...);
        }

        template <std::size_t I, class Place>
        void ring_layout(Place& place, std::size_t& longest) {
            if constexpr (I + 1 < kLayers) {  // the last layer writes to its map
                Ring& ring = rings[I];
                const int live = (rings[I + 1].band - 1) * Layer<I + 1>::kStride + 2 * Layer<I + 1>::kRadius + 1 + ring.band - 1;
                ring.capacity = (live + ring.band - 1) / ring.band * ring.band;
                ring.data = place(static_cast<std::size_t>(ring.row_size) * static_cast<std::size_t>(ring.capacity));
                longest = std::max(longest, static_cast<std::size_t>(ring.row_size));
            }
        }

        template <std::size_t... I>
        std::size_t scratch_size(std::index_sequence<I...>) const {
            std::size_t most = 0;
            ((most = std::max(most, layer_scratch<I>())), ...);
            return most;
        }
        template <std::size_t I>
        std::size_t layer_scratch() const {
            if constexpr (kFromPixels && I == 0)
                return 0;
            else
                return Layer<I>::scratch(rings[I].width);
        }

        void run(const KernelTable& table_, const Map& out, int begin, int end, float slope_) {
            table = &table_;
            slope = slope_;
            Ring& last = rings[kLayers - 1];
            last.data = out.row(begin);
            last.capacity = last.height;
            last.first = last.next = begin;
            last.end = end;
            ranges(std::make_index_sequence<kLayers - 1>{});
            if constexpr (kFromPixels) pixels.first = pixels.next = rings[0].first * Layer<0>::kStride - Layer<0>::kRadius;
            make<kLayers - 1>(end);
        }

        /// Which rows of every layer the last one's rows need.
        template <std::size_t... I>
        void ranges(std::index_sequence<I...>) {
            (range<kLayers - 2 - I>(), ...);
        }
        template <std::size_t I>
        void range() {
            const Ring& consumer = rings[I + 1];
            Ring& ring = rings[I];
            ring.first = ring.next = std::max(0, consumer.first * Layer<I + 1>::kStride - Layer<I + 1>::kRadius);
            ring.end = std::min(ring.height, (consumer.end - 1) * Layer<I + 1>::kStride + Layer<I + 1>::kRadius + 1);
        }

        /// Makes layer I's rows below `until`.
        template <std::size_t I>
        void make(int until) {
            using L = Layer<I>;
            Ring& ring = rings[I];
            until = std::min(until, ring.end);
            while (ring.next < until) {
                const int begin = ring.next, end = std::min(begin + ring.band, ring.end);
                if constexpr (kFromPixels && I == 0) {
                    const float* rows[L::kKernel];
                    for (int i = 0; i < L::kKernel; ++i) rows[i] = pixel_row(begin * L::kStride - L::kRadius + i);
                    fused.template layer<I>().row(*table, input, rows, slope, ring.row(begin));
                } else if constexpr (I == 0) {
                    fused.template layer<I>().rows(
                        *table, [&](int y) -> const float* { return y < 0 || y >= input.map.height ? zeros : input.map.row(y); },
                        input.map.width, begin, end, slope, ring.row(begin), scratch);
                } else {
                    make<I - 1>((end - 1) * L::kStride + L::kRadius + 1);
                    const Ring& source = rings[I - 1];
                    fused.template layer<I>().rows(
                        *table, [&](int y) -> const float* { return y < 0 || y >= source.height ? zeros : source.row(y); },
                        source.width, begin, end, slope, ring.row(begin), scratch);
                }
                ring.next = end;
            }
        }

        /// Row y of the image, staged; rows are asked for in order, the last kKernel are kept.
        const float* pixel_row(int y) {
            using L = Layer<0>;
            for (; pixels.next <= y; ++pixels.next) input.load_row(*table, pixels.next, L::kKernel, L::kStride, pixels.row(pixels.next));
            return pixels.row(y);
        }
    };

    std::tuple<Layers...> layers_;
};

}  // namespace layers
RETINAFACE_END_NAMESPACE
