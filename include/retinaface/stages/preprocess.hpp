// From the caller's image to what the first convolution reads.
#pragma once

#include "../camera.hpp"
#include "../layers/stem.hpp"
#include "../profile.hpp"
#include "../resize.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace stages {

/// Memory of the steps before the network. One thread at a time.
class Preprocessor {
public:
    /// The image turned upright, in packed colours: itself where nothing is to do, else valid until the next call. `image` is
    /// one that check() passes.
    ImageView upright(const ImageView& image, Rotation rotation, const detail::Parallel& parallel,
                      const detail::YuvKernels& kernels) {
        return upright_.convert(image, rotation, parallel, kernels);
    }

    /// The upright image as one look sees it: at its size, mirrored or not. The mirrored look follows its twin.
    ImageView look(const ImageView& upright, const InputSize& input) {
        if (!input.transform.mirrored) {
            const bool same = input.width == upright.width && input.height == upright.height;
            sized_ = same ? upright : resizer_.resize(upright, input.width, input.height);
            return sized_;
        }
        return mirror_.mirror(sized_);
    }

    /// A look with the profile's padding, where that is pixels; the first convolution adds the mean's colour by itself.
    ImageView padded(const ImageView& look, const InputSize& input, const Profile& profile) {
        return profile.black_padding ? padder_.pad(look, input.padded_width, input.padded_height) : look;
    }

    /// A look, turned: each of those of Rotation::automatic. Valid until the next call.
    ImageView turned(const ImageView& look, Rotation rotation, const detail::Parallel& parallel,
                     const detail::YuvKernels& kernels) {
        return turned_.convert(look, rotation, parallel, kernels);
    }

private:
    detail::Upright upright_;
    detail::Upright turned_;
    detail::Resizer resizer_;
    detail::Mirror mirror_;
    detail::Padder padder_;
    ImageView sized_;
};

/// What the network reads of an image that has the size of `input`, with its padding or without.
inline layers::Pixels pixels_of(const ImageView& image, const InputSize& input, const Profile& profile) {
    layers::Pixels pixels;
    pixels.image = image;
    pixels.height = input.padded_height;
    pixels.width = input.padded_width;
    const bool image_rgb = image.format == PixelFormat::rgb8 || image.format == PixelFormat::rgba8;
    pixels.swapped = image_rgb != profile.rgb && image.format != PixelFormat::gray8;
    for (int c = 0; c < 3; ++c) pixels.mean[c] = profile.mean[pixels.swapped ? 2 - c : c];
    return pixels;
}

}  // namespace stages
RETINAFACE_END_NAMESPACE
