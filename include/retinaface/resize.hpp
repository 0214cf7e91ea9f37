// Bringing an image to the network's size, and results back.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "face.hpp"
#include "image.hpp"
#include "options.hpp"

RETINAFACE_BEGIN_NAMESPACE

/// Maps the image to the network's input: the whole width and height of the image onto the whole resized width and height, pixel
/// edges on pixel edges (half-pixel centres), mirrored left to right or not. Padding lies right and bottom and moves nothing.
struct Transform {
    float scale_x = 1;  ///< network pixels an image pixel
    float scale_y = 1;
    bool mirrored = false;
    float extent = 0;  ///< where mirrored: x becomes extent - x, the network's width without padding (less 1 where a profile's
                       ///< coordinates are those of pixel centres)

    Point to_network(Point p) const noexcept {
        const float x = p.x * scale_x;
        return {mirrored ? extent - x : x, p.y * scale_y};
    }
    Point to_image(Point p) const noexcept { return {(mirrored ? extent - p.x : p.x) / scale_x, p.y / scale_y}; }

    /// Boxes keep their left side left.
    Box box_to_network(const Box& box) const noexcept {
        return ordered(to_network({box.x1, box.y1}), to_network({box.x2, box.y2}));
    }
    Box box_to_image(const Box& box) const noexcept { return ordered(to_image({box.x1, box.y1}), to_image({box.x2, box.y2})); }

    /// Landmarks keep their order: the eye and the mouth corner on the image's left stay those on the left.
    std::array<Point, 5> landmarks_to_network(const std::array<Point, 5>& points) const noexcept {
        return mapped(points, [&](Point p) { return to_network(p); });
    }
    std::array<Point, 5> landmarks_to_image(const std::array<Point, 5>& points) const noexcept {
        return mapped(points, [&](Point p) { return to_image(p); });
    }

private:
    Box ordered(Point a, Point b) const noexcept { return mirrored ? Box{b.x, a.y, a.x, b.y} : Box{a.x, a.y, b.x, b.y}; }
    template <class Map>
    std::array<Point, 5> mapped(const std::array<Point, 5>& p, Map map) const noexcept {
        if (mirrored) return {map(p[1]), map(p[0]), map(p[2]), map(p[4]), map(p[3])};
        return {map(p[0]), map(p[1]), map(p[2]), map(p[3]), map(p[4])};
    }
};

/// What the network sees of an image.
struct InputSize {
    int width = 0;          ///< of the resized image
    int height = 0;         ///< of the resized image
    int padded_width = 0;   ///< of the network's input
    int padded_height = 0;  ///< of the network's input
    Transform transform;    ///< from the image's pixels to the network's and back
};

