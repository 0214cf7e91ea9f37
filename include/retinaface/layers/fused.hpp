// Fused: several layers as one operation, depth first. A call for rows of the last layer pulls the rows it needs from the layer before,
// and so on down to the input; every layer keeps only the rows its consumer still needs, in a ring. The values are those of the
// layer-by-layer computation, whatever the bands.
//
// Layers that can be fused work row by row: Stem (first, and the input is the image) and Separable.
#pragma once

#include <array>
#include <cstring>

#include "separable.hpp"
#include "sequence.hpp"
#include "stem.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace layers {

namespace impl {
template <class Layer>
constexpr bool kIsStem = false;
template <int K, int Stride, int Cout>
constexpr bool kIsStem<Stem<K, Stride, Cout>> = true;
}  // namespace impl

template <class... Layers>
class Fused : public Sequence<Layers...> {
    using Chain = Sequence<Layers...>;
    using Chain::kLayers;
    using Chain::layers_;
    template <std::size_t I>
    using Layer = typename Chain::template Layer<I>;

    /// Whether the input is the image.
    static constexpr bool kFromPixels = impl::kIsStem<Layer<0>>;

public:
    static constexpr Kind kKind = Kind::fused;
    using Chain::kChannelsOut;
    using Chain::kStride;
    /// Whether values between layers live in rings only.
    static constexpr bool kStreams = kLayers > 1;

    using Chain::load;
    /// Of a single layer.
    void load(const Scope& scope, Activation activation) {
        static_assert(kLayers == 1, "several layers have a scope each");
        std::get<0>(layers_).load(scope, activation);
    }

    Shape output(const Shape& in) const { return {strided(in.height, kStride), strided(in.width, kStride), kChannelsOut}; }
    Work work(const Shape& in) const {
        Walk walk(*this, in);
        return {strided(in.height, kStride), 1, walk.layout(nullptr), kStreams};
    }
    static Rows made(const Shape&, int begin, int end) { return {begin, end}; }
    static Rows needed(Rows made) { return needed_by<kLayers>(made); }

    void run(const Io& io, int begin, int end, float* scratch) const {
        if constexpr (kFromPixels) {
            Walk walk(*this, io.image->shape());
            walk.pixels = io.image;
            walk.run(io, begin, end, scratch);
        } else {
            Walk walk(*this, io.in);
            walk.run(io, begin, end, scratch);
        }
    }

private:
    template <std::size_t Count>
    static constexpr Rows needed_by(Rows made) {
        if constexpr (Count == 0)
            return made;
        else
            return needed_by<Count - 1>(convolution_rows(made, Layer<Count - 1>::kStride, Layer<Count - 1>::kRadius));
    }

    /// Rows of one layer's output that are still needed.
    struct Ring {
        float* data = nullptr;
        std::ptrdiff_t row_size = 0;
        int height = 0;
        int width = 0;
        int capacity = 0;  ///< rows; a multiple of `band`
        int band = 1;      ///< rows made at a time
        int first = 0;     ///< first row of this call
        int next = 0;      ///< first row not made yet
        int end = 0;       ///< after the last row of this call

        float* row(int y) const noexcept { return data + ((y - first) % capacity) * row_size; }
    };

    /// One call of run().
    struct Walk {
        const Fused& fused;
        const Shape in;
        const Pixels* pixels = nullptr;  ///< where the input is the image,
        Map map;                         ///< else this
        std::array<Ring, kLayers> rings{};
        Ring staged{};  ///< rows of the image
        const float* zeros = nullptr;
        float* scratch = nullptr;

        Walk(const Fused& fused_, const Shape& in_) : fused(fused_), in(in_) { sizes(std::make_index_sequence<kLayers>{}); }

        template <std::size_t... I>
        void sizes(std::index_sequence<I...>) {
            int height = in.height, width = in.width;
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

        /// Places rings and scratch from `base` on (which may be null: only the size is wanted). Floats.
        std::size_t layout(float* base) {
            detail::ArenaLayout arena;
            std::size_t longest = 0;
            const auto place = [&](std::size_t count) {
                const std::size_t offset = arena.take(count * sizeof(float)) / sizeof(float);
                return base == nullptr ? nullptr : base + offset;
            };
            if constexpr (kFromPixels) {
                staged.row_size = static_cast<std::ptrdiff_t>(std::get<0>(fused.layers_).row_size(in.width));
                staged.capacity = Layer<0>::kKernelSize;
                staged.data = place(static_cast<std::size_t>(staged.row_size) * static_cast<std::size_t>(staged.capacity));
            } else {
                longest = static_cast<std::size_t>(in.width) * static_cast<std::size_t>(in.channels);
            }
            rings_layout(place, longest, std::make_index_sequence<kLayers>{});
            float* z = place(longest);
            if (z != nullptr) std::memset(z, 0, longest * sizeof(float));
            zeros = z;
            scratch = place(scratch_size(std::make_index_sequence<kLayers>{}));
            return arena.size() / sizeof(float);
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

        void run(const Io& io, int begin, int end, float* memory) {
            layout(memory);
            map = io.in;
            Ring& last = rings[kLayers - 1];
            last.data = io.out.row(begin);
            last.capacity = last.height;
            last.first = last.next = begin;
            last.end = end;
            ranges(std::make_index_sequence<kLayers - 1>{});
            if constexpr (kFromPixels) staged.first = staged.next = rings[0].first * Layer<0>::kStride - Layer<0>::kRadius;
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
            const Rows rows = convolution_rows({consumer.first, consumer.end}, Layer<I + 1>::kStride, Layer<I + 1>::kRadius);
            ring.first = ring.next = std::max(0, rows.begin);
            ring.end = std::min(ring.height, rows.end);
        }

        /// Makes layer I's rows below `until`.
        template <std::size_t I>
        void make(int until) {
            using L = Layer<I>;
            const L& layer = std::get<I>(fused.layers_);
            Ring& ring = rings[I];
            until = std::min(until, ring.end);
            while (ring.next < until) {
                const int begin = ring.next, end = std::min(begin + ring.band, ring.end);
                if constexpr (kFromPixels && I == 0) {
                    const float* rows[L::kKernelSize];
                    for (int i = 0; i < L::kKernelSize; ++i) rows[i] = pixel_row(begin * L::kStride - L::kRadius + i);
                    layer.row(*pixels, rows, layer.activation(), ring.row(begin));
                } else if constexpr (I == 0) {
                    layer.rows([&](int y) -> const float* { return y < 0 || y >= map.height ? zeros : map.row(y); }, map.width,
                               begin, end, ring.row(begin), scratch);
                } else {
                    const Ring& source = rings[I - 1];
                    make<I - 1>((end - 1) * L::kStride + L::kRadius + 1);
                    layer.rows([&](int y) -> const float* { return y < 0 || y >= source.height ? zeros : source.row(y); },
                               source.width, begin, end, ring.row(begin), scratch);
                }
                ring.next = end;
            }
        }

        /// A staged row of the image; the ring holds the kernel's rows.
        const float* pixel_row(int y) {
            while (staged.next <= y) {
                std::get<0>(fused.layers_).load_row(*pixels, staged.next, staged.row(staged.next));
                ++staged.next;
            }
            return staged.row(y);
        }
    };
};

}  // namespace layers
RETINAFACE_END_NAMESPACE
