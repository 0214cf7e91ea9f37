// Alignment: crops of a fixed size in which eyes, nose and mouth lie where a face recognition network expects them.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "camera.hpp"
#include "detail/warp.hpp"
#include "face.hpp"
#include "span.hpp"

RETINAFACE_BEGIN_NAMESPACE

/// Turns, scales and shifts: x' = a x - b y + dx, y' = b x + a y + dy.
struct Similarity {
    double a = 1;
    double b = 0;
    double dx = 0;
    double dy = 0;

    /// How many times longer it makes a line.
    double scale() const noexcept { return std::hypot(a, b); }
    Point operator()(Point p) const noexcept {
        const double x = static_cast<double>(p.x), y = static_cast<double>(p.y);
        return {static_cast<float>(a * x - b * y + dx), static_cast<float>(b * x + a * y + dy)};
    }
    /// The way back. scale() is not 0.
    Similarity inverse() const noexcept {
        const double square = a * a + b * b, c = a / square, s = -b / square;
        return {c, s, -(c * dx - s * dy), -(s * dx + c * dy)};
    }
};

/// `outer` after `inner`.
inline Similarity compose(const Similarity& outer, const Similarity& inner) noexcept {
    return {outer.a * inner.a - outer.b * inner.b, outer.b * inner.a + outer.a * inner.b,
            outer.a * inner.dx - outer.b * inner.dy + outer.dx, outer.b * inner.dx + outer.a * inner.dy + outer.dy};
}

namespace detail {

inline Error align_error(const std::string& what) { return {ErrorCode::invalid_argument, "align: " + what}; }

/// See estimate_similarity().
inline Result<Similarity> similarity_of(Span<const Point> from, Span<const Point> to) {
    if (from.size() != to.size() || from.size() < 2)
        return align_error("expected two or more pairs of points, found " + std::to_string(from.size()) + " and " +
                           std::to_string(to.size()));
    for (const Span<const Point> points : {from, to})
        for (const Point& p : points)
            if (!(std::abs(p.x) < kMaxSide * 256.0f && std::abs(p.y) < kMaxSide * 256.0f))
                return align_error("points must be finite and near the image");
    struct Centre {
        double x = 0, y = 0;
    };
    const auto centre = [&](Span<const Point> points) {
        Centre c;
        for (const Point& p : points) {
            c.x += static_cast<double>(p.x);
            c.y += static_cast<double>(p.y);
        }
        const auto n = static_cast<double>(points.size());
        return Centre{c.x / n, c.y / n};
    };
    const Centre f = centre(from), t = centre(to);
    // As complex numbers: the factor z that minimises the sum of |t - z f|^2 is sum(conj(f) t) / sum(|f|^2).
    double along = 0, across = 0, spread_from = 0, spread_to = 0;
    for (std::size_t i = 0; i < from.size(); ++i) {
        const double fx = static_cast<double>(from[i].x) - f.x, fy = static_cast<double>(from[i].y) - f.y;
        const double tx = static_cast<double>(to[i].x) - t.x, ty = static_cast<double>(to[i].y) - t.y;
        along += fx * tx + fy * ty;
        across += fx * ty - fy * tx;
        spread_from += fx * fx + fy * fy;
        spread_to += tx * tx + ty * ty;
    }
    const auto n = static_cast<double>(from.size());
    const auto coincide = [&](double spread, const Centre& c) { return !(spread > 1e-10 * n * (c.x * c.x + c.y * c.y + 1)); };
    if (coincide(spread_from, f) || coincide(spread_to, t)) return align_error("the points coincide");
    // Share of the spread that the similarity explains.
    if (!(along * along + across * across > 1e-6 * spread_from * spread_to))
        return align_error("the points bear no likeness to the template");
    Similarity s;
    s.a = along / spread_from;
    s.b = across / spread_from;
    s.dx = t.x - (s.a * f.x - s.b * f.y);
    s.dy = t.y - (s.b * f.x + s.a * f.y);
    return s;
}

}  // namespace detail

/// The similarity that brings `from` nearest to `to` in the sense of least squares (Umeyama, 1991, in closed form for the plane; never a
/// reflection). Throws Error (invalid_argument): fewer than two points, not as many on both sides, points that are not finite, that
/// coincide, or that bear no likeness to each other.
inline Similarity estimate_similarity(Span<const Point> from, Span<const Point> to) {
    return detail::similarity_of(from, to).value();
}
inline Result<Similarity> try_estimate_similarity(Span<const Point> from, Span<const Point> to) noexcept {
    return detail::as_result([&] { return detail::similarity_of(from, to); });
}

