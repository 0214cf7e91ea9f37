// BMP, every kind that Windows and OS/2 wrote but for embedded JPEG and PNG: stb_image reads none with palettes of 1 bit before RGB,
// rows from the top, or run lengths.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "decoder.hpp"

namespace cli {

namespace {

enum Compression : std::uint32_t { kRgb = 0, kRle8 = 1, kRle4 = 2, kBitfields = 3, kJpeg = 4, kPng = 5, kAlphaBitfields = 6 };

struct Header {
    std::int64_t width = 0;
    std::int64_t height = 0;
    bool from_top = false;
    std::uint32_t bits = 0;
    std::uint32_t compression = kRgb;
    std::size_t pixels = 0;  // where they begin
    std::array<std::uint32_t, 3> masks{};
    std::array<std::array<std::uint8_t, 3>, 256> palette{};
};

Header read_header(Bytes file) {
    constexpr std::size_t kFileHeader = 14, kCoreHeader = 12, kInfoHeader = 40;
    if (file.size() < kFileHeader + kCoreHeader) refuse("file is truncated");
    const Bytes info = file.part(kFileHeader);
    const std::size_t size = info.u32(0, false);
    if (size != kCoreHeader && size < 16) refuse("unknown header of " + std::to_string(size) + " bytes");
    if (size > info.size()) refuse("file is truncated");

    Header h;
    h.pixels = file.u32(10, false);
    const bool core = size == kCoreHeader;
    if (core) {
        h.width = info.u16(4, false);
        h.height = info.u16(6, false);
        h.bits = info.u16(10, false);
    } else {
        h.width = static_cast<std::int32_t>(info.u32(4, false));
        h.height = static_cast<std::int32_t>(info.u32(8, false));
        h.bits = info.u16(14, false);
        if (size >= 20) h.compression = info.u32(16, false);
    }
    h.from_top = h.height < 0;
    h.height = std::abs(h.height);

    const std::uint32_t bits = h.bits, compression = h.compression;
    if (compression == kJpeg || compression == kPng)
        refuse(std::string(compression == kJpeg ? "JPEG" : "PNG") + " inside BMP is not supported");
    const bool fields = compression == kBitfields || compression == kAlphaBitfields;
    const bool known = compression == kRle8   ? bits == 8
                       : compression == kRle4 ? bits == 4
                       : fields               ? bits == 16 || bits == 32
                                : compression == kRgb && (bits == 1 || bits == 2 || bits == 4 || bits == 8 || bits == 16 ||
                                                          bits == 24 || bits == 32);
    if (!known)
        refuse(std::to_string(bits) + " bits a pixel with compression " + std::to_string(compression) + " are not supported");

    // Masks stand in the longer headers or after the short one.
    h.masks =
        bits == 16 ? std::array<std::uint32_t, 3>{0x7c00, 0x3e0, 0x1f} : std::array<std::uint32_t, 3>{0xff0000, 0xff00, 0xff};
    if (fields)
        for (std::size_t i = 0; i < 3; ++i) h.masks[i] = info.u32(kInfoHeader + 4 * i, false);
    if (bits > 8) return h;

    // Entries that the file lacks are black.
    std::size_t palette = size;
    const std::size_t entry = core ? 3 : 4;
    std::size_t entries = size >= 36 ? info.u32(32, false) : 0;
    if (entries == 0 || entries > (std::size_t{1} << bits)) entries = std::size_t{1} << bits;
    if (fields && size == kInfoHeader) palette += 12;
    for (std::size_t i = 0; i < entries && kFileHeader + palette + entry * (i + 1) <= h.pixels; ++i)
        for (std::size_t c = 0; c < 3; ++c) h.palette[i][2 - c] = static_cast<std::uint8_t>(info.u8(palette + entry * i + c));
    return h;
}

/// The bits under a mask as 0..255.
class Channel {
public:
    explicit Channel(std::uint32_t mask) : mask_(mask) {
        if (mask == 0) return;
        while ((mask >> shift_ & 1) == 0) ++shift_;
        most_ = mask >> shift_;
    }
    std::uint8_t operator()(std::uint32_t pixel) const {
        return static_cast<std::uint8_t>((std::uint64_t{(pixel & mask_) >> shift_} * 255 + most_ / 2) / most_);
    }

private:
    std::uint32_t mask_;
    int shift_ = 0;
    std::uint32_t most_ = 1;
};

/// Palette indices of a run-length picture, bottom row first; what it skips is index 0. `pixels` has room for all of them.
void unpack_runs(Bytes data, const Header& h, std::vector<std::uint8_t>& pixels) {
    const auto width = static_cast<std::size_t>(h.width), height = static_cast<std::size_t>(h.height);
    const bool nibbles = h.compression == kRle4;
    std::size_t at = 0, x = 0, y = 0;
    const auto put = [&](std::uint32_t index) {
        if (x < width && y < height) pixels[y * width + x] = static_cast<std::uint8_t>(index);
        ++x;
    };
    while (y < height) {
        if (at + 2 > data.size()) refuse("file is truncated");
        const std::uint32_t count = data.u8(at), value = data.u8(at + 1);
        at += 2;
        if (count > 0) {
            for (std::uint32_t i = 0; i < count; ++i) put(!nibbles ? value : i % 2 == 0 ? value >> 4 : value & 15);
        } else if (value == 0) {  // the row ends
            x = 0;
            ++y;
        } else if (value == 1) {  // the picture ends
            return;
        } else if (value == 2) {  // a step right and up
            x += data.u8(at);
            y += data.u8(at + 1);
            at += 2;
        } else {  // pixels as they are, in whole pairs of bytes
            const std::size_t bytes = nibbles ? (value + 1) / 2 : value;
            if (at + bytes > data.size()) refuse("file is truncated");
            for (std::uint32_t i = 0; i < value; ++i)
                put(!nibbles ? data.u8(at + i) : i % 2 == 0 ? data.u8(at + i / 2) >> 4 : data.u8(at + i / 2) & 15);
            at += bytes + bytes % 2;
        }
    }
}

}  // namespace

void read_bmp(Bytes file, ImageBuilder& builder) {
    const Header h = read_header(file);
    const ImageBuilder::Reduction reduction = builder.plan(h.width, h.height);
    const auto width = static_cast<std::size_t>(h.width), height = static_cast<std::size_t>(h.height);
    const Bytes data = file.part(h.pixels);
    const bool runs = h.compression == kRle8 || h.compression == kRle4;
    const std::size_t stride = (width * h.bits + 31) / 32 * 4;
    // The last row may lack its padding.
    if (!runs && data.size() < stride * (height - 1) + (width * h.bits + 7) / 8) refuse("file is truncated");

    builder.begin(reduction, static_cast<int>(width), static_cast<int>(height), retinaface::PixelFormat::rgb8);
    std::vector<std::uint8_t> indices;
    if (runs) {
        builder.take(static_cast<std::int64_t>(width * height));
        indices.resize(width * height);
        unpack_runs(data, h, indices);
    }
    const Channel red(h.masks[0]), green(h.masks[1]), blue(h.masks[2]);
    for (std::size_t y = 0; y < height; ++y) {
        const std::size_t stored = h.from_top ? y : height - 1 - y;
        const Bytes row = runs ? Bytes(indices.data() + stored * width, width) : data.part(stored * stride);
        std::uint8_t* dst = builder.row();
        for (std::size_t x = 0; x < width; ++x, dst += 3) {
            if (h.bits == 24) {
                for (std::size_t c = 0; c < 3; ++c) dst[c] = static_cast<std::uint8_t>(row.u8(3 * x + 2 - c));
            } else if (h.bits > 8) {
                const std::uint32_t pixel = h.bits == 16 ? row.u16(2 * x, false) : row.u32(4 * x, false);
                dst[0] = red(pixel);
                dst[1] = green(pixel);
                dst[2] = blue(pixel);
            } else {
                const std::size_t per_byte = 8 / h.bits;
                const auto shift = 8 - h.bits * (x % per_byte + 1);
                const std::uint32_t index = runs ? row.u8(x) : row.u8(x / per_byte) >> shift & ((1u << h.bits) - 1);
                std::memcpy(dst, h.palette[index].data(), 3);
            }
        }
        builder.commit();
    }
}

}  // namespace cli
