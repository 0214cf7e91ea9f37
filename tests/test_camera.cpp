// Camera frames: colours against the formula in double, rotations, the detector on both, memory layouts, what is refused.

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "camera_frames.hpp"
#include "images.hpp"
#include "retinaface.hpp"
#include "support/isa_under_test.hpp"
#include "support/trim.hpp"
#include "weights_files.hpp"

namespace {

using namespace retinaface_test;
using namespace retinaface;

constexpr PixelFormat kYuvFormats[] = {PixelFormat::nv12, PixelFormat::nv21, PixelFormat::yuyv};
constexpr YuvRange kRanges[] = {YuvRange::video, YuvRange::full};
/// How far a colour may lie from the exact one: half a step, and what fixed point costs.
constexpr double kRounding = 0.57;
const detail::Parallel kAlone{nullptr, 1};
constexpr Rotation kRotations[] = {Rotation::none, Rotation::clockwise_90, Rotation::clockwise_180, Rotation::clockwise_270};

/// One colour by BT.601, in double, clamped but not rounded.
void exact_colour(YuvRange range, int y, double u, double v, double (&rgb)[3]) {
    const bool full = range == YuvRange::full;
    const double kr = 0.299, kg = 0.587, kb = 0.114;
    const double luma = full ? y / 255.0 : (y - 16) / 219.0;
    const double cb = (u - 128) / (full ? 255.0 : 224.0), cr = (v - 128) / (full ? 255.0 : 224.0);
    const double red = luma + 2 * (1 - kr) * cr, blue = luma + 2 * (1 - kb) * cb, green = (luma - kr * red - kb * blue) / kg;
    const double all[3] = {red, green, blue};
    for (int c = 0; c < 3; ++c) rgb[c] = std::min(std::max(255 * all[c], 0.0), 255.0);
}

std::vector<std::uint8_t> packed(const ImageView& image) {
    const std::ptrdiff_t row = row_bytes(image.format, image.width);
    std::vector<std::uint8_t> bytes;
    for (int y = 0; y < image.height; ++y) bytes.insert(bytes.end(), image.row(y), image.row(y) + row);
    return bytes;
}

TEST_CASE("every colour is that of the formula") {
    detail::Upright upright, plain;
    for (const YuvRange range : kRanges) {
        double most = 0;
        bool same = true;
        for (int u = 0; u < 256; u += trimmed() ? 15 : 3) {
            for (int v = 0; v < 256; v += trimmed() ? 15 : 3) {
                CameraFrame frame(PixelFormat::yuyv, 256, 1, range);
                for (int y = 0; y < 256; ++y) frame.set(y, 0, y, u, v);
                const ImageView rgb = upright.convert(frame.view(), Rotation::none);
                same = same && packed(rgb) == packed(plain.convert(frame.view(), Rotation::none, kAlone,
                                                                   detail::YuvKernels(Isa::reference)));
                for (int y = 0; y < 256; ++y) {
                    double expected[3];
                    exact_colour(range, y, u, v, expected);
                    for (int c = 0; c < 3; ++c) most = std::max(most, std::abs(rgb.row(0)[3 * y + c] - expected[c]));
                }
            }
        }
        CAPTURE(static_cast<int>(range));
        CHECK(most <= kRounding);
        CHECK(same);
    }
    // White, black and a pure red stay what they are.
    for (const YuvRange range : kRanges) {
        const int black = range == YuvRange::full ? 0 : 16, white = range == YuvRange::full ? 255 : 235;
        for (const int y : {black, white}) {
            CameraFrame frame(PixelFormat::nv12, 2, 2, range);
            for (int i = 0; i < 4; ++i) frame.set(i % 2, i / 2, y, 128, 128);
            for (const std::uint8_t value : packed(upright.convert(frame.view(), Rotation::none)))
                CHECK(value == (y == black ? 0 : 255));
        }
    }
}

TEST_CASE("every layout of memory gives the same picture, with and without vectors") {
    detail::Upright upright, plain;
    for (const PixelFormat format : kYuvFormats) {
        for (const YuvRange range : kRanges) {
            for (const int width : {1, 2, 3, 7, 15, 16, 17, 33, 50}) {
                for (const int height : {1, 2, 3, 5, 18}) {
                    for (int layout = 0; layout < CameraFrame::kLayouts; ++layout) {
                        CAPTURE(static_cast<int>(format));
                        CAPTURE(width);
                        CAPTURE(height);
                        CAPTURE(layout);
                        const CameraFrame frame = random_frame(format, width, height, range, layout);
                        const ImageView rgb = upright.convert(frame.view(), Rotation::none);
                        REQUIRE(rgb.width == width);
                        REQUIRE(rgb.height == height);
                        REQUIRE(rgb.format == PixelFormat::rgb8);
                        double most = 0;
                        for (int y = 0; y < height; ++y)
                            for (int x = 0; x < width; ++x) {
                                double expected[3];
                                exact_colour(range, frame.luma(x, y), frame.at_centre(&CameraFrame::u, x, y),
                                             frame.at_centre(&CameraFrame::v, x, y), expected);
                                for (int c = 0; c < 3; ++c) most = std::max(most, std::abs(rgb.row(y)[3 * x + c] - expected[c]));
                            }
                        CHECK(most <= kRounding);
                        CHECK(packed(rgb) ==
                              packed(plain.convert(frame.view(), Rotation::none, kAlone, detail::YuvKernels(Isa::reference))));
                    }
                }
            }
        }
    }
}

/// Where pixel (x, y) of a frame lies in the upright picture.
void turned(Rotation rotation, int width, int height, int x, int y, int& to_x, int& to_y) {
    switch (rotation) {
        case Rotation::none: to_x = x, to_y = y; break;
        case Rotation::clockwise_90: to_x = height - 1 - y, to_y = x; break;
        case Rotation::clockwise_180: to_x = width - 1 - x, to_y = height - 1 - y; break;
        case Rotation::clockwise_270: to_x = y, to_y = width - 1 - x; break;
        case Rotation::automatic: break;  // of pictures, not of a camera's frames
    }
}

TEST_CASE("rotations put every pixel where it belongs") {
    for (const PixelFormat format : {PixelFormat::rgb8, PixelFormat::bgr8, PixelFormat::rgba8, PixelFormat::gray8}) {
        for (const int width : {1, 2, 15, 16, 17, 40}) {
            for (const int height : {1, 3, 16, 33}) {
                const Picture picture = converted(random_picture(width, height, 3), format, 5, (width + height) % 2 == 0);
                for (const Rotation rotation : kRotations) {
                    detail::Upright upright;
                    const ImageView out = upright.convert(picture.view(), rotation);
                    CAPTURE(static_cast<int>(format));
                    CAPTURE(width);
                    CAPTURE(height);
                    CAPTURE(static_cast<int>(rotation));
                    const bool quarter = rotation == Rotation::clockwise_90 || rotation == Rotation::clockwise_270;
                    REQUIRE(out.width == (quarter ? height : width));
                    REQUIRE(out.height == (quarter ? width : height));
                    REQUIRE(out.format == format);
                    const int channels = bytes_per_pixel(format);
                    int wrong = 0;
                    for (int y = 0; y < height; ++y)
                        for (int x = 0; x < width; ++x) {
                            int to_x = 0, to_y = 0;
                            turned(rotation, width, height, x, y, to_x, to_y);
                            wrong += std::memcmp(out.row(to_y) + to_x * channels, picture.view().row(y) + x * channels,
                                                 static_cast<std::size_t>(channels)) != 0;
                        }
                    CHECK(wrong == 0);
                }
            }
        }
    }
}

TEST_CASE("turns add up, colours and turns are independent") {
    for (const PixelFormat format : kYuvFormats) {
        for (int layout = 0; layout < CameraFrame::kLayouts; ++layout) {
            const CameraFrame frame = random_frame(format, 35, 21, YuvRange::full, layout);
            detail::Upright a, b, c, d;
            const ImageView plain = a.convert(frame.view(), Rotation::none);
            for (const Rotation rotation : kRotations) {
                const std::vector<std::uint8_t> together = packed(b.convert(frame.view(), rotation));
                CHECK(together == packed(c.convert(plain, rotation)));
                // The rest of the full circle.
                const ImageView once = c.convert(plain, rotation);
                const auto rest = static_cast<Rotation>((360 - static_cast<int>(rotation)) % 360);
                CHECK(packed(d.convert(once, rest)) == packed(plain));
            }
            const ImageView quarter = b.convert(plain, Rotation::clockwise_90);
            CHECK(packed(c.convert(quarter, Rotation::clockwise_90)) == packed(d.convert(plain, Rotation::clockwise_180)));
        }
    }
}

TEST_CASE("threads make the same picture") {
    detail::ThreadPool pool(3);
    const detail::Parallel parallel(&pool, 3);
    detail::Upright alone, together;
    for (const PixelFormat format : kYuvFormats) {
        for (const int height : {1, 15, 16, 17, 40, 101}) {
            const CameraFrame frame = random_frame(format, 37, height, YuvRange::full, 1);
            for (const Rotation rotation : kRotations) {
                CAPTURE(static_cast<int>(format));
                CAPTURE(height);
                CAPTURE(static_cast<int>(rotation));
                CHECK(packed(together.convert(frame.view(), rotation, parallel)) ==
                      packed(alone.convert(frame.view(), rotation)));
            }
        }
    }
}

TEST_CASE("a picture that needs nothing is read where it lies") {
    const Picture picture = random_picture(9, 5, 1);
    detail::Upright upright;
    CHECK(upright.convert(picture.view(), Rotation::none).data == picture.bytes.data());
}

bool same_faces(const std::vector<Face>& a, Span<const Face> b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(Face)) == 0);
}

