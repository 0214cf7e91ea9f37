// A network laid out for one input size: operations, the values between them and where each lies in the arena. Layout (layout.hpp) makes
// it, run() (run.hpp) executes it.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "../layers/layer.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace passes {

using layers::Shape;

/// A value of a plan: a map, or the image.
struct Value {
    int id = -1;
    Shape shape;
};

/// Levels that a network may have.
constexpr int kMostLevels = 8;

/// Reused from frame to frame: laying out a size whose plan is no larger than one before allocates nothing.
class Plan {
public:
    /// Where a value lies, and for how long.
    struct Slot {
        Shape shape;
        std::ptrdiff_t pitch = 0;  ///< floats from pixel to pixel
        int parent = -1;           ///< the value that this one is a part of, from `first` on
        std::size_t first = 0;     ///< floats
        std::size_t offset = 0;    ///< bytes from the arena's start
        int birth = 0;             ///< operation that makes it
        int death = 0;             ///< last operation that reads it
    };

    struct Operation {
        void (*run)(const void* layer, const layers::Io& io, int begin, int end, float* scratch);
        layers::Rows (*made)(const Shape& in, int begin, int end);
        layers::Rows (*needed)(layers::Rows made);
        const void* layer;
        int in;  ///< value
        int add = -1;
        layers::Addition addition = layers::Addition::none;
        bool in_place = false;  ///< the sum may be made where `add` lies
        int out[2] = {-1, -1};
        layers::Activation activations[2];
        layers::Work work;
    };

    /// A part of an operation's work that a thread does at one go. It may begin when all chunks before `after` are done, and those of
    /// `inputs`.
    struct Chunk {
        int operation;
        int begin, end;  ///< units
        int after;
        layers::Rows inputs[2];  ///< ranges of chunks; empty where there is none within reach
    };

    const Slot& slot(int value) const { return slots[static_cast<std::size_t>(value)]; }
    Slot& slot(int value) { return slots[static_cast<std::size_t>(value)]; }

    /// A value in an arena.
    layers::Map map(int value, std::byte* arena) const {
        if (value < 0) return {};
        const Slot& s = slot(value);
        return {reinterpret_cast<float*>(arena + s.offset), s.shape, s.pitch};
    }

    // What it was made for.
    std::uint64_t network = 0;
    Shape image;
    int threads = 0;

    std::vector<Slot> slots;  ///< by value; the image is value 0
    std::vector<Operation> operations;
    std::vector<Chunk> chunks;  ///< in the order in which threads take them; none for one thread

    // Results, alive until the next run.
    int logits = -1;  ///< [cells, level by level][class outputs]
    std::array<int, kMostLevels> features{};

    std::size_t scratch = 0;         ///< bytes a thread
    std::size_t scratch_offset = 0;  ///< bytes
    std::size_t size = 0;            ///< bytes of the arena

private:
    friend class Layout;

    struct Range {
        std::size_t begin, end;
    };

    // Memory of Layout, kept so that it allocates no more than the plan.
    std::vector<int> order_;
    std::vector<Range> taken_;
    std::vector<int> first_chunk_;
};

}  // namespace passes
RETINAFACE_END_NAMESPACE
