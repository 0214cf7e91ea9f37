#include "draw.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace cli {

namespace {

struct Colour {
    std::uint8_t r, g, b;
};

constexpr Colour kBox{60, 255, 60};
constexpr Colour kDark{0, 0, 0};
constexpr std::array<Colour, 5> kLandmarks{{{255, 60, 60}, {80, 140, 255}, {60, 255, 60}, {255, 230, 40}, {255, 80, 255}}};

// Digits and point, five columns by seven rows, bit 4 is the left column.
constexpr int kGlyphWidth = 5, kGlyphHeight = 7;
constexpr std::uint8_t kDigits[11][kGlyphHeight] = {
    {0x0e, 0x11, 0x13, 0x15, 0x19, 0x11, 0x0e}, {0x04, 0x0c, 0x04, 0x04, 0x04, 0x04, 0x0e},
    {0x0e, 0x11, 0x01, 0x02, 0x04, 0x08, 0x1f}, {0x1f, 0x02, 0x04, 0x02, 0x01, 0x11, 0x0e},
    {0x02, 0x06, 0x0a, 0x12, 0x1f, 0x02, 0x02}, {0x1f, 0x10, 0x1e, 0x01, 0x01, 0x11, 0x0e},
    {0x06, 0x08, 0x10, 0x1e, 0x11, 0x11, 0x0e}, {0x1f, 0x01, 0x02, 0x04, 0x08, 0x08, 0x08},
    {0x0e, 0x11, 0x11, 0x0e, 0x11, 0x11, 0x0e}, {0x0e, 0x11, 0x11, 0x0f, 0x01, 0x02, 0x0c},
    {0x00, 0x00, 0x00, 0x00, 0x00, 0x0c, 0x0c},
};

class Canvas {
public:
    Canvas(const Image& source, int zoom) {
        image_.width = source.width * zoom;
        image_.height = source.height * zoom;
        image_.pixels.resize(3 * static_cast<std::size_t>(image_.width) * static_cast<std::size_t>(image_.height));
        const retinaface::ImageView view = source.view();
        const int bytes = retinaface::bytes_per_pixel(source.format);
        for (int y = 0; y < image_.height; ++y) {
            for (int x = 0; x < image_.width; ++x) {
                const std::uint8_t* p = view.row(y / zoom) + x / zoom * bytes;
                set(x, y, bytes == 1 ? Colour{p[0], p[0], p[0]} : Colour{p[0], p[1], p[2]});
            }
        }
    }

    // [x1, x2) x [y1, y2), clipped.
    void fill(int x1, int y1, int x2, int y2, Colour colour) {
        for (int y = std::max(y1, 0); y < std::min(y2, image_.height); ++y)
            for (int x = std::max(x1, 0); x < std::min(x2, image_.width); ++x) set(x, y, colour);
    }

    // A frame of `thickness` pixels around [x1, x2) x [y1, y2).
    void frame(int x1, int y1, int x2, int y2, int thickness, Colour colour) {
        fill(x1 - thickness, y1 - thickness, x2 + thickness, y1, colour);
        fill(x1 - thickness, y2, x2 + thickness, y2 + thickness, colour);
        fill(x1 - thickness, y1, x1, y2, colour);
        fill(x2, y1, x2 + thickness, y2, colour);
    }

    void disc(float cx, float cy, float radius, Colour colour) {
        const int x1 = std::max(static_cast<int>(std::floor(cx - radius)), 0);
        const int y1 = std::max(static_cast<int>(std::floor(cy - radius)), 0);
        for (int y = y1; y < image_.height && static_cast<float>(y) <= cy + radius; ++y) {
            for (int x = x1; x < image_.width && static_cast<float>(x) <= cx + radius; ++x) {
                const float dx = static_cast<float>(x) + 0.5f - cx, dy = static_cast<float>(y) + 0.5f - cy;
                if (dx * dx + dy * dy <= radius * radius) set(x, y, colour);
            }
        }
    }

