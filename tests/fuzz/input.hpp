// What a fuzz target makes of the bytes that it is given.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "retinaface/image.hpp"
#include "retinaface/options.hpp"

namespace retinaface_test {

/// Ends the target, so that libFuzzer keeps its input.
inline void require(bool right, const char* what) {
    if (right) return;
    std::fprintf(stderr, "violated: %s\n", what);
    std::abort();
}

/// Reads values off the front; after the end there are zeros.
class Input {
public:
    Input(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}

    std::size_t left() const { return size_; }
    std::uint8_t byte() {
        if (size_ == 0) return 0;
        --size_;
        return *data_++;
    }
    std::uint32_t word() {
        std::uint32_t value = 0;
        for (int i = 0; i < 4; ++i) value |= std::uint32_t{byte()} << (8 * i);
        return value;
    }
    /// 0 to limit - 1.
    int below(int limit) {
        return static_cast<int>((byte() | static_cast<unsigned>(byte()) << 8) % static_cast<unsigned>(limit));
    }
    /// Any float there is.
    float real() {
        const std::uint32_t bits = word();
        float value;
        std::memcpy(&value, &bits, sizeof value);
        return value;
    }
    /// Every other one is a whole number of moderate size, the rest any float.
    float number() { return byte() % 2 == 0 ? static_cast<float>(below(1200) - 200) + static_cast<float>(byte()) / 256 : real(); }
    /// Mostly 0 to `usual`, now and then any.
    int side(int usual) { return byte() % 8 != 0 ? below(usual + 1) : static_cast<int>(word()); }

private:
    const std::uint8_t* data_;
    std::size_t size_;
};

/// A view and the memory, exactly as large as the view's `size` says, that it lies in.
struct FuzzedImage {
    std::unique_ptr<std::uint8_t[]> memory;
    std::unique_ptr<std::uint8_t[]> chroma;
    retinaface::ImageView view;
};

/// Of any geometry; what it is not true to is refused by validate(), because `size` is true.
inline FuzzedImage fuzzed_image(Input& input, int usual_side) {
    using retinaface::PixelFormat;
    constexpr PixelFormat kFormats[] = {PixelFormat::rgb8,  PixelFormat::bgr8, PixelFormat::rgba8, PixelFormat::bgra8,
                                        PixelFormat::gray8, PixelFormat::nv12, PixelFormat::nv21,  PixelFormat::yuyv};
    const auto absolute = [](std::ptrdiff_t v) { return v < 0 ? -v : v; };
    FuzzedImage image;
    retinaface::ImageView& view = image.view;
    const int format = input.byte();
    view.format = format < 240 ? kFormats[format % 8] : static_cast<PixelFormat>(format);
    view.width = input.side(usual_side);
    view.height = input.side(usual_side);
    const int form = input.byte();
    if (form % 4 != 0) view.stride = retinaface::row_bytes(view.format, view.width) + input.below(9);
    if (form % 4 == 2) view.stride = -view.stride;
    if (form % 32 == 3) view.stride = static_cast<std::int32_t>(input.word());
    view.range = (form & 32) != 0 ? retinaface::YuvRange::full : retinaface::YuvRange::video;

    // What the picture needs, or up to three bytes less or more.
    const std::ptrdiff_t width = view.width, height = view.height, row = absolute(view.row_stride());
    constexpr std::ptrdiff_t kMost = std::ptrdiff_t{1} << 18;
    const bool sane = width > 0 && height > 0 && width < 4096 && height < 4096 && row < kMost / height;
    std::ptrdiff_t bytes = sane ? (height - 1) * row + retinaface::row_bytes(view.format, view.width) : 64;
    const bool two_planes = view.format == PixelFormat::nv12 || view.format == PixelFormat::nv21;
    if (two_planes && sane) {
        const std::ptrdiff_t pairs = width + width % 2, rows = (height + 1) / 2;
        if ((form & 64) != 0) view.chroma_stride = pairs + input.below(7);
        const std::ptrdiff_t chroma_row = absolute(view.chroma_row_stride());
        const std::ptrdiff_t chroma = (rows - 1) * chroma_row + pairs;
        if ((form & 128) != 0) {
            image.chroma = std::make_unique<std::uint8_t[]>(static_cast<std::size_t>(chroma));
            for (std::ptrdiff_t i = 0; i < chroma; ++i)
                image.chroma[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(37 * i + form);
            // Rows of pairs may run backwards too.
            view.chroma = image.chroma.get() + (view.chroma_row_stride() < 0 ? (rows - 1) * chroma_row : 0);
        } else {
            bytes = height * row + chroma;
        }
    }
    if (const int change = input.byte(); change < 6) bytes += change - 3;
    if (bytes < 1) bytes = 1;
    image.memory = std::make_unique<std::uint8_t[]>(static_cast<std::size_t>(bytes));
    std::uint32_t noise = 1;
    for (std::ptrdiff_t i = 0; i < bytes; ++i) {
        noise = noise * 1664525u + 1013904223u;
        image.memory[static_cast<std::size_t>(i)] = input.left() > 64 ? input.byte() : static_cast<std::uint8_t>(noise >> 24);
    }
    const std::ptrdiff_t first = view.stride < 0 && sane ? (height - 1) * row : 0;
    view.data = image.memory.get() + (first < bytes ? first : 0);
    view.size = static_cast<std::size_t>(bytes);
    return image;
}

inline retinaface::Rotation fuzzed_rotation(Input& input) {
    constexpr int kTurns[] = {0, 90, 180, 270, 45};
    return static_cast<retinaface::Rotation>(kTurns[input.byte() % 5]);
}

}  // namespace retinaface_test
