// Images are views: the caller keeps the pixels alive for the call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "error.hpp"

RETINAFACE_BEGIN_NAMESPACE

/// Order of the bytes of one pixel; alpha is ignored.
enum class PixelFormat { rgb8, bgr8, rgba8, bgra8, gray8 };

/// Bytes a pixel, or 0 for a value that is no PixelFormat.
constexpr int bytes_per_pixel(PixelFormat format) {
    switch (format) {
        case PixelFormat::rgb8:
        case PixelFormat::bgr8: return 3;
        case PixelFormat::rgba8:
        case PixelFormat::bgra8: return 4;
        case PixelFormat::gray8: return 1;
    }
    return 0;
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

    ImageView() = default;
    ImageView(const std::uint8_t* data_, int width_, int height_, PixelFormat format_ = PixelFormat::rgb8, std::ptrdiff_t stride_ = 0)
        : data(data_), width(width_), height(height_), format(format_), stride(stride_) {}

    std::ptrdiff_t row_stride() const noexcept {
        return stride != 0 ? stride : static_cast<std::ptrdiff_t>(width) * bytes_per_pixel(format);
    }
    const std::uint8_t* row(int y) const noexcept { return data + y * row_stride(); }
};

/// Throws Error (invalid_argument) unless `image` is one the library can read.
inline void validate(const ImageView& image) {
    const auto fail = [](const std::string& what) { throw Error(ErrorCode::invalid_argument, "image: " + what); };
    const int bytes = bytes_per_pixel(image.format);
    if (bytes == 0) fail("unknown pixel format " + std::to_string(static_cast<int>(image.format)));
    if (image.width < 1 || image.height < 1 || image.width > kMaxSide || image.height > kMaxSide)
        fail("width and height must be 1.." + std::to_string(kMaxSide) + ", found " + std::to_string(image.width) + " x " +
             std::to_string(image.height));
    if (std::int64_t{image.width} * image.height > kMaxPixels)
        fail("at most " + std::to_string(kMaxPixels) + " pixels, found " + std::to_string(image.width) + " x " +
             std::to_string(image.height));
    if (image.data == nullptr) fail("null pointer to pixels");
    const std::ptrdiff_t packed = static_cast<std::ptrdiff_t>(image.width) * bytes;
    if (image.stride != 0 && image.stride < packed && image.stride > -packed)
        fail("row stride must be at least " + std::to_string(packed) + " bytes, found " + std::to_string(image.stride));
}

RETINAFACE_END_NAMESPACE
