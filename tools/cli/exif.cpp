#include "exif.hpp"

#include <cstring>

namespace cli {

namespace {

// A range of bytes; what lies outside reads as 0.
class Bytes {
public:
    Bytes(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}

    std::size_t size() const { return size_; }
    std::uint32_t u8(std::size_t at) const { return at < size_ ? data_[at] : 0; }
    std::uint32_t u16(std::size_t at, bool big = true) const { return big ? u8(at) << 8 | u8(at + 1) : u8(at + 1) << 8 | u8(at); }
    std::uint32_t u32(std::size_t at, bool big = true) const {
        return big ? u16(at, big) << 16 | u16(at + 2, big) : u16(at + 2, big) << 16 | u16(at, big);
    }
    Bytes part(std::size_t at, std::size_t size) const {
        if (at >= size_) return {data_, 0};
        return {data_ + at, size < size_ - at ? size : size_ - at};
    }
    bool starts_with(const char* text, std::size_t length) const {
        return size_ >= length && std::memcmp(data_, text, length) == 0;
    }

private:
    const std::uint8_t* data_;
    std::size_t size_;
};

// A TIFF header and its first directory.
int tiff_orientation(Bytes tiff) {
    const bool big = tiff.starts_with("MM", 2);
    if (!big && !tiff.starts_with("II", 2)) return 1;
    if (tiff.u16(2, big) != 42) return 1;
    const std::size_t directory = tiff.u32(4, big);
    if (directory > tiff.size()) return 1;
    const std::uint32_t entries = tiff.u16(directory, big);
    for (std::uint32_t i = 0; i < entries; ++i) {
        const std::size_t entry = directory + 2 + 12 * std::size_t{i};
        if (entry + 12 > tiff.size()) return 1;
        constexpr std::uint32_t kOrientation = 0x0112, kShort = 3;
        if (tiff.u16(entry, big) != kOrientation) continue;
        const std::uint32_t value = tiff.u16(entry + 8, big);
        return tiff.u16(entry + 2, big) == kShort && value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
    }
    return 1;
}

int jpeg_orientation(Bytes file) {
    std::size_t at = 2;
    while (at + 4 <= file.size()) {
        if (file.u8(at) != 0xff) return 1;
        const std::uint32_t marker = file.u8(at + 1);
        if (marker == 0xff) {  // fill byte
            ++at;
            continue;
        }
        if (marker == 0xda || marker == 0xd9) return 1;  // the picture itself begins, or nothing follows
        const std::uint32_t length = file.u16(at + 2);
        if (length < 2) return 1;
        const Bytes segment = file.part(at + 4, length - 2);
        if (marker == 0xe1 && segment.starts_with("Exif\0\0", 6)) return tiff_orientation(segment.part(6, segment.size()));
        at += 2 + std::size_t{length};
    }
    return 1;
}

int png_orientation(Bytes file) {
    std::size_t at = 8;
    while (at + 8 <= file.size()) {
        const std::size_t length = file.u32(at);
        const Bytes type = file.part(at + 4, 4);
        if (type.starts_with("eXIf", 4)) return tiff_orientation(file.part(at + 8, length));
        if (type.starts_with("IEND", 4) || length > file.size()) return 1;
        at += 12 + length;
    }
    return 1;
}

}  // namespace

int exif_orientation(const std::uint8_t* data, std::size_t size) noexcept {
    const Bytes file(data, size);
    if (file.starts_with("\xff\xd8", 2)) return jpeg_orientation(file);
    if (file.starts_with("\x89PNG\r\n\x1a\n", 8)) return png_orientation(file);
    return 1;
}

}  // namespace cli
