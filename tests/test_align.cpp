// Alignment: the similarity, the templates and the crops, against Eigen and against sampling written out in double precision.
#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <vector>

#include "retinaface/align.hpp"

#if __has_include(<eigen3/Eigen/Geometry>)
#include <eigen3/Eigen/Geometry>
#define HAVE_EIGEN 1
#else
#include "support/shared_files.hpp"
#define HAVE_EIGEN 0
#endif

namespace rf = retinaface;
using Points = std::array<rf::Point, 5>;

namespace {

using Bytes = std::vector<std::uint8_t>;

/// A smooth picture with detail of a few pixels.
Bytes picture(int width, int height, int channels) {
    Bytes bytes;
    for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x)
            for (int c = 0; c < channels; ++c)
                bytes.push_back(static_cast<std::uint8_t>(127.5 + 70 * std::sin(0.31 * x + c) +
                                                          57 * std::cos(0.23 * y - 0.11 * x * (c + 1))));
    return bytes;
}

/// Bilinear, zeros outside.
double sample(const rf::ImageView& image, int c, double x, double y) {
    const int left = static_cast<int>(std::floor(x)), top = static_cast<int>(std::floor(y));
    const double wx = x - left, wy = y - top;
    const auto at = [&](int i, int j) {
        const bool inside = i >= 0 && j >= 0 && i < image.width && j < image.height;
        return inside ? static_cast<double>(image.row(j)[i * rf::bytes_per_pixel(image.format) + c]) : 0.0;
    };
    return (at(left, top) * (1 - wx) + at(left + 1, top) * wx) * (1 - wy) +
           (at(left, top + 1) * (1 - wx) + at(left + 1, top + 1) * wx) * wy;
}

/// The template's points, as a face that is turned, scaled and moved shows them.
Points face(const rf::AlignTemplate& crop, double scale, double degrees, double x, double y) {
    const double angle = degrees * 3.14159265358979 / 180;
    const rf::Similarity s{scale * std::cos(angle), scale * std::sin(angle), x, y};
    Points points;
    for (std::size_t i = 0; i < 5; ++i) points[i] = s(crop.points[i]);
    return points;
}

bool is_invalid_argument(const rf::Error& error) { return error.code() == rf::ErrorCode::invalid_argument; }

}  // namespace

TEST_CASE("similarity is Umeyama's") {
    std::mt19937 random(1);
    std::uniform_real_distribution<float> uniform(-300, 300);
    for (int round = 0; round < 200; ++round) {
        std::vector<rf::Point> from, to;
        const int count = 2 + round % 6;
        for (int i = 0; i < count; ++i) {
            from.push_back({uniform(random), uniform(random)});
            to.push_back({uniform(random), uniform(random)});
        }
        if (round % 2 == 0) {  // nearly alike
            const rf::Similarity s{0.3, -1.1, 40, -7};
            for (std::size_t i = 0; i < from.size(); ++i) to[i] = {s(from[i]).x + 0.01f * uniform(random), s(from[i]).y};
        }
        const rf::Similarity found = rf::estimate_similarity(from, to);
#if HAVE_EIGEN
        Eigen::MatrixXd a(2, count), b(2, count);  // of fixed height, GCC 12 warns inside Eigen
        for (int i = 0; i < count; ++i) {
            const auto k = static_cast<std::size_t>(i);
            a.col(i) << static_cast<double>(from[k].x), static_cast<double>(from[k].y);
            b.col(i) << static_cast<double>(to[k].x), static_cast<double>(to[k].y);
        }
        const Eigen::Matrix3d expected = Eigen::umeyama(a, b, true);
        CAPTURE(round);
        CHECK(found.a == doctest::Approx(expected(0, 0)).epsilon(1e-9));
        CHECK(-found.b == doctest::Approx(expected(0, 1)).epsilon(1e-9));
        CHECK(found.b == doctest::Approx(expected(1, 0)).epsilon(1e-9));
        CHECK(found.dx == doctest::Approx(expected(0, 2)).epsilon(1e-9));
        CHECK(found.dy == doctest::Approx(expected(1, 2)).epsilon(1e-9));
#endif
        // There and back again.
        const rf::Point p{12.5f, -31.25f}, back = found.inverse()(found(p));
        CHECK(back.x == doctest::Approx(p.x).epsilon(1e-4));
        CHECK(back.y == doctest::Approx(p.y).epsilon(1e-4));
    }
#if !HAVE_EIGEN
    retinaface_test::skip("Eigen is not there");
#endif
}

