// Resizing against a direct evaluation in double, size policies, and the way back.

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "images.hpp"
#include "retinaface/resize.hpp"
#include "support/trim.hpp"

namespace {

using namespace retinaface_test;
using namespace retinaface;

/// One output value: the mean of all source pixels weighted by a triangle around the place where the output pixel's centre lies; the
/// triangle reaches one pixel, or as many as shrink to one. Pixels outside do not count.
double plain_value(const ImageView& image, int width, int height, int x, int y, int c) {
    const double step_x = static_cast<double>(image.width) / width, step_y = static_cast<double>(image.height) / height;
    const auto triangle = [](int source, int destination, double step) {
        const double distance = std::abs((source + 0.5) - (destination + 0.5) * step);
        return std::max(0.0, 1 - distance / std::max(step, 1.0));
    };
    double sum = 0, weights = 0;
    for (int sy = 0; sy < image.height; ++sy) {
        const double wy = triangle(sy, y, step_y);
        if (wy == 0) continue;
        for (int sx = 0; sx < image.width; ++sx) {
            const double weight = wy * triangle(sx, x, step_x);
            sum += weight * image.row(sy)[sx * bytes_per_pixel(image.format) + c];
            weights += weight;
        }
    }
    return sum / weights;
}

struct Change {
    int from_width, from_height, width, height;
};

TEST_CASE("resized pixels are the rounded values of the definition") {
    const Change changes[] = {{40, 30, 40, 30}, {40, 30, 20, 15}, {40, 30, 13, 11}, {40, 30, 80, 60}, {40, 30, 57, 41},
                              {40, 30, 41, 7},  {40, 30, 7, 90},  {40, 30, 1, 1},   {1, 1, 1, 1},     {1, 1, 9, 5},
                              {2, 3, 17, 19},   {1, 50, 3, 10},   {50, 1, 10, 3},   {97, 61, 96, 60}, {61, 97, 60, 98},
                              {200, 3, 30, 1},  {33, 33, 32, 34}};
    detail::Resizer resizer;  // one for all: nothing is left behind from call to call
    for (const Change& change : changes) {
        const Picture rgb = random_picture(change.from_width, change.from_height, 3);
        for (const PixelFormat format : {PixelFormat::rgb8, PixelFormat::bgra8, PixelFormat::gray8}) {
            for (const bool bottom_up : {false, true}) {
                if (trimmed() && bottom_up && format != PixelFormat::rgb8) continue;
                CAPTURE(change.from_width);
                CAPTURE(change.from_height);
                CAPTURE(change.width);
                CAPTURE(change.height);
                CAPTURE(static_cast<int>(format));
                CAPTURE(bottom_up);
                const Picture picture = converted(rgb, format, 5, bottom_up);
                const ImageView out = resizer.resize(picture.view(), change.width, change.height);
                REQUIRE(out.width == change.width);
                REQUIRE(out.height == change.height);
                REQUIRE(out.format == format);
                const int channels = bytes_per_pixel(format);
                double worst = 0;
                for (int y = 0; y < out.height; ++y)
                    for (int x = 0; x < out.width; ++x)
                        for (int c = 0; c < channels; ++c)
                            worst = std::max(worst, std::abs(out.row(y)[x * channels + c] -
                                                             plain_value(picture.view(), out.width, out.height, x, y, c)));
                CHECK(worst <= 0.5 + 1e-3);
            }
        }
    }
}

TEST_CASE("the same size is the same picture, and flat stays flat") {
    detail::Resizer resizer;
    const Picture picture = random_picture(23, 17, 4);
    const ImageView same = resizer.resize(picture.view(), 23, 17);
    CHECK(std::equal(picture.bytes.begin(), picture.bytes.end(), same.data));
    for (const int value : {0, 1, 127, 254, 255}) {
        const Picture flat = rgb_picture(37, 29, std::vector<std::uint8_t>(37 * 29 * 3, static_cast<std::uint8_t>(value)));
        for (const Change change : {Change{37, 29, 11, 8}, Change{37, 29, 90, 70}, Change{37, 29, 36, 30}}) {
            CAPTURE(value);
            CAPTURE(change.width);
            const ImageView out = resizer.resize(flat.view(), change.width, change.height);
            CHECK(std::all_of(out.data, out.data + out.width * out.height * 3, [&](std::uint8_t v) { return v == value; }));
        }
    }
}

struct PolicyCase {
    SizePolicy policy;
    int width, height, multiple;
    int resized_width, resized_height, padded_width, padded_height;
};

TEST_CASE("what size the network sees") {
    const SizePolicy original = SizePolicy::original();
    const auto longest = [](int side) { return SizePolicy::longest_side(side); };
    const auto exact = [](int w, int h) { return SizePolicy::exact(w, h); };
    const PolicyCase cases[] = {
        {original, 640, 480, 1, 640, 480, 640, 480},
        {original, 1, 1, 1, 1, 1, 1, 1},
        {original, 1, 1, 32, 1, 1, 32, 32},
        {original, 33, 47, 32, 33, 47, 64, 64},
        {original, 64, 96, 32, 64, 96, 64, 96},
        {original, 5000, 3, 32, 5000, 3, 5024, 32},
        {longest(320), 640, 480, 1, 320, 240, 320, 240},
        {longest(320), 480, 640, 1, 240, 320, 240, 320},
        {longest(1000), 640, 480, 1, 640, 480, 640, 480},  // never enlarges
        {longest(640), 640, 480, 1, 640, 480, 640, 480},
        {longest(100), 333, 77, 1, 100, 23, 100, 23},
        {longest(100), 333, 77, 32, 100, 23, 128, 32},
        {longest(640), 1, 5000, 1, 1, 640, 1, 640},
        {longest(640), 5000, 3, 1, 640, 1, 640, 1},
        {longest(1), 5000, 3, 1, 1, 1, 1, 1},
        {exact(640, 480), 640, 480, 1, 640, 480, 640, 480},
        {exact(640, 480), 320, 240, 1, 640, 480, 640, 480},
        {exact(640, 480), 480, 640, 1, 360, 480, 640, 480},
        {exact(640, 480), 1280, 200, 1, 640, 100, 640, 480},
        {exact(640, 480), 1, 5000, 1, 1, 480, 640, 480},
        {exact(640, 480), 5000, 3, 1, 640, 1, 640, 480},
        {exact(640, 480), 1, 1, 1, 480, 480, 640, 480},
        {exact(100, 100), 50, 50, 32, 100, 100, 128, 128},
        {exact(65536, 1), 70, 70, 1, 1, 1, 65536, 1},
    };
    for (const PolicyCase& c : cases) {
        CAPTURE(c.policy.width());
        CAPTURE(c.policy.height());
        CAPTURE(static_cast<int>(c.policy.kind()));
        CAPTURE(c.width);
        CAPTURE(c.height);
        CAPTURE(c.multiple);
        const InputSize size = detail::input_size(c.width, c.height, c.policy, c.multiple).value();
        CHECK(size.width == c.resized_width);
        CHECK(size.height == c.resized_height);
        CHECK(size.padded_width == c.padded_width);
        CHECK(size.padded_height == c.padded_height);
        CHECK(size.padded_width >= size.width);
        CHECK(size.padded_height >= size.height);

        // The whole image onto the whole resized image, and back.
        const Point corner = size.transform.to_network({static_cast<float>(c.width), static_cast<float>(c.height)});
        CHECK(corner.x == doctest::Approx(size.width).epsilon(1e-6));
        CHECK(corner.y == doctest::Approx(size.height).epsilon(1e-6));
        Random random(7);
        float worst = 0;
        for (int i = 0; i < 200; ++i) {
            const Point p{random.uniform(-10, 650), random.uniform(-10, 650)};
            const Point back = size.transform.to_image(size.transform.to_network(p));
            worst = std::max({worst, std::abs(back.x - p.x), std::abs(back.y - p.y)});
        }
        CHECK(worst <= 1e-4f);
    }
}

TEST_CASE("sizes that are too much are refused") {
    struct Case {
        SizePolicy policy;
        int width, height, multiple;
        const char* found;
    };
    for (const Case& c : {Case{SizePolicy::exact(65536, 65536), 10, 10, 1, "65536 x 65536"},
                          Case{SizePolicy::exact(8193, 8192), 5, 5, 1, "8193 x 8192"},
                          Case{SizePolicy::original(), 8190, 8193, 32, "8192 x 8224"}}) {
        CAPTURE(std::string(c.found));
        try {
            detail::input_size(c.width, c.height, c.policy, c.multiple).value();
            FAIL("accepted");
        } catch (const Error& error) {
            CHECK(error.code() == ErrorCode::invalid_argument);
            CHECK(std::string(error.what()) == std::string("size: at most 67108864 pixels go to the network, found ") + c.found);
        }
    }
    CHECK(detail::input_size(8192, 8192, SizePolicy::original(), 32).value().padded_width == 8192);
}

}  // namespace