/// Where the five landmarks lie in a crop. Here and in crops whole numbers are pixel centres, as ArcFace and OpenCV count.
struct AlignTemplate {
    int width = 0;
    int height = 0;
    std::array<Point, 5> points{};  ///< in Face::landmarks' order

    /// The same crop size, showing `margin` times the template's width and height more on every side. margin > -0.5.
    AlignTemplate with_margin(float margin) const {
        AlignTemplate wider = *this;
        const auto shrunk = [&](float v, int side) {
            return (v + 0.5f + margin * static_cast<float>(side)) / (1 + 2 * margin) - 0.5f;
        };
        for (Point& p : wider.points) p = {shrunk(p.x, width), shrunk(p.y, height)};
        return wider;
    }
};

namespace detail {

/// See retinaface::arcface_template().
inline Result<AlignTemplate> arcface_points(int size) {
    const bool wide = size % 112 != 0;
    if (size < 1 || size > kMaxSide || (wide && size % 128 != 0))
        return align_error("ArcFace sizes are multiples of 112 or 128 up to " + std::to_string(kMaxSide) + ", found " +
                           std::to_string(size));
    constexpr double kPoints[5][2] = {
        {38.2946, 51.6963}, {73.5318, 51.5014}, {56.0252, 71.7366}, {41.5493, 92.3655}, {70.7299, 92.2041}};
    const double ratio = size / (wide ? 128.0 : 112.0), shift = wide ? 8.0 * ratio : 0.0;
    AlignTemplate result{size, size, {}};
    for (std::size_t i = 0; i < 5; ++i)
        result.points[i] = {static_cast<float>(kPoints[i][0] * ratio + shift), static_cast<float>(kPoints[i][1] * ratio)};
    return result;
}

}  // namespace detail

/// ArcFace's template for a square crop. For multiples of 112 it is the 112 x 112 template scaled; for other multiples of 128 the crop has
/// the same height around the face and a wider field: scaled by size / 128 and moved right by 8 * size / 128. Throws Error
/// (invalid_argument) for other sizes.
inline AlignTemplate arcface_template(int size = 112) { return detail::arcface_points(size).value(); }
inline Result<AlignTemplate> try_arcface_template(int size = 112) noexcept {
    return detail::as_result([&] { return detail::arcface_points(size); });
}

/// A crop, rgb8, rows packed.
struct AlignedCrop {
    ImageView image;      ///< valid until the Aligner's next crop()
    Similarity to_crop;   ///< from the image's pixels (pixel centres whole) to the crop's
    Similarity to_image;  ///< the way back
};

/// Cuts aligned crops. Bilinear; outside the image is black; where the face is much larger than the crop, from means of whole squares of
/// pixels, so that nothing is skipped. One thread at a time; allocates nothing for an image and a face of sizes already seen.
class Aligner {
public:
    /// Throws Error: invalid_argument for a template of no size, or whose points coincide; unsupported where
    /// `isa` is not available (the result is the same on all).
    explicit Aligner(const AlignTemplate& crop = arcface_template(), Isa isa = Isa::automatic)
        : template_(crop), warp_(kernels::find<kernels::WarpRow>(resolved(isa))), yuv_(isa), reducer_(isa) {
        check(crop, isa).value();
    }
    static Result<Aligner> create(const AlignTemplate& crop, Isa isa = Isa::automatic) noexcept {
        return detail::as_result([&]() -> Result<Aligner> {
            if (const Result<void> checked = check(crop, isa); !checked) return checked.error();
            return Aligner(crop, isa);
        });
    }

    static constexpr int kMaxCrop = 4096;  ///< pixels, the longest side of a crop

    const AlignTemplate& crop_template() const noexcept { return template_; }

