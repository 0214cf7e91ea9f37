#include <algorithm>
#include <string>

#include "decoder.hpp"
#include "retinaface/error.hpp"

namespace cli {

void refuse(const std::string& what) { throw retinaface::Error(retinaface::ErrorCode::invalid_argument, what); }

namespace {

std::int64_t divided_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

bool fits_library(std::int64_t width, std::int64_t height) {
    return width <= retinaface::kMaxSide && height <= retinaface::kMaxSide && width * height <= retinaface::kMaxPixels;
}

}  // namespace

int least_reduction(std::int64_t width, std::int64_t height) {
    int reduction = 1;
    while (!fits_library(divided_up(width, reduction), divided_up(height, reduction))) ++reduction;
    return reduction;
}

ImageBuilder::Reduction ImageBuilder::plan(std::int64_t width, std::int64_t height) {
    constexpr std::int64_t kMost = 1 << 30;  // so that sides are ints and their product is no overflow
    const std::string size = std::to_string(width) + " x " + std::to_string(height) + " pixels";
    if (width < 1 || height < 1) refuse("image of " + size + " is no image");
    if (width > kMost || height > kMost || width * height > limits().pixels)
        refuse("image of " + size + " is too large (at most " + std::to_string(limits().pixels) + " pixels, --max-pixels)");
    Reduction reduction{least_reduction(width, height), 1};
    if (request_.reduction) reduction.most = std::max(1, request_.reduction(static_cast<int>(width), static_cast<int>(height)));
    if (reduction.least > reduction.most)
        refuse("image of " + size + " is too large (at most " + std::to_string(retinaface::kMaxPixels) + " pixels, " +
               std::to_string(retinaface::kMaxSide) + " a side; --max-side N has it read smaller)");
    image_.source.width = static_cast<int>(width);
    image_.source.height = static_cast<int>(height);
    return reduction;
}

void ImageBuilder::take(std::int64_t bytes) {
    memory_ += bytes;
    if (memory_ <= limits().memory) return;
    constexpr int kMegabyte = 1 << 20;
    refuse("decoding takes more memory than allowed (at least " + std::to_string(divided_up(memory_, kMegabyte)) + " MB of " +
           std::to_string(limits().memory / kMegabyte) + " MB, --max-memory)");
}

void ImageBuilder::begin(const Reduction& plan, int width, int height, retinaface::PixelFormat format, int reduced) {
    reduced_ = reduced;
    box_ = static_cast<int>(divided_up(plan.least, reduced));
    width_ = width;
    height_ = height;
    image_.format = format;
    image_.width = static_cast<int>(divided_up(width, box_));
    image_.height = static_cast<int>(divided_up(height, box_));
    const auto row = static_cast<std::size_t>(image_.width) * static_cast<std::size_t>(retinaface::bytes_per_pixel(format));
    const std::size_t size = row * static_cast<std::size_t>(image_.height);
    take(static_cast<std::int64_t>(size));
    image_.pixels.resize(size);
    next_ = image_.pixels.data();
    rows_ = 0;
    if (box_ == 1) return;
    row_.resize(static_cast<std::size_t>(width) * static_cast<std::size_t>(retinaface::bytes_per_pixel(format)));
    sums_.assign(row, 0);
}

void ImageBuilder::commit() {
    ++rows_;
    const auto channels = static_cast<std::size_t>(retinaface::bytes_per_pixel(image_.format));
    if (box_ == 1) {
        next_ += static_cast<std::size_t>(image_.width) * channels;
        return;
    }
    const auto box = static_cast<std::size_t>(box_), width = static_cast<std::size_t>(width_);
    for (std::size_t x = 0; x < width; ++x)
        for (std::size_t c = 0; c < channels; ++c) sums_[x / box * channels + c] += row_[x * channels + c];
    const int rows = (rows_ - 1) % box_ + 1;
    if (rows < box_ && rows_ < height_) return;
    for (std::size_t i = 0; i < sums_.size(); ++i) {
        const std::size_t first = i / channels * box;
        const auto count = static_cast<std::uint32_t>(std::min(box, width - first)) * static_cast<std::uint32_t>(rows);
        *next_++ = static_cast<std::uint8_t>((sums_[i] + count / 2) / count);
        sums_[i] = 0;
    }
}

Image ImageBuilder::finish() {
    const int scale = reduced_ * box_;
    image_.source.scale_x = image_.source.scale_y = static_cast<float>(scale);
    image_.warning = warning;
    return std::move(image_);
}

}  // namespace cli