TEST_CASE("the detector finds the faces of the upright picture") {
    Options options;
    options.isa = isa_under_test();
    options.score_threshold = 0.3f;
    const Detector plain(seeded_weights(), options);
    note_isa(plain.isa());
    Workspace workspace;
    std::size_t faces = 0;
    for (const Rotation rotation : kRotations) {
        options.rotation = rotation;
        const Detector turning(seeded_weights(), options);
        for (const PixelFormat format : {PixelFormat::nv12, PixelFormat::yuyv, PixelFormat::rgb8}) {
            const CameraFrame frame =
                random_frame(format == PixelFormat::rgb8 ? PixelFormat::nv12 : format, 129, 97, YuvRange::video, 1);
            detail::Upright colours, upright;
            ImageView view = frame.view();
            if (format == PixelFormat::rgb8) view = colours.convert(view, Rotation::none);
            const ImageView picture = upright.convert(view, rotation);
            const std::vector<Face> expected = plain.detect(picture);
            faces += expected.size();
            CHECK(same_faces(expected, turning.detect(view, workspace)));
            const RawOutputs raw = turning.forward(view, workspace);
            CHECK(raw.input.width == picture.width);
            CHECK(same_faces(expected, turning.decode(raw, workspace)));
        }
        // The self-test's picture stands upright already.
        CHECK(turning.self_test().passed);
    }
    CHECK(faces > 0);
}

