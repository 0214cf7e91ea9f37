// Decoders of pictures: every kind of BMP and PNM against values written by hand, limits, and reading at a reduced size. Compiled
// twice: with the libraries that CMake found, and without any.
#include <doctest/doctest.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "image_file.hpp"
#include "retinaface/error.hpp"
#include "support/trim.hpp"

namespace {

using cli::Image;
using cli::Request;
using retinaface::PixelFormat;
using Pixels = std::vector<std::uint8_t>;

Image decode(const std::string& file, const Request& request = {}, const std::string& extension = "") {
    return cli::decode_image(Pixels(file.begin(), file.end()), true, request, extension);
}

std::string error_of(const std::string& file, const Request& request = {}, const std::string& extension = "") {
    try {
        decode(file, request, extension);
    } catch (const retinaface::Error& error) {
        const std::string what = error.what();
        for (const char c : what) CHECK((c >= ' ' && c < 0x7f));
        return what;
    }
    return "";
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::string little(std::uint32_t value, int bytes) {
    std::string text;
    for (int i = 0; i < bytes; ++i) text += static_cast<char>(std::uint64_t{value} >> 8 * i & 255);
    return text;
}

std::string text(std::initializer_list<int> bytes) {
    std::string all;
    for (const int byte : bytes) all += static_cast<char>(byte);
    return all;
}

// A BMP with the header of 40 bytes; `extra` stands between it and the pixels.
std::string bmp(int width, int height, int bits, int compression, const std::string& extra, const std::string& pixels) {
    const std::string info = little(40, 4) + little(static_cast<std::uint32_t>(width), 4) +
                             little(static_cast<std::uint32_t>(height), 4) + little(1, 2) +
                             little(static_cast<std::uint32_t>(bits), 2) + little(static_cast<std::uint32_t>(compression), 4) +
                             std::string(20, '\0');
    const auto offset = static_cast<std::uint32_t>(14 + info.size() + extra.size());
    return "BM" + little(offset + static_cast<std::uint32_t>(pixels.size()), 4) + little(0, 4) + little(offset, 4) + info +
           extra + pixels;
}

// Red, green, blue, white: a palette, and a picture of 2 x 2 with red and green on top.
const std::string kPalette = text({0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 0, 255, 255, 255, 0});
const Pixels kCorners = {255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255};

std::string padded_palette(std::size_t entries) { return kPalette + std::string(4 * entries - kPalette.size(), '\0'); }

Request with_reduction(int most) {
    Request request;
    request.reduction = [most](int, int) { return most; };
    return request;
}

}  // namespace

TEST_CASE("BMP of every depth, order and compression") {
    const std::vector<std::string> files = {
        bmp(2, 2, 24, 0, "", text({255, 0, 0, 255, 255, 255, 0, 0, 0, 0, 255, 0, 255, 0, 0, 0})),
        bmp(2, -2, 24, 0, "", text({0, 0, 255, 0, 255, 0, 0, 0, 255, 0, 0, 255, 255, 255, 0, 0})),
        bmp(2, -2, 32, 0, "", text({0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 0, 255, 255, 255, 0})),
        bmp(2, -2, 32, 3, text({255, 0, 0, 0, 0, 255, 0, 0, 0, 0, 255, 0}),
            text({255, 0, 0, 0, 0, 255, 0, 0, 0, 0, 255, 0, 255, 255, 255, 0})),
        bmp(2, -2, 16, 0, "", text({0, 0x7c, 0xe0, 3, 0x1f, 0, 0xff, 0x7f})),
        bmp(2, -2, 16, 3, text({0, 0xf8, 0, 0, 0xe0, 7, 0, 0, 0x1f, 0, 0, 0}), text({0, 0xf8, 0xe0, 7, 0x1f, 0, 0xff, 0xff})),
        bmp(2, -2, 8, 0, padded_palette(256), text({0, 1, 0, 0, 2, 3, 0, 0})),
        bmp(2, 2, 4, 0, padded_palette(16), text({0x23, 0, 0, 0, 0x01, 0, 0, 0})),
        bmp(2, 2, 2, 0, kPalette, text({0xb0, 0, 0, 0, 0x10, 0, 0, 0})),
        bmp(2, 2, 8, 1, padded_palette(256), text({1, 2, 1, 3, 0, 0, 1, 0, 1, 1, 0, 1})),
        bmp(2, 2, 8, 1, padded_palette(256), text({0, 2, 1, 0, 1, 3, 0, 0, 1, 0, 1, 1, 0, 1})),  // steps over a pixel
        bmp(2, 2, 4, 2, padded_palette(16), text({2, 0x23, 0, 0, 2, 0x01, 0, 1})),
    };
    for (std::size_t i = 0; i < files.size(); ++i) {
        CAPTURE(i);
        const Image image = decode(files[i]);
        CHECK(image.width == 2);
        CHECK(image.height == 2);
        CHECK(image.format == PixelFormat::rgb8);
        const bool steps = i == 10;  // which leave index 0, red
        CHECK(image.pixels == (steps ? Pixels{255, 0, 0, 0, 255, 0, 255, 0, 0, 255, 255, 255} : kCorners));
        // Cut anywhere, it is an error or, where only padding or the end of runs is missing, the same picture.
        for (std::size_t size = 2; size < files[i].size(); ++size) {
            const std::string cut = files[i].substr(0, size);
            const std::string error = error_of(cut);
            if (error.empty()) CHECK(decode(cut).pixels == image.pixels);
        }
    }
    // OS/2's header of 12 bytes and palette of three bytes; 1 bit, the palette in the file's own order.
    const std::string os2 = "BM" + little(0, 8) + little(14 + 12 + 6, 4) + little(12, 4) + little(2, 2) + little(1, 2) +
                            little(1, 2) + little(1, 2) + text({0, 0, 255, 255, 0, 0}) + text({0x40, 0, 0, 0});
    CHECK(decode(os2).pixels == Pixels{255, 0, 0, 0, 0, 255});
    CHECK(contains(error_of(bmp(2, 2, 0, 4, "", "")), "JPEG inside BMP"));
    CHECK(contains(error_of(bmp(2, 2, 7, 0, "", "")), "7 bits"));
    CHECK(contains(error_of(bmp(0, 2, 24, 0, "", "")), "no image"));
    CHECK(contains(error_of(bmp(-2147483647 - 1, -2147483647 - 1, 24, 0, "", "")), "no image"));
    CHECK(contains(error_of(bmp(60000, 60000, 24, 0, "", "")), "too large"));
}

TEST_CASE("PNM of every kind and maxval") {
    struct Case {
        std::string file;
        PixelFormat format;
        Pixels pixels;
    };
    const std::vector<Case> cases = {
        {"P1\n# comment\n2 2\n10\n0 1\n", PixelFormat::gray8, {0, 255, 255, 0}},
        {"P4 2 2\n" + text({0x80, 0x40}), PixelFormat::gray8, {0, 255, 255, 0}},
        {"P2 2 1 15\n0 15", PixelFormat::gray8, {0, 255}},
        {"P2 2 1 4095 2048\n9999", PixelFormat::gray8, {128, 255}},
        {"P3 1 1 7 7 0 7\n", PixelFormat::rgb8, {255, 0, 255}},
        {"P5 2 1 255\n" + text({7, 200}), PixelFormat::gray8, {7, 200}},
        {"P5 2 1 4095\n" + text({0x0f, 0xff, 0x08, 0x00}), PixelFormat::gray8, {255, 128}},
        {"P5 2 1 65535\n" + text({0xff, 0xff, 0x80, 0x00}), PixelFormat::gray8, {255, 128}},
        {"P6 1 1 100\n" + text({100, 50, 0}), PixelFormat::rgb8, {255, 128, 0}},
        {"P6\n#a\n1 #b\n1\n1\n" + text({1, 0, 1}), PixelFormat::rgb8, {255, 0, 255}},
        {"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n" + text({1, 2, 3, 4}),
         PixelFormat::rgb8,
         {1, 2, 3}},
        {"P7\nWIDTH 2\nHEIGHT 1\nDEPTH 2\nMAXVAL 1\nTUPLTYPE GRAYSCALE_ALPHA\nENDHDR\n" + text({1, 0, 0, 1}),
         PixelFormat::gray8,
         {255, 0}},
        {"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 1\nMAXVAL 65535\nENDHDR\n" + text({0x80, 0x00}), PixelFormat::gray8, {128}},
    };
    for (const Case& c : cases) {
        CAPTURE(c.file);
        const Image image = decode(c.file);
        CHECK(image.format == c.format);
        CHECK(image.pixels == c.pixels);
        for (std::size_t size = 3; size + 1 < c.file.size(); ++size) {
            const bool plain = c.file[1] <= '3';  // whose last number may lack digits
            CHECK((error_of(c.file.substr(0, size)) != "" || (plain && size + 4 > c.file.size())));
        }
    }
    CHECK(contains(error_of("P5 2 2 0\n1234"), "largest value"));
    CHECK(contains(error_of("P5 2 2 70000\n12341234"), "largest value"));
    CHECK(contains(error_of("P5 60000 60000 255\n"), "too large"));
    CHECK(contains(error_of("P5 99999999999 60000 255\n"), "too large"));
    CHECK(contains(error_of("P2 65536 1000 255\n1 1"), "truncated"));
}

TEST_CASE("what is no picture is named") {
    CHECK(error_of("") == "file is empty");
    CHECK(contains(error_of("not a picture"), "no picture format"));
    CHECK(contains(error_of("\n\x01\xff"), "\\x0a\\x01\\xff"));
    CHECK(contains(error_of("%PDF-1.4"), "PDF data"));
    CHECK(contains(error_of("  <!DOCTYPE HTML>", {}, ".jpg"), "HTML data in a .jpg"));
    CHECK(contains(error_of("P5 2 2 255\n", {}, ".PNG"), "PNM data in a .PNG: file is truncated"));
    CHECK(contains(error_of("P5 2 2 255\n", {}, ".pgm"), "cannot decode PNM data: file is truncated"));
    CHECK(contains(error_of("P5 2 2 255\n", {}, ".xyz"), "cannot decode PNM data: file is truncated"));
    CHECK(contains(error_of("\xff\x0a more"), "JPEG XL"));
    for (const cli::Decoder& decoder : cli::decoders())
        CHECK((decoder.reading.read != nullptr || decoder.reading.library != nullptr));
    REQUIRE(cli::decoder_for_extension(".JPeG") != nullptr);
    CHECK(cli::decoder_for_extension(".JPeG")->format == std::string("JPEG"));
    for (const char* none : {"", ".", ".j", ".jpg ", "jpg", ".xyz"}) CHECK(cli::decoder_for_extension(none) == nullptr);
}

TEST_CASE("a picture too large for the library is read smaller where that is allowed") {
    constexpr int kWidth = 9001, kHeight = 8001;
    std::string file = "P5 9001 8001 255\n";
    const std::size_t header = file.size();
    file.resize(header + std::size_t{kWidth} * kHeight);
    for (int y = 0; y < kHeight; ++y)
        for (int x = 0; x < kWidth; ++x)
            file[header + static_cast<std::size_t>(y) * kWidth + x] = static_cast<char>((x / 2 + y / 2) % 200);
    CHECK(contains(error_of(file), "too large"));
    CHECK(contains(error_of(file), "--max-side"));
    for (const int allowed : {2, 7}) {
        const Image image = decode(file, with_reduction(allowed));
        CHECK(image.width == 4501);
        CHECK(image.height == 4001);
        CHECK(image.source.width == kWidth);
        CHECK(image.source.height == kHeight);
        CHECK(image.source.scale_x == 2);
        if (retinaface_test::trimmed()) continue;
        int wrong = 0;
        for (int y = 0; y < 4001; ++y)
            for (int x = 0; x < 4501; ++x)
                wrong += image.pixels[static_cast<std::size_t>(y) * 4501 + static_cast<std::size_t>(x)] != (x + y) % 200;
        CHECK(wrong == 0);
    }
    Request request = with_reduction(8);
    request.limits.pixels = 72'000'000;
    CHECK(contains(error_of(file, request), "--max-pixels"));
    request = with_reduction(8);
    request.limits.memory = 10 << 20;
    CHECK(contains(error_of(file, request), "--max-memory"));
}

TEST_CASE("turned pictures keep their place in the source") {
    Image image(3, 2, PixelFormat::gray8, {0, 1, 2, 3, 4, 5});
    image.source = {23, 15, 8, 8, 0, 0};  // reduced eightfold: the last column and row hang over
    const retinaface::Face face{0.5f, {1, 1, 2, 2}, {}};
    Image turned = image;
    cli::turn(turned, retinaface::Rotation::clockwise_90);
    CHECK(turned.pixels == Pixels{3, 0, 4, 1, 5, 2});
    CHECK(turned.source.width == 15);
    CHECK(turned.source.height == 23);
    // Turned, the stored pixel (x 1..2, y 0..1) is at x 1..2, y 1..2: in the source 8..16 of its height, and of its width from the left.
    const retinaface::Face found = cli::in_source(turned, face);
    CHECK(found.box.x1 == 15 - 8);
    CHECK(found.box.x2 == 15);
    CHECK(found.box.y1 == 8);
    CHECK(found.box.y2 == 16);
    for (int i = 0; i < 3; ++i) cli::turn(turned, retinaface::Rotation::clockwise_90);
    CHECK(turned.pixels == image.pixels);
    CHECK(turned.source.x0 == 0);
    CHECK(turned.source.y0 == 0);
    cli::turn(turned, retinaface::Rotation::clockwise_180);
    CHECK(turned.pixels == Pixels{5, 4, 3, 2, 1, 0});
    CHECK(turned.source.x0 == -1);
    CHECK(turned.source.y0 == -1);
}

TEST_CASE("formats of libraries, or why they are not read") {
    const auto read = [](const char* name) {
        std::ifstream file(std::string(RETINAFACE_SOURCE_DIR) + "/tests/data/pictures/" + name, std::ios::binary);
        return std::string(std::istreambuf_iterator<char>(file), {});
    };
    for (const auto& [name, format] :
         {std::pair("arithmetic.jpg", "JPEG"), std::pair("portrait.heic", "HEIC"), std::pair("portrait.avif", "AVIF")}) {
        const std::string file = read(name);
        REQUIRE(!file.empty());
        const cli::Decoder* decoder = cli::decoder_for_extension(std::string(name).substr(std::string(name).find('.')));
        REQUIRE(decoder != nullptr);
        const std::string error = error_of(file);
        MESSAGE(name << ": " << (error.empty() ? std::string("read by ") + decoder->reading.library : error));
        if (decoder->reading.read == nullptr) {
            CHECK(contains(error, std::string(format) + " data ("));
            CHECK(contains(error, "built without"));
            continue;
        }
        if (contains(error, "has no decoder")) continue;  // libheif comes in parts
        if (contains(error, "stb_image")) continue;
        REQUIRE(error == "");
        const Image image = decode(file);
        CHECK(image.width == 128);
        CHECK(image.height == 128);
        // Cut in half it is an error; changed anywhere, an error or a picture of an allowed size.
        CHECK(error_of(file.substr(0, file.size() / 2)) != "");
        std::mt19937 random(3);
        for (int i = 0; i < 40; ++i) {
            std::string changed = file;
            for (int n = 0; n < 4; ++n) changed[random() % changed.size()] = static_cast<char>(random());
            error_of(changed);
        }
    }
}