    /// The crop of a face whose landmarks are in pixels of `image` (turned by `rotation`, as detect() was told; not `automatic`:
    /// Workspace::rotation() says which it was). Throws Error (invalid_argument): an invalid image or rotation; landmarks that coincide, are not finite or resemble no face.
    AlignedCrop crop(const ImageView& image, const std::array<Point, 5>& landmarks, Rotation rotation = Rotation::none) {
        return crop_of(image, landmarks, rotation).value();
    }
    Result<AlignedCrop> try_crop(const ImageView& image, const std::array<Point, 5>& landmarks,
                                 Rotation rotation = Rotation::none) noexcept {
        return detail::as_result([&] { return crop_of(image, landmarks, rotation); });
    }

    /// The crop that a given similarity (from the turned image's pixels to the crop's) shows; `rotation` as of crop(). Throws Error (invalid_argument): an
    /// invalid image or rotation; a similarity that shrinks or enlarges beyond measure, or shows a place far from the image.
    AlignedCrop warp(const ImageView& image, const Similarity& to_crop, Rotation rotation = Rotation::none) {
        return warp_of(image, to_crop, rotation).value();
    }
    Result<AlignedCrop> try_warp(const ImageView& image, const Similarity& to_crop, Rotation rotation = Rotation::none) noexcept {
        return detail::as_result([&] { return warp_of(image, to_crop, rotation); });
    }

private:
    static Result<void> check(const AlignTemplate& crop, Isa isa) {
        if (!available(isa))
            return Error(ErrorCode::unsupported,
                         std::string("align: isa ") + to_string(isa) + " is not in this build or not on this CPU");
        if (crop.width < 1 || crop.height < 1 || crop.width > kMaxCrop || crop.height > kMaxCrop)
            return detail::align_error("crop sides must be 1.." + std::to_string(kMaxCrop) + ", found " +
                                       std::to_string(crop.width) + " x " + std::to_string(crop.height));
        if (const Result<Similarity> likeness = detail::similarity_of(crop.points, crop.points); !likeness)
            return likeness.error();
        return {};
    }

    Result<AlignedCrop> crop_of(const ImageView& image, const std::array<Point, 5>& landmarks, Rotation rotation) {
        const Result<Similarity> to_crop = detail::similarity_of(landmarks, template_.points);
        if (!to_crop) return to_crop.error();
        return warp_of(image, *to_crop, rotation);
    }

    Result<AlignedCrop> warp_of(const ImageView& image, const Similarity& to_crop, Rotation rotation) {
        if (const Result<void> checked = detail::check(image); !checked) return checked.error();
        const Result<Similarity> turned = stored_of_turned(image, rotation);
        if (!turned) return turned.error();
        const double scale = to_crop.scale();
        if (!(scale > 1e-4 && scale < 1e6)) return detail::align_error("the face is too large or too small");
        AlignedCrop result{{}, to_crop, to_crop.inverse()};
        const Similarity to_stored = compose(*turned, result.to_image);

        // The part of the image that the crop shows, as far as there is one.
        const Bounds bounds = bounds_of(to_stored);
        const auto near = [](double v) { return std::abs(v) < 1e9; };  // false for NaN
        if (!(near(bounds.left) && near(bounds.right) && near(bounds.top) && near(bounds.bottom)))
            return detail::align_error("the face is too far from the image");
        const auto bytes = static_cast<std::size_t>(3 * template_.width) * static_cast<std::size_t>(template_.height);
        pixels_.resize(bytes + 4);
        result.image = {pixels_.data(), template_.width, template_.height, PixelFormat::rgb8};
        if (bounds.right < -1 || bounds.bottom < -1 || bounds.left > image.width || bounds.top > image.height) {
            std::fill(pixels_.begin(), pixels_.end(), std::uint8_t{0});
            return result;
        }

        int origin_x = 0, origin_y = 0;
        kernels::WarpSource source = pixels_of(image, bounds, origin_x, origin_y);
        Similarity to_source = to_stored;
        to_source.dx -= origin_x;
        to_source.dy -= origin_y;

        // Below two pixels of the image a pixel of the crop, bilinear sampling sees them all.
        const int factor = std::min(static_cast<int>(to_source.scale()), detail::Reducer::kMostFactor);
        if (factor >= 2) {
            const auto square = [&](double v) { return static_cast<int>(std::floor(v / factor)); };
            // A square more on each side: the border between the image and the black outside is a bilinear one.
            const int left = square(std::max(bounds.left - origin_x, 0.0)) - 2,
                      top = square(std::max(bounds.top - origin_y, 0.0)) - 2;
            const int right = square(std::min(bounds.right - origin_x, source.width + 0.0)) + 4;
            const int bottom = square(std::min(bounds.bottom - origin_y, source.height + 0.0)) + 4;
            source = reducer_.reduce(source, factor, left, top, right - left, bottom - top);
            // Square i has its centre at pixel i * factor + (factor - 1) / 2.
            const auto shift = [&](double d, int first) { return (d - 0.5 * (factor - 1)) / factor - first; };
            to_source = {to_source.a / factor, to_source.b / factor, shift(to_source.dx, left), shift(to_source.dy, top)};
        }
        const auto fixed = [](double v) { return static_cast<std::int64_t>(std::llround(std::ldexp(v, kernels::kWarpPoint))); };
        detail::warp(warp_, source, {fixed(to_source.dx), fixed(to_source.dy)}, {fixed(to_source.a), fixed(to_source.b)},
                     template_.width, template_.height, pixels_.data());
        return result;
    }