namespace detail {

/// Size of the network's input under a policy, times a factor. Error (invalid_argument) where it would exceed kMaxPixels.
inline Result<InputSize> input_size(int width, int height, const SizePolicy& policy, int multiple, double factor = 1) {
    using Kind = SizePolicy::Kind;
    double scale = 1;
    int most_width = kMaxSide, most_height = kMaxSide;  // what rounding must not exceed
    if (policy.kind() == Kind::longest_side || policy.kind() == Kind::exact) {
        scale = std::min(static_cast<double>(policy.width()) / width, static_cast<double>(policy.height()) / height);
        if (policy.kind() == Kind::longest_side) scale = std::min(scale, 1.0);
        const auto most = [&](int side) {
            return std::max(1, static_cast<int>(std::min<double>(kMaxSide, std::round(side * factor))));
        };
        most_width = most(policy.width());
        most_height = most(policy.height());
    } else if (policy.kind() == Kind::shortest_side) {
        scale = static_cast<double>(policy.width()) / std::min(width, height);
        if (policy.height() > 0) scale = std::min(scale, static_cast<double>(policy.height()) / std::max(width, height));
    }
    scale *= factor;

    InputSize size{width, height, width, height, {}};
    if (scale != 1.0) {
        const auto scaled = [&](int side, int most) {
            return static_cast<int>(std::max(1.0, std::min<double>(most, std::round(side * scale))));
        };
        size.width = size.padded_width = scaled(width, most_width);
        size.height = size.padded_height = scaled(height, most_height);
        size.transform = {static_cast<float>(size.width) / static_cast<float>(width),
                          static_cast<float>(size.height) / static_cast<float>(height)};
    }
    if (policy.kind() == Kind::exact) {
        size.padded_width = most_width;
        size.padded_height = most_height;
    }
    size.padded_width = (size.padded_width + multiple - 1) / multiple * multiple;
    size.padded_height = (size.padded_height + multiple - 1) / multiple * multiple;
    if (std::int64_t{size.padded_width} * size.padded_height > kMaxPixels)
        return Error(ErrorCode::invalid_argument, "size: at most " + std::to_string(kMaxPixels) +
                                                      " pixels go to the network, found " + std::to_string(size.padded_width) +
                                                      " x " + std::to_string(size.padded_height));
    return size;
}

/// Sides of the faces that one look finds well, in pixels of the network's input (measured: README, "Small faces, large faces").
constexpr float kBestFaces[2] = {20, 256};

/// The factors of an image's own size at which faces of the sides asked for (0: not said) lie within kBestFaces: as few as possible,
/// largest first.
inline Scales scales_for_faces(float smallest, float largest, int width, int height) {
    const auto within = [](float factor) { return std::max(Scales::kLeastFactor, std::min(factor, Scales::kMostFactor)); };
    const float shorter = static_cast<float>(std::min(width, height));
    largest = largest > 0 ? std::min(largest, shorter) : shorter;
    float factors[Scales::kMost];
    std::size_t count = 0;
    factors[count++] = within(smallest > 0 ? kBestFaces[0] / smallest : 1.0f);
    // Looks overlap by an octave, so that no face lies at the edge of two.
    const float step = 2 * kBestFaces[0] / kBestFaces[1], last = within(kBestFaces[1] / largest);
    while (factors[count - 1] > 1.05f * last && count < Scales::kMost) {
        const float next = factors[count - 1] * step;
        factors[count] = std::max(next, last);
        ++count;
    }
    return {factors, count};
}

/// The looks that detect() takes at one image: the inputs that it runs through the network.
struct Looks {
    std::array<InputSize, 2 * Scales::kMost> inputs;
    std::size_t count = 0;
};

/// `inclusive` as in Profile.
inline Result<Looks> make_looks(int width, int height, const Options& options, int multiple, float inclusive) {
    const bool by_faces = options.min_face > 0 || options.max_face > 0;
    const Scales scales = by_faces ? scales_for_faces(options.min_face, options.max_face, width, height) : options.scales;
    Looks looks;
    for (const float factor : scales) {
        const Result<InputSize> sized = input_size(width, height, options.size, multiple, static_cast<double>(factor));
        if (!sized) return sized.error();
        const InputSize input = *sized;
        looks.inputs[looks.count++] = input;
        if (!options.flip) continue;
        InputSize& mirrored = looks.inputs[looks.count++];
        mirrored = input;
        mirrored.transform.mirrored = true;
        mirrored.transform.extent = static_cast<float>(input.width) - inclusive;
    }
    return looks;
}

/// Left becomes right. Keeps its buffer from call to call.
class Mirror {
public:
    /// The image mirrored, packed, in the same pixel format. Valid until the next call.
    ImageView mirror(const ImageView& image) {
        const auto channels = static_cast<std::size_t>(bytes_per_pixel(image.format));
        const auto width = static_cast<std::size_t>(image.width);
        pixels_.resize(width * channels * static_cast<std::size_t>(image.height));
        std::uint8_t* dst = pixels_.data();
        for (int y = 0; y < image.height; ++y) {
            const std::uint8_t* src = image.row(y) + width * channels;
            for (std::size_t x = 0; x < width; ++x, dst += channels) {
                src -= channels;
                for (std::size_t c = 0; c < channels; ++c) dst[c] = src[c];
            }
        }
        return {pixels_.data(), image.width, image.height, image.format};
    }

private:
    std::vector<std::uint8_t> pixels_;
};

/// An image with black pixels added right and below.
class Padder {
public:
    /// The image at width x height, neither smaller than it, packed; itself where that is its size. Valid until the next call.
    ImageView pad(const ImageView& image, int width, int height) {
        if (width == image.width && height == image.height) return image;
        const auto channels = static_cast<std::size_t>(bytes_per_pixel(image.format));
        const std::size_t row = static_cast<std::size_t>(width) * channels;
        pixels_.assign(row * static_cast<std::size_t>(height), 0);
        for (int y = 0; y < image.height; ++y) {
            const std::uint8_t* src = image.row(y);
            std::copy(src, src + static_cast<std::size_t>(image.width) * channels,
                      pixels_.data() + static_cast<std::size_t>(y) * row);
        }
        return {pixels_.data(), width, height, image.format};
    }

private:
    std::vector<std::uint8_t> pixels_;
};

/// Separable bilinear resampling with half-pixel centres; the triangle widens when shrinking (antialiasing). Keeps its buffers
/// from call to call.
class Resizer {
public:
    /// The image at width x height, packed, in the same pixel format. Valid until the next call.
    ImageView resize(const ImageView& image, int width, int height) {
        const int channels = bytes_per_pixel(image.format);
        const auto row_values = static_cast<std::size_t>(width) * static_cast<std::size_t>(channels);
        make_taps(horizontal_, image.width, width);
        make_taps(vertical_, image.height, height);
        const int kept = vertical_.most;
        rows_.resize(row_values * static_cast<std::size_t>(kept));
        sums_.resize(row_values);
        pixels_.resize(row_values * static_cast<std::size_t>(height));

        int next = 0;  // first source row not resampled yet; row y lies in slot y % kept
        for (int y = 0; y < height; ++y) {
            const Taps::Range range = vertical_.ranges[static_cast<std::size_t>(y)];
            for (next = std::max(next, range.first); next < range.first + range.count; ++next)
                resample_row(image.row(next), channels, width, rows_.data() + static_cast<std::size_t>(next % kept) * row_values);
            std::fill(sums_.begin(), sums_.end(), 0.5f);
            for (int i = 0; i < range.count; ++i) {
                const float weight = vertical_.weights[range.offset + static_cast<std::size_t>(i)];
                const float* row = rows_.data() + static_cast<std::size_t>((range.first + i) % kept) * row_values;
                for (std::size_t k = 0; k < row_values; ++k) sums_[k] += weight * row[k];
            }
            std::uint8_t* out = pixels_.data() + static_cast<std::size_t>(y) * row_values;
            for (std::size_t k = 0; k < row_values; ++k) out[k] = static_cast<std::uint8_t>(std::min(sums_[k], 255.0f));
        }
        return {pixels_.data(), width, height, image.format};
    }

private:
    /// Source positions and weights of every destination position along one axis.
    struct Taps {
        struct Range {
            int first;
            int count;
            std::size_t offset;
        };
        std::vector<Range> ranges;
        std::vector<float> weights;
        int most = 0;
    };

