// Frames as cameras deliver them: views of YUV memory, and the one pass that makes an upright picture of colours of them.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "detail/parallel.hpp"
#include "detail/yuv.hpp"
#include "image.hpp"
#include "options.hpp"

RETINAFACE_BEGIN_NAMESPACE

/// View of an NV12 frame; set its `size` where the number of bytes is known. Without the last three, all is packed and the pairs of U and V lie right after the rows of Y;
/// `stride` alone is that of both planes (as V4L2's bytesperline).
inline ImageView nv12_view(const std::uint8_t* y, int width, int height, YuvRange range, std::ptrdiff_t stride = 0,
                           const std::uint8_t* chroma = nullptr, std::ptrdiff_t chroma_stride = 0) {
    ImageView view(y, width, height, PixelFormat::nv12, stride);
    view.chroma = chroma;
    view.chroma_stride = chroma_stride;
    view.range = range;
    return view;
}

/// View of an NV21 frame (Android's): NV12 with V before U.
inline ImageView nv21_view(const std::uint8_t* y, int width, int height, YuvRange range, std::ptrdiff_t stride = 0,
                           const std::uint8_t* chroma = nullptr, std::ptrdiff_t chroma_stride = 0) {
    ImageView view = nv12_view(y, width, height, range, stride, chroma, chroma_stride);
    view.format = PixelFormat::nv21;
    return view;
}

/// View of a YUYV (YUY2) frame.
inline ImageView yuyv_view(const std::uint8_t* data, int width, int height, YuvRange range, std::ptrdiff_t stride = 0) {
    ImageView view(data, width, height, PixelFormat::yuyv, stride);
    view.range = range;
    return view;
}

namespace detail {

/// Turns an ImageView into one of packed colours that stands upright. Keeps its buffers from call to call.
class Upright {
public:
    /// `image` itself where nothing is to do; else packed rows, valid until the next call: rgb8 of YUV formats, else the image's own
    /// format. NV12 and NV21: U and V are interpolated between the centres of their blocks, as JPEG decoders do; YUYV: they hold for
    /// their pair. Bands of rows are split over threads. `image` is one that check() passes.
    ImageView convert(const ImageView& image, Rotation rotation, const Parallel& parallel = {nullptr, 1},
                      const YuvKernels& kernels = YuvKernels(Isa::automatic)) {
        const bool yuv = is_yuv(image.format);
        if (rotation == Rotation::none && !yuv) return image;
        const bool quarter = rotation == Rotation::clockwise_90 || rotation == Rotation::clockwise_270;
        const PixelFormat format = yuv ? PixelFormat::rgb8 : image.format;
        const int channels = bytes_per_pixel(format);
        const std::ptrdiff_t source_row = row_bytes(format, image.width);
        const int width = quarter ? image.height : image.width, height = quarter ? image.width : image.height;
        pixels_.resize(static_cast<std::size_t>(source_row) * static_cast<std::size_t>(image.height));
        // Every band has rows of its own, of full size before the bands run.
        bands_.resize(static_cast<std::size_t>(parallel.threads()));
        for (Band& band : bands_) {
            if (yuv && image.format != PixelFormat::yuyv) band.chroma.resize(static_cast<std::size_t>(image.width) + 5);
            if (rotation != Rotation::none) band.strip.resize(static_cast<std::size_t>(source_row) * kStrip);
        }
        parallel.bands(image.height, kStrip, [&](int begin, int end, int index) {
            Band& band = bands_[static_cast<std::size_t>(index)];
            if (rotation == Rotation::none) {
                for (int y = begin; y < end; ++y) colours(image, y, kernels, band, pixels_.data() + y * source_row);
                return;
            }
            // Rows of the frame become columns: a strip of rows at a time, so that a line of cache is written once.
            for (int first = begin; first < end; first += kStrip) {
                const int count = std::min(kStrip, end - first);
                const std::uint8_t* rows[kStrip];
                for (int i = 0; i < count; ++i) {
                    std::uint8_t* const row = band.strip.data() + i * source_row;
                    rows[i] = yuv ? row : image.row(first + i);
                    if (yuv) colours(image, first + i, kernels, band, row);
                }
                if (channels == 3)
                    place<3>(rows, first, count, image.width, image.height, rotation);
                else if (channels == 4)
                    place<4>(rows, first, count, image.width, image.height, rotation);
                else
                    place<1>(rows, first, count, image.width, image.height, rotation);
            }
        });
        return {pixels_.data(), width, height, format};
    }

private:
    static constexpr int kStrip = 16;

    /// Rows that one thread works on.
    struct Band {
        std::vector<std::uint8_t> strip;   ///< kStrip rows of colours
        std::vector<std::int16_t> chroma;  ///< four times U and V of a row, interpolated down, with a pair more on either side
    };

    /// Row y of a YUV image as rgb8.
    static void colours(const ImageView& image, int y, const YuvKernels& kernels, Band& band, std::uint8_t* dst) {
        const auto matrix = yuv_matrix(image.range);
        if (image.format == PixelFormat::yuyv) return kernels.pairs.run({matrix, image.row(y), image.width, dst});
        // Down as across: a row's own blocks count 3/4, those on its other side 1/4.
        const int count = image.width + image.width % 2, last = (image.height + 1) / 2 - 1;
        const std::uint8_t* own = image.chroma_row(y / 2);
        const std::uint8_t* other = image.chroma_row(std::min(std::max(y / 2 + (y % 2 != 0 ? 1 : -1), 0), last));
        std::int16_t* pairs = band.chroma.data() + 2;
        kernels.blend.run({own, other, count, pairs});
        for (int i = 0; i < 2; ++i) {
            pairs[i - 2] = pairs[i];
            pairs[count + i] = pairs[count - 2 + i];
        }
        kernels.blocks.run({matrix, {image.row(y), pairs, image.width, image.format == PixelFormat::nv12 ? 0 : 1}, dst});
    }

    /// Puts `count` rows of the frame, from row `first` on, where they belong in the upright picture.
    template <int Channels>
    void place(const std::uint8_t* const* rows, int first, int count, int width, int height, Rotation rotation) {
        const auto copy = [](const std::uint8_t* from, std::uint8_t* to) { std::memcpy(to, from, Channels); };
        if (rotation == Rotation::clockwise_180) {
            for (int i = 0; i < count; ++i) {
                std::uint8_t* dst = pixels_.data() + (std::ptrdiff_t{height} - 1 - first - i) * width * Channels;
                for (int x = 0; x < width; ++x) copy(rows[i] + (width - 1 - x) * Channels, dst + x * Channels);
            }
            return;
        }
        // 90: pixel (x, y) goes to column height - 1 - y of row x. 270: to column y of row width - 1 - x.
        const bool right = rotation == Rotation::clockwise_90;
        for (int x = 0; x < width; ++x) {
            const std::ptrdiff_t row = right ? x : width - 1 - x, column = right ? height - first - count : first;
            std::uint8_t* dst = pixels_.data() + (row * height + column) * Channels;
            for (int i = 0; i < count; ++i, dst += Channels)
                copy(rows[right ? count - 1 - i : i] + std::ptrdiff_t{x} * Channels, dst);
        }
    }

    std::vector<std::uint8_t> pixels_;
    std::vector<Band> bands_;
};

}  // namespace detail
RETINAFACE_END_NAMESPACE