TEST_CASE("composition is one after the other") {
    const rf::Similarity inner{0.5, 0.25, 3, -2}, outer{-1, 2, 7, 5};
    const rf::Point p{4, 9}, expected = outer(inner(p)), found = rf::compose(outer, inner)(p);
    CHECK(found.x == doctest::Approx(expected.x));
    CHECK(found.y == doctest::Approx(expected.y));
}

TEST_CASE("ArcFace templates") {
    const rf::AlignTemplate plain = rf::arcface_template();
    CHECK(plain.width == 112);
    CHECK(plain.points[0].x == 38.2946f);
    CHECK(plain.points[4].y == 92.2041f);
    const rf::AlignTemplate twice = rf::arcface_template(224), wide = rf::arcface_template(128),
                            wider = rf::arcface_template(256);
    for (std::size_t i = 0; i < 5; ++i) {
        CHECK(twice.points[i].x == doctest::Approx(2 * plain.points[i].x));
        CHECK(twice.points[i].y == doctest::Approx(2 * plain.points[i].y));
        CHECK(wide.points[i].x == doctest::Approx(plain.points[i].x + 8));
        CHECK(wide.points[i].y == doctest::Approx(plain.points[i].y));
        CHECK(wider.points[i].x == doctest::Approx(2 * plain.points[i].x + 16));
    }
    CHECK(rf::arcface_template(896).points[0].x == doctest::Approx(8 * 38.2946));  // a multiple of both: as of 112
    for (const int size : {0, -112, 100, 113, 1 << 20}) CHECK_THROWS_AS(rf::arcface_template(size), rf::Error);
}

TEST_CASE("a margin shows more around the same middle") {
    const rf::AlignTemplate plain = rf::arcface_template(112), wider = plain.with_margin(0.5f);
    CHECK(wider.width == 112);
    for (std::size_t i = 0; i < 5; ++i) {
        CHECK(wider.points[i].x - 55.5f == doctest::Approx((plain.points[i].x - 55.5f) / 2));
        CHECK(wider.points[i].y - 55.5f == doctest::Approx((plain.points[i].y - 55.5f) / 2));
    }
}

TEST_CASE("crops are bilinear samples, of every format, with and without vectors") {
    const rf::AlignTemplate crop = rf::arcface_template();
    rf::Aligner vectors(crop), plain(crop, rf::Isa::reference);
    for (const rf::PixelFormat format :
         {rf::PixelFormat::rgb8, rf::PixelFormat::bgr8, rf::PixelFormat::rgba8, rf::PixelFormat::bgra8, rf::PixelFormat::gray8}) {
        const int channels = rf::bytes_per_pixel(format), width = 150, height = 131;
        const Bytes bytes = picture(width, height, channels);
        const rf::ImageView image(bytes.data(), width, height, format);
        const bool swapped = format == rf::PixelFormat::bgr8 || format == rf::PixelFormat::bgra8;
        struct Case {
            double scale, degrees, x, y;
        };
        for (const Case& c : {Case{1, 0, 10, 5}, Case{0.37, 17, 40, 22.5}, Case{1.9, -33, -20, 60}, Case{1.2, 180, 140, 120},
                              Case{0.5, 90, 190, 40}}) {
            const Points landmarks = face(crop, c.scale, c.degrees, c.x, c.y);
            const rf::AlignedCrop found = vectors.crop(image, landmarks), same = plain.crop(image, landmarks);
            REQUIRE(found.image.width == 112);
            REQUIRE(found.image.height == 112);
            REQUIRE(found.image.format == rf::PixelFormat::rgb8);
            CHECK(std::equal(found.image.data, found.image.data + 112 * 112 * 3, same.image.data));
            double worst = 0, sum = 0;
            for (int y = 0; y < 112; ++y)
                for (int x = 0; x < 112; ++x) {
                    const rf::Similarity& s = found.to_image;
                    const double sx = s.a * x - s.b * y + s.dx, sy = s.b * x + s.a * y + s.dy;
                    for (int k = 0; k < 3; ++k) {
                        const double expected = sample(image, channels == 1 ? 0 : swapped ? 2 - k : k, sx, sy);
                        const double error = std::abs(found.image.row(y)[3 * x + k] - expected);
                        worst = std::max(worst, error);
                        sum += error;
                    }
                }
            CAPTURE(static_cast<int>(format));
            CAPTURE(c.scale);
            CHECK(worst < 2.6);  // a position is rounded to 1/128 pixel, beside a border of up to 255
            CHECK(sum / (112 * 112 * 3) < 0.35);
        }
    }
}