    static void make_taps(Taps& taps, int from, int to) {
        const double step = static_cast<double>(from) / to;
        const double radius = std::max(1.0, step);
        taps.ranges.clear();
        taps.weights.clear();
        taps.most = 0;
        for (int i = 0; i < to; ++i) {
            const double centre = (i + 0.5) * step;
            const int first = std::max(0, static_cast<int>(std::floor(centre - radius)));
            const int last = std::min(from - 1, static_cast<int>(std::ceil(centre + radius)));
            const auto weight = [&](int j) { return std::max(0.0, 1.0 - std::abs(j + 0.5 - centre) / radius); };
            double sum = 0;
            for (int j = first; j <= last; ++j) sum += weight(j);
            taps.ranges.push_back({first, last - first + 1, taps.weights.size()});
            for (int j = first; j <= last; ++j) taps.weights.push_back(static_cast<float>(weight(j) / sum));
            taps.most = std::max(taps.most, last - first + 1);
        }
    }

    void resample_row(const std::uint8_t* src, int channels, int width, float* dst) const {
        for (int x = 0; x < width; ++x) {
            const Taps::Range range = horizontal_.ranges[static_cast<std::size_t>(x)];
            const float* weights = horizontal_.weights.data() + range.offset;
            const std::uint8_t* pixel = src + static_cast<std::ptrdiff_t>(range.first) * channels;
            float sum[4] = {};
            for (int i = 0; i < range.count; ++i, pixel += channels)
                for (int c = 0; c < channels; ++c) sum[c] += weights[i] * static_cast<float>(pixel[c]);
            for (int c = 0; c < channels; ++c) *dst++ = sum[c];
        }
    }

    Taps horizontal_;
    Taps vertical_;
    std::vector<float> rows_;
    std::vector<float> sums_;
    std::vector<std::uint8_t> pixels_;
};

}  // namespace detail
RETINAFACE_END_NAMESPACE
