#include "exif.hpp"

#include <array>
#include <string_view>

#include "bytes.hpp"
#if defined(RETINAFACE_WITH_PNG)
#include <zlib.h>
#endif

namespace cli {

namespace {

constexpr int kNone = 0;  // no orientation here: look elsewhere

int valid(std::uint32_t value) { return value >= 1 && value <= 8 ? static_cast<int>(value) : kNone; }

// A TIFF header and its first directory.
int tiff_orientation(Bytes tiff) {
    const bool big = tiff.starts_with("MM");
    if (!big && !tiff.starts_with("II")) return kNone;
    if (tiff.u16(2, big) != 42) return kNone;
    const std::size_t directory = tiff.u32(4, big);
    if (directory > tiff.size()) return kNone;
    const std::uint32_t entries = tiff.u16(directory, big);
    for (std::uint32_t i = 0; i < entries; ++i) {
        const std::size_t entry = directory + 2 + 12 * std::size_t{i};
        if (entry + 12 > tiff.size()) return kNone;
        constexpr std::uint32_t kOrientation = 0x0112, kShort = 3, kLong = 4;
        if (tiff.u16(entry, big) != kOrientation) continue;
        const std::uint32_t type = tiff.u16(entry + 2, big);
        if (type == kShort) return valid(tiff.u16(entry + 8, big));
        return type == kLong ? valid(tiff.u32(entry + 8, big)) : kNone;
    }
    return kNone;
}

// EXIF data with or without the name that JPEG puts before it.
int exif_data_orientation(Bytes data) {
    using namespace std::string_view_literals;
    return tiff_orientation(data.starts_with("Exif\0\0"sv) ? data.part(6) : data);
}

// tiff:Orientation="6", or as an element.
int xmp_orientation(Bytes packet) {
    const std::string_view text = packet.text(), name = "tiff:Orientation";
    std::size_t at = text.find(name);
    if (at == std::string_view::npos) return kNone;
    at += name.size();
    while (at < text.size() && (text[at] == ' ' || text[at] == '=' || text[at] == '"' || text[at] == '\'' || text[at] == '>'))
        ++at;
    const std::uint32_t digit = packet.u8(at), next = packet.u8(at + 1);
    return digit >= '1' && digit <= '8' && !(next >= '0' && next <= '9') ? static_cast<int>(digit - '0') : kNone;
}

// ImageMagick's way: name of the profile, its length, its bytes in hexadecimal.
int raw_profile_orientation(Bytes text) {
    std::array<std::uint8_t, 4096> data{};  // the first directory of a camera lies within
    std::size_t at = 0, count = 0;
    for (int line = 0; line < 3 && at < text.size(); ++at)  // an empty line, "exif", the length
        if (text.u8(at) == '\n') ++line;
    std::uint32_t high = 16;
    for (; at < text.size() && count < data.size(); ++at) {
        const std::uint32_t c = text.u8(at) | 32;
        const std::uint32_t digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
        if (digit == 16) continue;
        if (high == 16) {
            high = digit;
            continue;
        }
        data[count++] = static_cast<std::uint8_t>(high << 4 | digit);
        high = 16;
    }
    return exif_data_orientation({data.data(), count});
}

struct Metadata {
    int exif = kNone;
    int xmp = kNone;
};

Metadata jpeg_metadata(Bytes file) {
    using namespace std::string_view_literals;
    Metadata found;
    std::size_t at = 2;
    while (at + 4 <= file.size()) {
        if (file.u8(at) != 0xff) break;
        const std::uint32_t marker = file.u8(at + 1);
        if (marker == 0xff) {  // fill byte
            ++at;
            continue;
        }
        if (marker == 0xda || marker == 0xd9) break;  // the picture itself begins, or nothing follows
        const std::uint32_t length = file.u16(at + 2);
        if (length < 2) break;
        const Bytes segment = file.part(at + 4, length - 2);
        constexpr std::string_view kXmp = "http://ns.adobe.com/xap/1.0/\0"sv;
        if (marker == 0xe1 && found.exif == kNone && segment.starts_with("Exif\0\0"sv))
            found.exif = exif_data_orientation(segment);
        if (marker == 0xe1 && found.xmp == kNone && segment.starts_with(kXmp))
            found.xmp = xmp_orientation(segment.part(kXmp.size()));
        at += 2 + std::size_t{length};
    }
    return found;
}

// The value of a text chunk of PNG: keyword, 0, and what `type` puts before the text. Calls use(text), inflated where need be: its
// first 64 KB.
template <class Use>
void with_png_text(Bytes chunk, std::string_view type, std::size_t keyword, Use use) {
    std::size_t at = keyword + 1;
    bool compressed = type == "zTXt";
    if (type == "zTXt") ++at;  // method
    if (type == "iTXt") {
        compressed = chunk.u8(at) == 1;
        at += 2;
        for (int strings = 0; strings < 2 && at < chunk.size(); ++at)
            strings += chunk.u8(at) == 0 ? 1 : 0;  // language, translation
    }
    const Bytes text = chunk.part(at);
    if (!compressed) {
        use(text);
        return;
    }
#if defined(RETINAFACE_WITH_PNG)
    std::array<std::uint8_t, 1 << 16> inflated;
    z_stream stream{};
    stream.next_in = const_cast<Bytef*>(text.data());
    stream.avail_in = static_cast<uInt>(text.size());
    stream.next_out = inflated.data();
    stream.avail_out = static_cast<uInt>(inflated.size());
    if (inflateInit(&stream) != Z_OK) return;
    inflate(&stream, Z_SYNC_FLUSH);
    const std::size_t size = inflated.size() - stream.avail_out;
    inflateEnd(&stream);
    use(Bytes(inflated.data(), size));
#endif
}

Metadata png_metadata(Bytes file) {
    using namespace std::string_view_literals;
    Metadata found;
    std::size_t at = 8;
    while (at + 8 <= file.size()) {
        const std::size_t length = file.u32(at);
        const std::string_view type = file.part(at + 4, 4).text();
        if (type == "IEND" || length > file.size()) break;
        const Bytes chunk = file.part(at + 8, length);
        const auto is = [&](std::string_view keyword) { return chunk.starts_with(keyword) && chunk.u8(keyword.size()) == 0; };
        if (type == "eXIf" && found.exif == kNone) found.exif = exif_data_orientation(chunk);
        if (type == "tEXt" || type == "zTXt" || type == "iTXt") {
            for (const std::string_view keyword : {"Raw profile type exif"sv, "Raw profile type APP1"sv})
                if (found.exif == kNone && is(keyword))
                    with_png_text(chunk, type, keyword.size(), [&](Bytes text) { found.exif = raw_profile_orientation(text); });
            constexpr std::string_view kXmp = "XML:com.adobe.xmp";
            if (found.xmp == kNone && is(kXmp))
                with_png_text(chunk, type, kXmp.size(), [&](Bytes text) { found.xmp = xmp_orientation(text); });
        }
        at += 12 + length;
    }
    return found;
}

Metadata webp_metadata(Bytes file) {
    Metadata found;
    std::size_t at = 12;
    while (at + 8 <= file.size()) {
        const std::size_t length = file.u32(at + 4, false);
        if (length > file.size()) break;
        if (file.has(at, "EXIF")) found.exif = exif_data_orientation(file.part(at + 8, length));
        if (file.has(at, "XMP ")) found.xmp = xmp_orientation(file.part(at + 8, length));
        at += 8 + length + length % 2;
    }
    return found;
}

}  // namespace

int exif_orientation(const std::uint8_t* data, std::size_t size) noexcept {
    const Bytes file(data, size);
    Metadata found;
    if (file.starts_with("\xff\xd8")) found = jpeg_metadata(file);
    if (file.starts_with("\x89PNG\r\n\x1a\n")) found = png_metadata(file);
    if (file.starts_with("RIFF") && file.has(8, "WEBP")) found = webp_metadata(file);
    return found.exif != kNone ? found.exif : found.xmp != kNone ? found.xmp : 1;
}

}  // namespace cli
