// EXIF orientation: every value in both byte orders, and no read outside the file whatever it holds (run under ASan).
#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "pictures/exif.hpp"

namespace {

using Bytes = std::vector<std::uint8_t>;

std::string number(std::uint32_t value, int bytes, bool big) {
    std::string text;
    for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> 8 * (big ? bytes - 1 - i : i) & 255);
    return text;
}

std::string entry(std::uint32_t tag, std::uint32_t value, bool big) {
    return number(tag, 2, big) + number(3, 2, big) + number(1, 4, big) + number(value, 2, big) + number(0, 2, big);
}

std::string tiff(std::uint32_t orientation, bool big) {
    return (big ? "MM" : "II") + number(42, 2, big) + number(8, 4, big) + number(2, 2, big) + entry(0x0100, 7, big) +
           entry(0x0112, orientation, big) + number(0, 4, big);
}

std::string jpeg(const std::string& exif) {
    const std::string jfif("JFIF\0\1\1\0\0\1\0\1\0\0", 14), body = std::string("Exif\0\0", 6) + exif;
    return "\xff\xd8\xff\xe0" + number(16, 2, true) + jfif + "\xff\xff\xe1" +
           number(static_cast<std::uint32_t>(body.size()) + 2, 2, true) + body + "\xff\xda" + number(2, 2, true) + "\xff\xd9";
}

std::string png(const std::string& exif) {
    return "\x89PNG\r\n\x1a\n" + number(4, 4, true) + "abcd" + "data" + "0crc" +
           number(static_cast<std::uint32_t>(exif.size()), 4, true) + "eXIf" + exif + "0crc" + number(0, 4, true) + "IEND" +
           "0crc";
}

// A copy of the exact size on the heap, so that one byte too many is seen.
int orientation(const std::string& file) {
    const Bytes bytes(file.begin(), file.end());
    return cli::exif_orientation(bytes.data(), bytes.size());
}

}  // namespace

TEST_CASE("every orientation in both byte orders, JPEG and PNG") {
    for (const bool big : {false, true}) {
        for (std::uint32_t value = 0; value < 12; ++value) {
            const int expected = value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
            CHECK(orientation(jpeg(tiff(value, big))) == expected);
            CHECK(orientation(png(tiff(value, big))) == expected);
        }
    }
}

TEST_CASE("no orientation is upright") {
    CHECK(cli::exif_orientation(nullptr, 0) == 1);
    CHECK(orientation("") == 1);
    CHECK(orientation("\xff\xd8") == 1);
    CHECK(orientation("BM or anything else") == 1);
    CHECK(orientation(jpeg("")) == 1);
    CHECK(orientation(jpeg("MM")) == 1);
    CHECK(orientation(png("II*")) == 1);
}

TEST_CASE("files cut anywhere and changed anywhere") {
    std::mt19937 random(7);
    for (const bool big : {false, true}) {
        for (const std::string& whole : {jpeg(tiff(6, big)), png(tiff(6, big))}) {
            for (std::size_t size = 0; size < whole.size(); ++size) {
                const int found = orientation(whole.substr(0, size));
                CHECK((found == 1 || found == 6));
            }
            for (int i = 0; i < 20000; ++i) {
                std::string changed = whole;
                for (int n = 0; n < 3; ++n)
                    changed[random() % changed.size()] = static_cast<char>(random() % 4 == 0 ? 255 : random());
                const int found = orientation(changed);
                REQUIRE((found >= 1 && found <= 8));
            }
        }
    }
}
