// Images are views: the caller keeps the pixels alive for the call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>

#include "error.hpp"

RETINAFACE_BEGIN_NAMESPACE

/// Order of the bytes of one pixel; alpha is ignored. The last three are what cameras deliver (BT.601, see YuvRange):
///   nv12  a plane of Y, one byte a pixel, and a plane of U, V pairs, one a block of 2 x 2 pixels
///   nv21  the same with V, U pairs
///   yuyv  Y0 U Y1 V, four bytes a pair of neighbouring pixels
enum class PixelFormat { rgb8, bgr8, rgba8, bgra8, gray8, nv12 = 16, nv21, yuyv };

constexpr bool is_yuv(PixelFormat format) {
    return format == PixelFormat::nv12 || format == PixelFormat::nv21 || format == PixelFormat::yuyv;
}

/// What the bytes of a YUV image stand for. `video`: Y 16..235, U and V 16..240, as TV, most webcams and V4L2 unless it says
/// otherwise. `full`: 0..255, as JPEG and many board camera pipelines.
enum class YuvRange { video, full };

/// Bytes a pixel (of the plane of Y, where there are two), or 0 for a value that is no PixelFormat.
constexpr int bytes_per_pixel(PixelFormat format) {
    switch (format) {
        case PixelFormat::rgb8:
        case PixelFormat::bgr8: return 3;
        case PixelFormat::rgba8:
        case PixelFormat::bgra8: return 4;
        case PixelFormat::gray8:
        case PixelFormat::nv12:
        case PixelFormat::nv21: return 1;
        case PixelFormat::yuyv: return 2;
    }
    return 0;
}

/// Bytes of a row of pixels (of the plane of Y, where there are two). Rows of yuyv hold whole pairs: the last one of an odd width
/// carries a pixel that is not read.
constexpr std::ptrdiff_t row_bytes(PixelFormat format, int width) {
    const std::ptrdiff_t pixels = format == PixelFormat::yuyv ? std::ptrdiff_t{width} + width % 2 : std::ptrdiff_t{width};
    return pixels * bytes_per_pixel(format);
}

/// Largest image side, in pixels.
constexpr int kMaxSide = 1 << 16;
/// Largest image, and largest network input, in pixels.
constexpr std::int64_t kMaxPixels = std::int64_t{1} << 26;

/// View of an 8-bit image, top row first.
struct ImageView {
    const std::uint8_t* data = nullptr;  ///< first byte of the top left pixel
    int width = 0;                       ///< pixels
    int height = 0;                      ///< pixels
    PixelFormat format = PixelFormat::rgb8;
    std::ptrdiff_t stride = 0;  ///< bytes from row to row; 0: rows are packed; negative: the next row lies before (bottom-up)

    // Of YUV formats only; the makers in camera.hpp fill them in.
    const std::uint8_t* chroma =
        nullptr;                       ///< nv12, nv21: first byte of the top left pair; nullptr: right after the last row of Y
    std::ptrdiff_t chroma_stride = 0;  ///< nv12, nv21: bytes from row to row of pairs; 0: that of Y, or packed where Y is packed
    YuvRange range = YuvRange::video;

    /// Bytes of the image in memory, from the lowest row on, where they are known: an image that needs more is an error, as a camera's
    /// short frame is. Rows of U and V count where `chroma` is nullptr. 0: not known, the caller answers for the memory.
    std::size_t size = 0;

    ImageView() = default;
    ImageView(const std::uint8_t* data_, int width_, int height_, PixelFormat format_ = PixelFormat::rgb8,
              std::ptrdiff_t stride_ = 0, std::size_t size_ = 0)
        : data(data_), width(width_), height(height_), format(format_), stride(stride_), size(size_) {}

    std::ptrdiff_t row_stride() const noexcept { return stride != 0 ? stride : row_bytes(format, width); }
    const std::uint8_t* row(int y) const noexcept { return data + y * row_stride(); }