TEST_CASE("rows may be padded and bottom-up, and nothing outside the image is read") {
    const int width = 61, height = 47;
    const Bytes bytes = picture(width, height, 3);
    const rf::ImageView image(bytes.data(), width, height);
    rf::Aligner aligner, other;
    const Points landmarks = face(rf::arcface_template(), 0.5, 11, 2, -5);
    const rf::AlignedCrop expected = aligner.crop(image, landmarks);
    // Rows in reverse, each at the end of a buffer of its own size class: address checkers see a read beyond.
    Bytes reversed;
    for (int y = height; y-- > 0;) reversed.insert(reversed.end(), image.row(y), image.row(y) + 3 * width);
    reversed.shrink_to_fit();
    const rf::ImageView flipped(reversed.data() + (height - 1) * 3 * width, width, height, rf::PixelFormat::rgb8, -3 * width);
    const rf::AlignedCrop found = other.crop(flipped, landmarks);
    CHECK(std::equal(found.image.data, found.image.data + 112 * 112 * 3, expected.image.data));
}

TEST_CASE("a face much larger than the crop is averaged, not skipped through") {
    // One-pixel checks: their mean is 127.5 everywhere, samples alone would be 0 or 255.
    const int width = 900, height = 700;
    Bytes bytes(static_cast<std::size_t>(width * height * 3));
    for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x)
            for (int c = 0; c < 3; ++c) bytes[static_cast<std::size_t>((y * width + x) * 3 + c)] = (x + y) % 2 == 0 ? 255 : 0;
    const rf::ImageView image(bytes.data(), width, height);
    const rf::AlignTemplate crop = rf::arcface_template();
    rf::Aligner vectors(crop), plain(crop, rf::Isa::reference);
    for (const double scale : {2.0, 3.0, 4.7, 5.9}) {
        const Points landmarks = face(crop, scale, 0, 20, 10);
        const rf::AlignedCrop found = vectors.crop(image, landmarks), same = plain.crop(image, landmarks);
        CHECK(std::equal(found.image.data, found.image.data + 112 * 112 * 3, same.image.data));
        int least = 255, most = 0;
        for (int i = 0; i < 112 * 112 * 3; ++i) {
            least = std::min<int>(least, found.image.data[i]);
            most = std::max<int>(most, found.image.data[i]);
        }
        CAPTURE(scale);
        CHECK(least >= 110);
        CHECK(most <= 145);
    }
}

