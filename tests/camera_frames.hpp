// Camera frames of the tests: YUV memory in every layout, and frames of pictures.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "buffers.hpp"
#include "retinaface/camera.hpp"

namespace retinaface_test {

/// A YUV frame and where its rows lie. Memory ends with the last byte that belongs to the frame.
class CameraFrame {
public:
    /// Packed in one block; padded rows; planes apart and padded; all bottom-up.
    static constexpr int kLayouts = 4;

    CameraFrame(retinaface::PixelFormat format, int width, int height, retinaface::YuvRange range, int layout = 0)
        : format_(format), width_(width), height_(height), range_(range), layout_(layout) {
        using retinaface::PixelFormat;
        const std::ptrdiff_t row = retinaface::row_bytes(format, width);
        planar_ = format != PixelFormat::yuyv;
        const std::ptrdiff_t chroma_row = width + width % 2;
        chroma_rows_ = planar_ ? (height + 1) / 2 : 0;
        // Rows of the planes share a stride where the view does not name the second.
        stride_ = layout == 0 ? row : layout == 1 && planar_ ? std::max(row, chroma_row) + 6 : row + 5;
        chroma_stride_ = layout == 0 ? chroma_row : layout == 1 ? stride_ : chroma_row + 3;
        const bool gap_behind = planar_ && layout == 1;
        luma_.assign(static_cast<std::size_t>(stride_ * (height - 1) + (gap_behind ? stride_ : row)), 0xEE);
        if (planar_) {
            std::vector<std::uint8_t>& to = layout < 2 ? luma_ : chroma_;
            chroma_first_ = static_cast<std::ptrdiff_t>(to.size());
            to.resize(to.size() + static_cast<std::size_t>(chroma_stride_ * (chroma_rows_ - 1) + chroma_row), 0xEE);
        }
    }

    retinaface::ImageView view() const {
        retinaface::ImageView view(luma_.data(), width_, height_, format_);
        view.range = range_;
        if (layout_ != 0) view.stride = stride_;
        if (layout_ >= 2 && planar_) {
            view.chroma = chroma_.data();
            view.chroma_stride = chroma_stride_;
        }
        if (layout_ == 3) {
            view.data += stride_ * (height_ - 1);
            view.stride = -stride_;
            if (planar_) {
                view.chroma += chroma_stride_ * (chroma_rows_ - 1);
                view.chroma_stride = -chroma_stride_;
            }
        }
        return view;
    }

    void set(int x, int y, int luma, int u, int v) {
        *place(x, y, 0) = static_cast<std::uint8_t>(luma);
        *place(x, y, 1) = static_cast<std::uint8_t>(u);
        *place(x, y, 2) = static_cast<std::uint8_t>(v);
    }
    int luma(int x, int y) const { return *const_cast<CameraFrame*>(this)->place(x, y, 0); }
    int u(int x, int y) const { return *const_cast<CameraFrame*>(this)->place(x, y, 1); }
    int v(int x, int y) const { return *const_cast<CameraFrame*>(this)->place(x, y, 2); }

