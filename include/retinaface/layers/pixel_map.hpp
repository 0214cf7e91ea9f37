// The image as a map of three channels, for networks whose first convolution is an ordinary layer.
#pragma once

#include "stem.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace layers {

/// Pixels less the mean, in the network's order of channels; zeros in the network's input outside the image.
class PixelMap : public Leaf {
public:
    static constexpr const char* kKernel = "pixel_map";
    static constexpr int kChannelsIn = 3;
    static constexpr int kChannelsOut = 3;
    static constexpr int kStride = 1;

    /// Takes no tensor.
    void load(const Scope& parameters, Activation) { name_ = parameters.name(); }

    Shape output(const Shape& in) const { return {in.height, in.width, 3}; }
    Work work(const Shape& in) const { return {in.height, 1, 0}; }
    static Rows made(const Shape&, int begin, int end) { return {begin, end}; }
    static Rows needed(Rows made) { return made; }
    void run(const Io& io, int begin, int end, float*) const {
        // The mean is in the order of the image's bytes, as elsewhere.
        const Pixels& pixels = *io.image;
        constexpr float kOne[3] = {1, 1, 1};
        const float shift[3] = {-pixels.mean[0], -pixels.mean[1], -pixels.mean[2]}, outside[3] = {0, 0, 0};
        rows(pixels, kOne, shift, outside, io.out, begin, end);
    }
    Cost cost() const { return {0, 0, 1, 1}; }

    /// Rows of byte * scale + shift (both by byte of a pixel), and `outside` (by channel) outside the image.
    static void rows(const Pixels& pixels, const float* scale, const float* shift, const float* outside, const Map& out,
                     int begin, int end) {
        const int step = bytes_per_pixel(pixels.image.format);
        for (int y = begin; y < end; ++y) {
            float* dst = out.row(y);
            const int inside = y < pixels.image.height ? pixels.image.width : 0;
            const std::uint8_t* src = pixels.image.row(inside > 0 ? y : 0);
            for (int c = 0; c < 3; ++c) {
                const int byte = pixels.swapped ? 2 - c : c;
                const std::uint8_t* from = src + (step == 1 ? 0 : byte);
                for (int x = 0; x < inside; ++x)
                    dst[x * out.pitch + c] = static_cast<float>(from[x * step]) * scale[byte] + shift[byte];
                for (int x = inside; x < out.width; ++x) dst[x * out.pitch + c] = outside[c];
            }
        }
    }
};

/// BatchNorm of the image itself, which is 0 outside the picture: `weight` [3, 1, 1, 1], `bias` [3], in the network's order of channels.
class PixelNorm : public Leaf {
public:
    static constexpr const char* kKernel = "pixel_map";
    static constexpr int kChannelsIn = 3;
    static constexpr int kChannelsOut = 3;
    static constexpr int kStride = 1;

    void load(const Scope& parameters, Activation) {
        name_ = parameters.name();
        const std::vector<float>& weight = parameters.take("weight", {3, 1, 1, 1});
        const std::vector<float>& bias = parameters.take("bias", {3});
        for (std::size_t c = 0; c < 3; ++c) scale_[c] = weight[c], shift_[c] = bias[c];
    }

    Shape output(const Shape& in) const { return {in.height, in.width, 3}; }
    Work work(const Shape& in) const { return {in.height, 1, 0}; }
    static Rows made(const Shape&, int begin, int end) { return {begin, end}; }
    static Rows needed(Rows made) { return made; }
    void run(const Io& io, int begin, int end, float*) const {
        const Pixels& pixels = *io.image;
        float scale[3], shift[3];
        for (int c = 0; c < 3; ++c) {
            const int byte = pixels.swapped ? 2 - c : c;
            scale[byte] = scale_[c];
            shift[byte] = shift_[c] - pixels.mean[byte] * scale_[c];
        }
        PixelMap::rows(pixels, scale, shift, shift_, io.out, begin, end);
    }
    Cost cost() const { return {3, 6, 1, 1}; }

private:
    float scale_[3] = {};
    float shift_[3] = {};
};

}  // namespace layers
RETINAFACE_END_NAMESPACE
