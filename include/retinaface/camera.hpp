// Frames as cameras deliver them: views of YUV memory, and the one pass that makes an upright picture of colours of them.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "image.hpp"
#include "options.hpp"

RETINAFACE_BEGIN_NAMESPACE

/// View of an NV12 frame. Without the last three, all is packed and the pairs of U and V lie right behind the rows of Y;
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

/// BT.601 in fixed point, 13 fractional bits (17 in a sum, with the 4 of U and V):
///   R = y (Y - offset) + rv (V - 128), G = y (Y - offset) - gu (U - 128) - gv (V - 128), B = y (Y - offset) + bu (U - 128).
/// Within 0.53 of the exact value before clamping to 0..255.
struct YuvMatrix {
    int offset, y, rv, gu, gv, bu;
};

constexpr YuvMatrix yuv_matrix(YuvRange range) {
    // full: 1, 1.402, 0.344136, 0.714136, 1.772. video: luma times 255 / 219, chroma times 255 / 224.
    return range == YuvRange::full ? YuvMatrix{0, 8192, 11485, 2819, 5850, 14516} : YuvMatrix{16, 9539, 13075, 3209, 6660, 16525};
}

/// Turns any valid ImageView into one of packed colours that stands upright. Keeps its buffers from call to call.
class Upright {
public:
    /// `image` itself where nothing is to do; else packed rows, valid until the next call: rgb8 of YUV formats, else the image's own
    /// format. NV12 and NV21: U and V are interpolated between the centres of their blocks, as JPEG decoders do; YUYV: they hold for
    /// their pair. Throws Error (invalid_argument) for an image that is not valid.
    ImageView convert(const ImageView& image, Rotation rotation) {
        validate(image);
        const bool yuv = is_yuv(image.format);
        if (rotation == Rotation::none && !yuv) return image;
        const bool quarter = rotation == Rotation::clockwise_90 || rotation == Rotation::clockwise_270;
        const PixelFormat format = yuv ? PixelFormat::rgb8 : image.format;
        const int channels = bytes_per_pixel(format);
        const std::ptrdiff_t source_row = row_bytes(format, image.width);
        const int width = quarter ? image.height : image.width, height = quarter ? image.width : image.height;
        pixels_.resize(static_cast<std::size_t>(source_row) * static_cast<std::size_t>(image.height));
        if (rotation == Rotation::none) {
            for (int y = 0; y < image.height; ++y) colours(image, y, pixels_.data() + y * source_row);
            return {pixels_.data(), width, height, format};
        }

        // Rows of the frame become columns: a strip of rows at a time, so that a line of cache is written once.
        strip_.resize(static_cast<std::size_t>(source_row) * kStrip);
        for (int first = 0; first < image.height; first += kStrip) {
            const int count = std::min(kStrip, image.height - first);
            const std::uint8_t* rows[kStrip];
            for (int i = 0; i < count; ++i) {
                rows[i] = strip_.data() + i * source_row;
                if (yuv)
                    colours(image, first + i, strip_.data() + i * source_row);
                else
                    rows[i] = image.row(first + i);
            }
            if (channels == 3)
                place<3>(rows, first, count, image.width, image.height, rotation);
            else if (channels == 4)
                place<4>(rows, first, count, image.width, image.height, rotation);
            else
                place<1>(rows, first, count, image.width, image.height, rotation);
        }
        return {pixels_.data(), width, height, format};
    }

private:
    static constexpr int kStrip = 16;

    static std::uint8_t clamp(int fixed) { return static_cast<std::uint8_t>(std::min(std::max(fixed >> 17, 0), 255)); }

    /// One pixel from its Y and sixteen times its U and V.
    struct Colour {
        const YuvMatrix m;
        explicit Colour(YuvRange range) : m(yuv_matrix(range)) {}

        void operator()(int y, int u, int v, std::uint8_t* dst) const {
            const int luma = m.y * 16 * (y - m.offset) + (1 << 16);
            u -= 16 * 128;
            v -= 16 * 128;
            dst[0] = clamp(luma + m.rv * v);
            dst[1] = clamp(luma - m.gu * u - m.gv * v);
            dst[2] = clamp(luma + m.bu * u);
        }
    };

    /// Row y of a YUV image as rgb8.
    void colours(const ImageView& image, int y, std::uint8_t* dst) {
        if (image.format == PixelFormat::yuyv)
            colours_of_pairs(image, y, dst);
        else
            colours_of_blocks(image, y, dst);
    }

    static void colours_of_pairs(const ImageView& image, int y, std::uint8_t* dst) {
        const Colour colour(image.range);
        const std::uint8_t* row = image.row(y);
        for (int x = 0; x < image.width; x += 2, row += 4, dst += 6) {
            const int u = 16 * row[1], v = 16 * row[3];
            colour(row[0], u, v, dst);
            if (x + 1 < image.width) colour(row[2], u, v, dst + 3);
        }
    }

    /// A pixel's own block counts 3/4, the one on its other side 1/4, down and across.
    void colours_of_blocks(const ImageView& image, int y, std::uint8_t* dst) {
        const Colour colour(image.range);
        const int columns = (image.width + 1) / 2, last = (image.height + 1) / 2 - 1;
        const std::uint8_t* own = image.chroma_row(y / 2);
        const std::uint8_t* other = image.chroma_row(std::min(std::max(y / 2 + (y % 2 != 0 ? 1 : -1), 0), last));
        // Pairs, with the first and the last once more outside.
        chroma_.resize(2 * static_cast<std::size_t>(columns) + 4);
        int* pairs = chroma_.data() + 2;
        for (int i = 0; i < 2 * columns; ++i) pairs[i] = 3 * own[i] + other[i];
        for (int i = 0; i < 2; ++i) {
            pairs[i - 2] = pairs[i];
            pairs[2 * columns + i] = pairs[2 * columns - 2 + i];
        }

        const std::uint8_t* row = image.row(y);
        const int u = image.format == PixelFormat::nv12 ? 0 : 1, v = 1 - u;
        for (int x = 0; x + 1 < image.width; x += 2, pairs += 2, dst += 6) {
            colour(row[x], 3 * pairs[u] + pairs[u - 2], 3 * pairs[v] + pairs[v - 2], dst);
            colour(row[x + 1], 3 * pairs[u] + pairs[u + 2], 3 * pairs[v] + pairs[v + 2], dst + 3);
        }
        if (image.width % 2 != 0) colour(row[image.width - 1], 3 * pairs[u] + pairs[u - 2], 3 * pairs[v] + pairs[v - 2], dst);
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
            for (int i = 0; i < count; ++i, dst += Channels) copy(rows[right ? count - 1 - i : i] + std::ptrdiff_t{x} * Channels, dst);
        }
    }

    std::vector<std::uint8_t> pixels_;
    std::vector<std::uint8_t> strip_;
    std::vector<int> chroma_;  ///< four times U and V of a row, interpolated down
};

}  // namespace detail
RETINAFACE_END_NAMESPACE