std::string message_of(const ImageView& view) {
    const Result<void> checked = detail::check(view);
    return checked ? "" : checked.error().what();
}

TEST_CASE("frames that cannot be are refused") {
    const std::uint8_t data[256] = {};
    const auto full = YuvRange::full;
    constexpr std::ptrdiff_t kHuge = std::numeric_limits<std::ptrdiff_t>::max();
    struct Bad {
        ImageView view;
        const char* fragment;
    };
    ImageView range = nv12_view(data, 4, 4, full);
    range.range = static_cast<YuvRange>(9);
    const Bad cases[] = {
        {nv12_view(nullptr, 4, 4, full), "null pointer"},
        {nv12_view(data, 0, 4, full), "found 0 x 4"},
        {nv12_view(data, 4, -2, full), "found 4 x -2"},
        {nv12_view(data, 65536, 65536, full), "at most 67108864 pixels"},
        {nv12_view(data, 8, 4, full, 7), "row stride must be at least 8 bytes, found 7"},
        {nv12_view(data, 8, 4, full, -8), "bottom-up rows of Y need a pointer to the rows of U and V"},
        {nv12_view(data, 7, 4, full, 7), "row stride of U and V must be at least 8 bytes, found 7"},
        {nv12_view(data, 7, 4, full, 0, data + 64, 7), "row stride of U and V must be at least 8 bytes, found 7"},
        {nv21_view(data, 7, 4, full, 16, data + 64, -7), "row stride of U and V must be at least 8 bytes, found -7"},
        {nv12_view(data, 8, 4, full, kHuge), "row stride must be at most"},
        {nv12_view(data, 8, 4, full, 8, data + 64, kHuge), "row stride of U and V must be at most"},
        {nv12_view(data, 8, 4, full, 8, data + 64, -kHuge - 1), "row stride of U and V must be at most"},
        {ImageView(data, 4, 4, PixelFormat::rgb8, -kHuge - 1), "row stride must be at most"},
        {yuyv_view(data, 5, 4, full, 10), "row stride must be at least 12 bytes, found 10"},
        {yuyv_view(data, 4, 4, full, -7), "row stride must be at least 8 bytes, found -7"},
        {range, "unknown YUV range 9"},
    };
    const Detector detector(seeded_weights(), [] {
        Options options;
        options.isa = isa_under_test();
        return options;
    }());
    note_isa(detector.isa());
    for (const Bad& bad : cases) {
        CAPTURE(bad.fragment);
        const std::string message = message_of(bad.view);
        CAPTURE(message);
        CHECK(message.find(bad.fragment) != std::string::npos);
        const Result<std::vector<Face>> result = detector.try_detect(bad.view);
        REQUIRE_FALSE(result.has_value());
        CHECK(result.error().what() == message);
    }
    Options options;
    options.rotation = static_cast<Rotation>(45);
    const Result<Detector> refused = Detector::create(seeded_weights(), options);
    REQUIRE_FALSE(refused.has_value());
    CHECK(std::string(refused.error().what()).find("rotation must be 0, 90, 180 or 270, found 45") != std::string::npos);
}

}  // namespace
