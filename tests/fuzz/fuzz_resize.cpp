// libFuzzer target of resizing, against the definition: the mean of the image under a triangle, in double.
#include <algorithm>
#include <cmath>

#include "input.hpp"
#include "retinaface/resize.hpp"

namespace {

/// Weight of each source pixel for destination pixel `at`.
std::vector<double> weights_of(int at, int from, int to) {
    const double scale = static_cast<double>(from) / to, radius = std::max(scale, 1.0), centre = (at + 0.5) * scale - 0.5;
    std::vector<double> weights(static_cast<std::size_t>(from));
    double sum = 0;
    for (int i = 0; i < from; ++i) {
        const double weight = std::max(0.0, 1.0 - std::abs(i - centre) / radius);
        weights[static_cast<std::size_t>(i)] = weight;
        sum += weight;
    }
    for (double& weight : weights) weight /= sum;
    return weights;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace retinaface;
    using namespace retinaface_test;
    Input input(data, size);
    const int width = 1 + input.below(40), height = 1 + input.below(40);
    const FuzzedImage image = fuzzed_image(input, 40);
    if (!try_validate(image.view) || is_yuv(image.view.format) || image.view.width > 200 || image.view.height > 200) return 0;

    detail::Resizer resizer;
    const ImageView found = resizer.resize(image.view, width, height);
    require(found.width == width && found.height == height, "the size");
    const int channels = bytes_per_pixel(image.view.format);
    for (int y = 0; y < height; ++y) {
        const std::vector<double> down = weights_of(y, image.view.height, height);
        for (int x = 0; x < width; ++x) {
            const std::vector<double> across = weights_of(x, image.view.width, width);
            for (int c = 0; c < channels; ++c) {
                double sum = 0;
                for (int j = 0; j < image.view.height; ++j) {
                    if (down[static_cast<std::size_t>(j)] == 0) continue;
                    for (int i = 0; i < image.view.width; ++i)
                        sum += down[static_cast<std::size_t>(j)] * across[static_cast<std::size_t>(i)] *
                               image.view.row(j)[i * channels + c];
                }
                require(std::abs(found.row(y)[x * channels + c] - sum) < 0.51, "within rounding of the definition");
            }
        }
    }
    return 0;
}
