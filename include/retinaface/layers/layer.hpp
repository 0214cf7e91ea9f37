// The protocol of layers: what a type must offer to stand in a network. docs/architecture.md shows one written from nothing.
//
// A *leaf* is one operation on maps, by one kernel:
//
//   static constexpr Kind kKind = Kind::leaf;              (class Leaf has this, name() and activation())
//   static constexpr const char* kKernel;                  its kernel's name, for people
//   static constexpr int kChannelsIn, kChannelsOut;        where it follows others in Sequence or Fused, which check them
//   void load(const Scope& parameters, Activation);        takes its tensors, packs them for parameters.isa()
//   const std::string& name() const;                       as in the weights file
//   Activation activation() const;
//   Shape output(const Shape& in) const;
//   Work work(const Shape& in) const;                      how the work is split, and the scratch a thread needs
//   static Rows made(const Shape& in, int begin, int end); output rows that units [begin, end) write to
//   static Rows needed(Rows made);                         input rows that those are made from; may reach outside the map
//   void run(const Io&, int begin, int end, float* scratch) const;   units [begin, end); the same values however they are split
//   Cost cost() const;
//
// A *fused* layer has all of that but the kernel, the activation and the cost, and in addition is a *module*:
//
//   template <class Pass, class Value> auto forward(Pass& pass, Value in) const;
//
// which says what it computes as layers applied by `pass`: pass(layer, value). A module has load() and forward() alone. Passes
// (passes/) walk forward(): a pass that runs fused layers takes a fused one whole, one that explains what happens walks into it.
//
// A layer owns its packed weights; it is immutable once loaded, and threads share it. run() allocates nothing and throws nothing.
#pragma once

#include <cstdint>

#include "../detail/aligned_buffer.hpp"
#include "../weights/parameters.hpp"
#include "map.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace layers {

struct Pixels;
using Scope = detail::Parameters::Scope;

enum class Kind { leaf, fused, module };

/// max(x, slope * x), 0 <= slope <= 1.
struct Activation {
    float slope = 1;
};
constexpr Activation kIdentity{1.0f};
constexpr Activation kRelu{0.0f};

/// Work on one map: units 0 .. units - 1, of which a call makes a range.
struct Work {
    int units;
    int grain;            ///< ranges are best multiples of this
    std::size_t scratch;  ///< floats a thread, on a 64-byte boundary
    bool seams = false;   ///< neighbouring ranges make some rows twice: as few ranges as threads are best
};

struct Rows {
    int begin;
    int end;
};

/// What an operation adds to its sum.
enum class Addition {
    none,
    residual,   ///< a map of the output's shape, before the activation; the output may take its place where Layer::kAddsInPlace
    offsets,    ///< nothing: the other map, of the output's size, steers the sum (deform_conv2d.hpp)
    upsampled,  ///< a map of half the size, after the activation: its pixel (y / 2, x / 2) to pixel (y, x) (nearest upsampling)
};

/// The maps of one operation.
struct Io {
    const Pixels* image = nullptr;  ///< in place of `in`, of layers that begin a network
    Map in;
    Map add;
    Addition addition = Addition::none;
    Map out;
    Map second;             ///< of layers with two outputs
    Activation activation;  ///< of `out`; the layer's own, unless a pass wants the sum before it
    Activation second_activation;
};

/// What one pixel of the output costs.
struct Cost {
    std::int64_t multiply_adds;  ///< a pixel
    std::int64_t parameters;     ///< weights and biases
    int kernel_size;
    int stride;
};

/// Rows of a 3 x 3, 7 x 7, ... convolution's input.
constexpr Rows convolution_rows(Rows made, int stride, int radius) {
    return {made.begin * stride - radius, (made.end - 1) * stride + radius + 1};
}

/// What leaves have in common: a name, an activation, packed weights and biases.
class Leaf {
public:
    static constexpr Kind kKind = Kind::leaf;
    static constexpr bool kAddsInPlace = false;  ///< the output may lie where Addition::residual's map does

    const std::string& name() const { return name_; }
    Activation activation() const { return activation_; }

protected:
    /// Takes the biases and returns the weights, which the layer packs.
    std::vector<float> begin_load(const Scope& parameters, Activation activation, int out, int in, int kernel) {
        name_ = parameters.name();
        activation_ = activation;
        set_bias(parameters.take("bias", {out}));
        return parameters.take("weight", {out, in, kernel, kernel});
    }
    void set_bias(const std::vector<float>& bias) {
        bias_ = detail::AlignedBuffer(bias.size());
        for (std::size_t i = 0; i < bias.size(); ++i) bias_.data()[i] = bias[i];
    }

    detail::AlignedBuffer weights_;
    detail::AlignedBuffer bias_;
    Activation activation_;
    std::string name_;
};
}  // namespace layers
RETINAFACE_END_NAMESPACE