TEST_CASE("averaging moves nothing") {
    // A slope: the mean of a square is its middle, so reduced and direct sampling agree.
    const int width = 1000, height = 1000;
    Bytes bytes(static_cast<std::size_t>(width * height));
    for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x)
            bytes[static_cast<std::size_t>(y * width + x)] = static_cast<std::uint8_t>(0.15 * x + 0.1 * y);
    const rf::ImageView image(bytes.data(), width, height, rf::PixelFormat::gray8);
    const rf::AlignTemplate crop = rf::arcface_template();
    rf::Aligner aligner(crop);
    for (const double scale : {2.5, 3.0, 6.4, 7.99}) {
        const rf::AlignedCrop found = aligner.crop(image, face(crop, scale, 20, 300, 20));
        for (int y = 0; y < 112; y += 7)
            for (int x = 0; x < 112; x += 7) {
                const rf::Point p = found.to_image({static_cast<float>(x), static_cast<float>(y)});
                if (p.x < 10 || p.y < 10 || p.x > width - 12 || p.y > height - 12) continue;
                CHECK(std::abs(found.image.row(y)[3 * x] - (0.15f * p.x + 0.1f * p.y - 0.5f)) < 1.3f);
            }
    }
}

TEST_CASE("crops of one face at several scales and rotations agree") {
    // The same scene, sampled finely enough at every size: only the sampling differs.
    const rf::AlignTemplate crop = rf::arcface_template();
    const auto scene = [](double x, double y) { return 127.5 + 60 * std::sin(0.08 * x) + 50 * std::cos(0.06 * y + 0.04 * x); };
    Bytes first;
    for (const double scale : {0.7, 1.0, 1.6, 2.3, 4.0})
        for (const double degrees : {0.0, 25.0, -80.0, 170.0}) {
            const int side = 900;
            const double angle = degrees * 3.14159265358979 / 180;
            // The crop's middle lies in the image's.
            rf::Similarity s{scale * std::cos(angle), scale * std::sin(angle), 0, 0};
            s.dx = side / 2 - (s.a * 55.5 - s.b * 55.5);
            s.dy = side / 2 - (s.b * 55.5 + s.a * 55.5);
            const rf::Similarity back = s.inverse();
            Bytes bytes;
            for (int y = 0; y < side; ++y)
                for (int x = 0; x < side; ++x)
                    bytes.push_back(
                        static_cast<std::uint8_t>(scene(back.a * x - back.b * y + back.dx, back.b * x + back.a * y + back.dy)));
            Points landmarks;
            for (std::size_t i = 0; i < 5; ++i) landmarks[i] = s(crop.points[i]);
            rf::Aligner aligner(crop);
            const rf::AlignedCrop found = aligner.crop({bytes.data(), side, side, rf::PixelFormat::gray8}, landmarks);
            const Bytes pixels(found.image.data, found.image.data + 112 * 112 * 3);
            if (first.empty()) first = pixels;
            double sum = 0;
            for (std::size_t i = 0; i < pixels.size(); ++i) sum += std::abs(pixels[i] - first[i]);
            CAPTURE(scale);
            CAPTURE(degrees);
            CHECK(sum / static_cast<double>(pixels.size()) < 1.0);
        }
}

TEST_CASE("turned and YUV frames give the crop of the upright picture of colours") {
    const int width = 170, height = 124;
    const rf::AlignTemplate crop = rf::arcface_template();
    const Bytes luma = picture(width, height, 1), chroma = picture(width / 2, height / 2, 2);
    for (const rf::PixelFormat format :
         {rf::PixelFormat::nv12, rf::PixelFormat::nv21, rf::PixelFormat::yuyv, rf::PixelFormat::bgr8}) {
        Bytes bytes = luma;
        bytes.insert(bytes.end(), chroma.begin(), chroma.end());
        if (format == rf::PixelFormat::yuyv) bytes = picture(width, height, 2);
        if (format == rf::PixelFormat::bgr8) bytes = picture(width, height, 3);
        const rf::ImageView image(bytes.data(), width, height, format);
        for (const rf::Rotation rotation :
             {rf::Rotation::none, rf::Rotation::clockwise_90, rf::Rotation::clockwise_180, rf::Rotation::clockwise_270}) {
            rf::detail::Upright upright;
            const rf::ImageView turned = upright.convert(image, rotation);
            for (const double scale : {0.4, 1.0, 2.2}) {
                const Points landmarks = face(crop, scale, 9, 15, 11);
                rf::Aligner a(crop), b(crop);
                const rf::AlignedCrop expected = a.crop(turned, landmarks), found = b.crop(image, landmarks, rotation);
                double worst = 0, sum = 0;
                for (int i = 0; i < 112 * 112 * 3; ++i) {
                    const double error = std::abs(found.image.data[i] - expected.image.data[i]);
                    worst = std::max(worst, error);
                    sum += error;
                }
                CAPTURE(static_cast<int>(format));
                CAPTURE(static_cast<int>(rotation));
                CAPTURE(scale);
                // Squares of a turned image lie on another grid.
                CHECK(worst <= (scale < 2 ? 2 : 60));
                CHECK(sum / (112 * 112 * 3) < (scale < 2 ? 0.2 : 4.0));
            }
        }
    }
}