    std::ptrdiff_t chroma_row_stride() const noexcept {
        return chroma_stride != 0 ? chroma_stride : stride != 0 ? stride : std::ptrdiff_t{width} + width % 2;
    }
    /// Row y of the pairs of nv12 or nv21: of pixel rows 2 y and 2 y + 1.
    const std::uint8_t* chroma_row(int y) const noexcept {
        const std::uint8_t* first = chroma != nullptr ? chroma : data + height * row_stride();
        return first + y * chroma_row_stride();
    }
};

namespace detail {

/// Whether `image` is one the library can read.
inline Result<void> check(const ImageView& image) {
    const auto fail = [](const std::string& what) { return Error(ErrorCode::invalid_argument, "image: " + what); };
    const int bytes = bytes_per_pixel(image.format);
    if (bytes == 0) return fail("unknown pixel format " + std::to_string(static_cast<int>(image.format)));
    if (image.width < 1 || image.height < 1 || image.width > kMaxSide || image.height > kMaxSide)
        return fail("width and height must be 1.." + std::to_string(kMaxSide) + ", found " + std::to_string(image.width) + " x " +
                    std::to_string(image.height));
    if (std::int64_t{image.width} * image.height > kMaxPixels)
        return fail("at most " + std::to_string(kMaxPixels) + " pixels, found " + std::to_string(image.width) + " x " +
                    std::to_string(image.height));
    if (image.data == nullptr) return fail("null pointer to pixels");
    const auto check_stride = [&](const char* what, std::ptrdiff_t stride, std::ptrdiff_t packed) -> Result<void> {
        if (stride != 0 && stride < packed && stride > -packed)
            return fail(std::string(what) + " must be at least " + std::to_string(packed) + " bytes, found " +
                        std::to_string(stride));
        const std::ptrdiff_t most = std::numeric_limits<std::ptrdiff_t>::max() / 2 / image.height;
        if (stride > most || stride < -most)
            return fail(std::string(what) + " must be at most " + std::to_string(most) + " bytes, found " +
                        std::to_string(stride));
        return {};
    };
    const std::ptrdiff_t packed = row_bytes(image.format, image.width);
    if (Result<void> checked = check_stride("row stride", image.stride, packed); !checked) return checked;
    const bool two_planes = is_yuv(image.format) && image.format != PixelFormat::yuyv;
    if (is_yuv(image.format) && image.range != YuvRange::video && image.range != YuvRange::full)
        return fail("unknown YUV range " + std::to_string(static_cast<int>(image.range)));
    const std::ptrdiff_t packed_chroma = std::ptrdiff_t{image.width} + image.width % 2;
    if (two_planes) {
        if (image.chroma == nullptr && image.stride < 0) return fail("bottom-up rows of Y need a pointer to the rows of U and V");
        if (Result<void> checked = check_stride("row stride of U and V", image.chroma_row_stride(), packed_chroma); !checked)
            return checked;
    }
    if (image.size == 0) return {};

    // The last row need not be padded. Pairs that follow the rows of Y lie after whole ones.
    const auto rows = [](std::ptrdiff_t count, std::ptrdiff_t stride, std::ptrdiff_t last) {
        return (count - 1) * (stride < 0 ? -stride : stride) + last;
    };
    std::ptrdiff_t needed = rows(image.height, image.row_stride(), packed);
    if (two_planes && image.chroma == nullptr)
        needed = image.height * image.row_stride() + rows((image.height + 1) / 2, image.chroma_row_stride(), packed_chroma);
    if (image.size < static_cast<std::size_t>(needed))
        return fail(std::to_string(image.width) + " x " + std::to_string(image.height) + " pixels need " +
                    std::to_string(needed) + " bytes, found " + std::to_string(image.size) + " (a frame cut short?)");
    return {};
}

}  // namespace detail

/// Throws Error (invalid_argument) unless `image` is one the library can read.
inline void validate(const ImageView& image) { detail::check(image).value(); }
inline Result<void> try_validate(const ImageView& image) noexcept {
    return detail::as_result([&] { return detail::check(image); });
}

RETINAFACE_END_NAMESPACE
