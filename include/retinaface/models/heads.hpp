// Heads of one pyramid level: class, box and landmark outputs of two anchors a cell.
#pragma once

#include "../layers/sequence.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace models {

/// Box and landmark deltas of one cell's two anchors, as the heads give them.
struct Regression {
    float box[2][4];
    float landmark[2][10];
    float padding[4];
};

template <int C>
class Heads {
    static_assert(C % 8 == 0, "channel counts are multiples of 8");

public:
    void load(layers::Parameters& parameters, const std::string& name, const kernels::KernelTable& table) {
        class_weights_ = layers::impl::copy(parameters.take(name + ".class.weight", {4, C, 1, 1}));
        class_bias_ = layers::impl::copy(parameters.take(name + ".class.bias", {4}));
        // Box and landmarks are one product, padded to full vectors.
        std::vector<float> weights = parameters.take(name + ".box.weight", {8, C, 1, 1});
        std::vector<float> bias = parameters.take(name + ".box.bias", {8});
        const std::vector<float>& landmark = parameters.take(name + ".landmark.weight", {20, C, 1, 1});
        const std::vector<float>& landmark_bias = parameters.take(name + ".landmark.bias", {20});
        weights.insert(weights.end(), landmark.begin(), landmark.end());
        bias.insert(bias.end(), landmark_bias.begin(), landmark_bias.end());
        weights.resize(32 * C);
        bias.resize(32);
        regression_.pack(weights, bias, table);
    }

    /// Class logits {background, face} of both anchors: 4 floats a pixel.
    void logits(const kernels::KernelTable& table, const float* features, int pixels, float* dst) const {
        table.class_logits({features, pixels, C, class_weights_.data(), class_bias_.data(), dst});
    }

    /// Deltas of `pixels` cells. A cell's values do not depend on the cells they are computed with.
    void regression(const kernels::KernelTable& table, const float* features, int pixels, Regression* dst) const {
        static_assert(sizeof(Regression) == 32 * sizeof(float), "a Regression is the product's 32 outputs");
        regression_.pixels(table, features, pixels, 1.0f, dst->box[0]);
    }

private:
    layers::AlignedBuffer class_weights_;
    layers::AlignedBuffer class_bias_;
    layers::PointwiseConv2d<C, 32> regression_;
};

}  // namespace models
RETINAFACE_END_NAMESPACE