TEST_CASE("what makes no crop is an error") {
    const Bytes bytes = picture(64, 64, 3);
    const rf::ImageView image(bytes.data(), 64, 64);
    rf::Aligner aligner;
    const auto refused = [&](const Points& points) {
        const rf::Result<rf::AlignedCrop> result = aligner.try_crop(image, points);
        return !result && is_invalid_argument(result.error());
    };
    const float nan = std::nanf(""), huge = 1e30f;
    const Points good = face(rf::arcface_template(), 0.5, 3, 2, 2);
    CHECK(!refused(good));
    CHECK(refused({}));
    CHECK(refused({{{7, 7}, {7, 7}, {7, 7}, {7, 7}, {7, 7}}}));
    CHECK(refused({{{1e6f, 1e6f}, {1e6f, 1e6f}, {1e6f, 1e6f}, {1e6f, 1e6f}, {1e6f, 1e6f}}}));
    for (const float bad : {nan, huge, -huge, HUGE_VALF}) {
        Points points = good;
        points[3].y = bad;
        CHECK(refused(points));
    }
    // As far apart as floats near the image go, and as near.
    for (const double scale : {1e-7, 1e5, 1e9}) {
        const rf::Result<rf::AlignedCrop> result = aligner.try_crop(image, face(rf::arcface_template(), scale, 3, 2, 2));
        if (result) CHECK(std::isfinite((*result).to_crop.scale()));
    }
    CHECK(!rf::try_estimate_similarity(rf::Span<const rf::Point>(good.data(), 1), rf::Span<const rf::Point>(good.data(), 1)));
    CHECK(!rf::try_estimate_similarity(rf::Span<const rf::Point>(good.data(), 3), rf::Span<const rf::Point>(good.data(), 4)));
    CHECK(!aligner.try_crop({}, good));
    CHECK_THROWS_AS(rf::Aligner(rf::AlignTemplate{0, 5, good}), rf::Error);
    CHECK_THROWS_AS(rf::Aligner(rf::AlignTemplate{5, 5, {}}), rf::Error);
}

TEST_CASE("a face outside the image is black, one across its border half so") {
    const Bytes bytes(64 * 64 * 3, 200);
    const rf::ImageView image(bytes.data(), 64, 64);
    rf::Aligner aligner;
    for (const double scale : {0.5, 3.0}) {
        const rf::AlignedCrop out = aligner.crop(image, face(rf::arcface_template(), scale, 0, 500, 500));
        CHECK(std::count(out.image.data, out.image.data + 112 * 112 * 3, 0) == 112 * 112 * 3);
        const rf::AlignedCrop across = aligner.crop(image, face(rf::arcface_template(), scale, 0, 32, 2));
        for (int x = 0; x < 112; ++x) {
            const double at = 32 + scale * x;
            if (at < 63 - 4 * scale) CHECK(across.image.row(3)[3 * x] == 200);
            if (at > 64 + 4 * scale) CHECK(across.image.row(3)[3 * x] == 0);
        }
    }
}