    /// U or V at the centre of pixel (x, y): as stored in YUYV, else linear between the centres of the blocks.
    double at_centre(int (CameraFrame::*component)(int, int) const, int x, int y) const {
        if (!planar_) return (this->*component)(x, y);
        const auto near = [](int at, int side) { return std::min(std::max(at, 0), side - 1); };
        double sum = 0;
        for (const int down : {0, 1})
            for (const int across : {0, 1}) {
                // The pixel's own block, or the one beyond its nearer edge.
                const int block_x = near(x + (across == 0 ? 0 : x % 2 != 0 ? 1 : -1), width_);
                const int block_y = near(y + (down == 0 ? 0 : y % 2 != 0 ? 1 : -1), height_);
                sum += (across == 0 ? 0.75 : 0.25) * (down == 0 ? 0.75 : 0.25) * (this->*component)(block_x, block_y);
            }
        return sum;
    }

private:
    /// Byte of component 0 (Y), 1 (U) or 2 (V) of pixel (x, y).
    std::uint8_t* place(int x, int y, int component) {
        using retinaface::PixelFormat;
        const int memory_y = layout_ == 3 ? height_ - 1 - y : y;
        if (!planar_) {
            const int offset = component == 0 ? 2 * x : x / 2 * 4 + (component == 1 ? 1 : 3);
            return luma_.data() + memory_y * stride_ + offset;
        }
        if (component == 0) return luma_.data() + memory_y * stride_ + x;
        const int pair = layout_ == 3 ? chroma_rows_ - 1 - y / 2 : y / 2;
        const int second = (component == 2) == (format_ == PixelFormat::nv12) ? 1 : 0;
        std::uint8_t* plane = layout_ < 2 ? luma_.data() + chroma_first_ : chroma_.data();
        return plane + pair * chroma_stride_ + x / 2 * 2 + second;
    }

    retinaface::PixelFormat format_;
    int width_, height_;
    retinaface::YuvRange range_;
    int layout_;
    bool planar_ = false;
    int chroma_rows_ = 0;
    std::ptrdiff_t stride_ = 0, chroma_stride_ = 0, chroma_first_ = 0;
    std::vector<std::uint8_t> luma_, chroma_;
};

/// Blocks of colour with noise.
inline CameraFrame random_frame(retinaface::PixelFormat format, int width, int height, retinaface::YuvRange range, int layout) {
    CameraFrame frame(format, width, height, range, layout);
    Random random(static_cast<std::uint64_t>(width * 100 + height));
    std::vector<int> colours;
    for (int i = 0; i < 3 * (width / 11 + 1) * (height / 9 + 1); ++i) colours.push_back(random.below(256));
    for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x) {
            const std::size_t block = static_cast<std::size_t>(3 * (y / 9 * (width / 11 + 1) + x / 11));
            frame.set(x, y, (colours[block] * 7 + random.below(256)) / 8, colours[block + 1], colours[block + 2]);
        }
    return frame;
}

/// A frame of an rgb8 picture: BT.601, U and V averaged over their pixels.
inline CameraFrame frame_of(const retinaface::ImageView& rgb, retinaface::PixelFormat format, retinaface::YuvRange range) {
    using retinaface::PixelFormat;
    CameraFrame frame(format, rgb.width, rgb.height, range);
    const bool full = range == retinaface::YuvRange::full;
    const int block_height = format == PixelFormat::yuyv ? 1 : 2;
    const auto rounded = [](double value) { return static_cast<int>(std::lround(std::min(std::max(value, 0.0), 255.0))); };
    for (int y0 = 0; y0 < rgb.height; y0 += block_height)
        for (int x0 = 0; x0 < rgb.width; x0 += 2) {
            double cb = 0, cr = 0;
            std::vector<double> luma;
            for (int y = y0; y < std::min(y0 + block_height, rgb.height); ++y)
                for (int x = x0; x < std::min(x0 + 2, rgb.width); ++x) {
                    const std::uint8_t* p = rgb.row(y) + 3 * x;
                    luma.push_back((0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2]) / 255);
                    cb += (p[2] / 255.0 - luma.back()) / 1.772;
                    cr += (p[0] / 255.0 - luma.back()) / 1.402;
                }
            const double count = static_cast<double>(luma.size());
            std::size_t i = 0;
            for (int y = y0; y < std::min(y0 + block_height, rgb.height); ++y)
                for (int x = x0; x < std::min(x0 + 2, rgb.width); ++x, ++i)
                    frame.set(x, y, rounded(full ? luma[i] * 255 : 16 + luma[i] * 219),
                              rounded(128 + cb / count * (full ? 255 : 224)), rounded(128 + cr / count * (full ? 255 : 224)));
        }
    return frame;
}

}  // namespace retinaface_test