    struct Bounds {
        double left, top, right, bottom;
    };

    /// Positions in the stored image of those in the turned one.
    static Result<Similarity> stored_of_turned(const ImageView& image, Rotation rotation) {
        const double right = image.width - 1, bottom = image.height - 1;
        switch (rotation) {
            case Rotation::none: return Similarity{};
            case Rotation::clockwise_90: return Similarity{0, -1, 0, bottom};
            case Rotation::clockwise_180: return Similarity{-1, 0, right, bottom};
            case Rotation::clockwise_270: return Similarity{0, 1, right, 0};
            case Rotation::automatic: break;  // of a detector's options: Workspace::rotation() says what became of it
        }
        return detail::align_error("rotation must be 0, 90, 180 or 270, found " + std::to_string(static_cast<int>(rotation)));
    }

    Bounds bounds_of(const Similarity& s) const {
        const double w = template_.width - 1, h = template_.height - 1;
        struct Range {
            double low, high;
        };
        const auto range = [](double origin, double across, double down) {
            return Range{origin + std::min(across, 0.0) + std::min(down, 0.0),
                         origin + std::max(across, 0.0) + std::max(down, 0.0)};
        };
        const auto [left, right] = range(s.dx, s.a * w, -s.b * h);
        const auto [top, bottom] = range(s.dy, s.b * w, s.a * h);
        return {left, top, right, bottom};
    }

    /// The pixels to sample: those of the image, or a copy in colours of the part wanted where it is YUV. (origin_x, origin_y): where
    /// they begin.
    kernels::WarpSource pixels_of(const ImageView& image, const Bounds& bounds, int& origin_x, int& origin_y) {
        ImageView view = image;
        if (is_yuv(image.format)) {
            // Whole pairs and blocks, and one more around them: U and V are interpolated.
            const auto low = [](double v, int side) {
                return std::clamp(static_cast<int>(std::floor(v)) - 3, 0, side - 1) / 2 * 2;
            };
            const auto high = [](double v, int side) { return std::clamp(static_cast<int>(std::floor(v)) + 5, 1, side); };
            origin_x = low(bounds.left, image.width);
            origin_y = low(bounds.top, image.height);
            ImageView part(image.row(origin_y) + std::ptrdiff_t{origin_x} * bytes_per_pixel(image.format),
                           std::max(high(bounds.right, image.width) - origin_x, 1),
                           std::max(high(bounds.bottom, image.height) - origin_y, 1), image.format, image.row_stride());
            if (image.format != PixelFormat::yuyv) {
                part.chroma = image.chroma_row(origin_y / 2) + origin_x;
                part.chroma_stride = image.chroma_row_stride();
            }
            part.range = image.range;
            view = colours_.convert(part, Rotation::none, {nullptr, 1}, yuv_);
        }
        kernels::WarpSource source{view.data, view.row_stride(), view.width, view.height, bytes_per_pixel(view.format),
                                   {0, 1, 2}};
        if (view.format == PixelFormat::bgr8 || view.format == PixelFormat::bgra8) std::swap(source.order[0], source.order[2]);
        if (view.format == PixelFormat::gray8) source.order[1] = source.order[2] = 0;
        return source;
    }

    AlignTemplate template_;
    kernels::WarpRow warp_;
    detail::YuvKernels yuv_;
    detail::Upright colours_;
    detail::Reducer reducer_;
    std::vector<std::uint8_t> pixels_;
};

RETINAFACE_END_NAMESPACE