    // Digits and points only.
    void text(int x, int y, const char* characters, int zoom, Colour colour) {
        for (; *characters != '\0'; ++characters, x += (kGlyphWidth + 1) * zoom) {
            const std::uint8_t* rows = kDigits[*characters == '.' ? 10 : *characters - '0'];
            for (int row = 0; row < kGlyphHeight; ++row)
                for (int column = 0; column < kGlyphWidth; ++column)
                    if ((rows[row] >> (kGlyphWidth - 1 - column) & 1) != 0)
                        fill(x + column * zoom, y + row * zoom, x + (column + 1) * zoom, y + (row + 1) * zoom, colour);
        }
    }

    int width() const { return image_.width; }
    int height() const { return image_.height; }
    Image take() && { return std::move(image_); }

private:
    void set(int x, int y, Colour colour) {
        std::uint8_t* p = image_.pixels.data() + 3 * (static_cast<std::size_t>(y) * static_cast<std::size_t>(image_.width) +
                                                      static_cast<std::size_t>(x));
        p[0] = colour.r;
        p[1] = colour.g;
        p[2] = colour.b;
    }

    Image image_;
};

// A coordinate far outside the picture, or none at all, must not overflow.
int to_pixel(float v) { return static_cast<int>(std::lround(std::clamp(std::isfinite(v) ? v : 0.0f, -1e6f, 1e6f))); }

void draw_face(Canvas& canvas, const retinaface::Face& face, float zoom) {
    const int x1 = to_pixel(face.box.x1 * zoom), y1 = to_pixel(face.box.y1 * zoom);
    const int x2 = std::max(to_pixel(face.box.x2 * zoom), x1 + 1), y2 = std::max(to_pixel(face.box.y2 * zoom), y1 + 1);
    const int side = std::min(x2 - x1, y2 - y1);
    const int longest = std::max(canvas.width(), canvas.height());

    const int thickness = std::clamp(longest / 256, 1, std::max(1 + longest / 1600, side / 16));
    canvas.frame(x1 - thickness, y1 - thickness, x2 + thickness, y2 + thickness, 1, kDark);
    canvas.frame(x1, y1, x2, y2, thickness, kBox);

    const float radius = std::max(1.0f, static_cast<float>(side) / 30.0f);
    for (std::size_t i = 0; i < face.landmarks.size(); ++i) {
        const float x = face.landmarks[i].x * zoom, y = face.landmarks[i].y * zoom;
        if (!(std::abs(x) < 1e6f && std::abs(y) < 1e6f)) continue;
        if (radius >= 2) canvas.disc(x, y, radius + std::max(1.0f, radius / 4), kDark);
        canvas.disc(x, y, radius, kLandmarks[i]);
    }

    char score[16];
    std::snprintf(score, sizeof score, "%.2f", static_cast<double>(std::clamp(face.score, 0.0f, 1.0f)));
    const int least_zoom = 1 + longest / 1600;
    const int text_zoom = std::clamp(side / 40, least_zoom, std::max(least_zoom, longest / 200));
    const int label_width = (4 * (kGlyphWidth + 1) + 1) * text_zoom, label_height = (kGlyphHeight + 2) * text_zoom;
    // Above the box; below where the picture ends, inside where both are cut off.
    int top = y1 - thickness - label_height;
    if (top < 0) top = y2 + thickness;
    if (top + label_height > canvas.height()) top = std::max(y1, 0);
    const int left = std::clamp(x1 - thickness, 0, std::max(0, canvas.width() - label_width));
    canvas.fill(left, top, left + label_width, top + label_height, kBox);
    canvas.text(left + text_zoom, top + text_zoom, score, text_zoom, kDark);
}

}  // namespace

Image draw_faces(const Image& image, retinaface::Span<const retinaface::Face> faces) {
    constexpr int kLegible = 400, kMostZoom = 16;
    const int longest = std::max(image.width, image.height);
    const int zoom = std::clamp((kLegible + longest - 1) / longest, 1, kMostZoom);
    Canvas canvas(image, zoom);
    // The best face last, on top.
    for (std::size_t i = faces.size(); i > 0; --i) draw_face(canvas, faces[i - 1], static_cast<float>(zoom));
    return std::move(canvas).take();
}

}  // namespace cli
