// Bringing an image to the network's size, and results back.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "face.hpp"
#include "image.hpp"
#include "options.hpp"

RETINAFACE_BEGIN_NAMESPACE

/// Maps the image to the network's input: the whole width and height of the image onto the whole resized width and height, pixel
/// edges on pixel edges (half-pixel centres). Padding lies right and bottom and moves nothing.
struct Transform {
    float scale_x = 1;  ///< network pixels an image pixel
    float scale_y = 1;

    Point to_network(Point p) const noexcept { return {p.x * scale_x, p.y * scale_y}; }
    Point to_image(Point p) const noexcept { return {p.x / scale_x, p.y / scale_y}; }
};

/// What the network sees of an image.
struct InputSize {
    int width = 0;  ///< of the resized image
    int height = 0;
    int padded_width = 0;  ///< of the network's input
    int padded_height = 0;
    Transform transform;
};

namespace detail {

/// Size of the network's input under a policy. Throws Error (invalid_argument) where it would exceed kMaxPixels.
inline InputSize input_size(int width, int height, const SizePolicy& policy, int multiple) {
    InputSize size{width, height, width, height, {}};
    if (policy.kind() != SizePolicy::Kind::original) {
        double scale = std::min(static_cast<double>(policy.width()) / width, static_cast<double>(policy.height()) / height);
        if (policy.kind() == SizePolicy::Kind::longest_side) scale = std::min(scale, 1.0);
        const auto scaled = [&](int side, int most) { return std::max(1, std::min(most, static_cast<int>(std::lround(side * scale)))); };
        size.width = scale == 1.0 ? width : scaled(width, policy.width());
        size.height = scale == 1.0 ? height : scaled(height, policy.height());
        size.padded_width = size.width;
        size.padded_height = size.height;
        if (policy.kind() == SizePolicy::Kind::exact) {
            size.padded_width = policy.width();
            size.padded_height = policy.height();
        }
        size.transform = {static_cast<float>(size.width) / static_cast<float>(width),
                          static_cast<float>(size.height) / static_cast<float>(height)};
    }
    size.padded_width = (size.padded_width + multiple - 1) / multiple * multiple;
    size.padded_height = (size.padded_height + multiple - 1) / multiple * multiple;
    if (std::int64_t{size.padded_width} * size.padded_height > kMaxPixels)
        throw Error(ErrorCode::invalid_argument, "size: at most " + std::to_string(kMaxPixels) + " pixels go to the network, found " +
                                                     std::to_string(size.padded_width) + " x " + std::to_string(size.padded_height));
    return size;
}

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
