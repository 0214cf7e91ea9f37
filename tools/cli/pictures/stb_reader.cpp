// Formats that stb_image reads, as a whole: GIF (the first frame) and PSD, and without their libraries JPEG and PNG.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

#include "decoder.hpp"
#include "stb.hpp"

namespace cli {

namespace {

// stb_image fills in zeros after the end of some formats and reports success, so it reads through here to be caught at it.
struct Source {
    Bytes bytes;
    std::size_t position = 0;
    bool past_end = false;

    static int read(void* self, char* dst, int size) {
        Source& source = *static_cast<Source*>(self);
        const Bytes part = source.bytes.part(source.position, static_cast<std::size_t>(size));
        // stb_image fills its own buffer ahead of need; any other request is for bytes that the picture must have.
        constexpr int kReadAhead = 128;
        if (size > 0 && (part.size() == 0 || (size != kReadAhead && part.size() < static_cast<std::size_t>(size))))
            source.past_end = true;
        if (part.size() > 0) std::memcpy(dst, part.data(), part.size());
        source.position += part.size();
        return static_cast<int>(part.size());
    }

    static void skip(void* self, int size) {
        Source& source = *static_cast<Source*>(self);
        if (size < 0) {
            source.position -= std::min(source.position, static_cast<std::size_t>(-static_cast<long>(size)));
            return;
        }
        const std::size_t left = source.bytes.size() - source.position;
        if (static_cast<std::size_t>(size) > left) source.past_end = true;
        source.position += std::min(left, static_cast<std::size_t>(size));
    }

    static int eof(void* self) {
        const Source& source = *static_cast<Source*>(self);
        return source.position == source.bytes.size() ? 1 : 0;
    }
};

constexpr stbi_io_callbacks kCallbacks = {&Source::read, &Source::skip, &Source::eof};

std::string reason(const Source& source, const char* otherwise = "unknown reason") {
    const char* reason = stbi_failure_reason();
    return source.past_end ? "file is truncated" : reason != nullptr ? reason : otherwise;
}

// stb_image knows no restart marker or stuffing before the end marker: without Huffman tables it may return grey for a picture.
void check_jpeg(Bytes file) {
    std::size_t at = 2;
    bool tables = false, arithmetic = false;
    while (at + 4 <= file.size() && file.u8(at) == 0xff && file.u8(at + 1) != 0xda) {
        const std::uint32_t marker = file.u8(at + 1);
        tables = tables || marker == 0xc4;
        arithmetic = arithmetic || (marker >= 0xc9 && marker <= 0xcf && marker != 0xcc);
        at += marker == 0xff ? 1 : 2 + std::size_t{file.u16(at + 2)};
    }
    if (arithmetic) refuse("arithmetic coding is not supported by stb_image");
    if (!tables && file.u8(at + 1) == 0xda) refuse("no Huffman tables (a frame of Motion JPEG): not supported by stb_image");
}

/// Scans of a JPEG: every one works on all coefficients again.
int count_scans(Bytes file) {
    int scans = 0;
    for (std::size_t at = 2; at + 1 < file.size(); ++at) scans += file.u8(at) == 0xff && file.u8(at + 1) == 0xda ? 1 : 0;
    return scans;
}

}  // namespace

void read_stb(Bytes file, ImageBuilder& builder) {
    const bool jpeg = file.starts_with("\xff\xd8"), png = file.starts_with("\x89PNG");
    if (jpeg) {
        check_jpeg(file);
        if (count_scans(file) > builder.limits().scans)
            refuse("more than " + std::to_string(builder.limits().scans) + " scans (--max-scans)");
    }
    if (png) {
        if (file.has(12, "CgBI")) refuse("the CgBI variant (Apple's, of iPhone applications) is not supported");
        // stb_image calls a PNG that is too large for it no image at all.
        builder.plan(file.u32(16), file.u32(20));
    }
    int width = 0, height = 0, channels = 0;
    Source header{file};
    if (stbi_info_from_callbacks(&kCallbacks, &header, &width, &height, &channels) == 0) refuse(reason(header));
    const ImageBuilder::Reduction reduction = builder.plan(width, height);
    const std::int64_t pixels_count = std::int64_t{width} * height;
    // What stb_image needs beside the picture: coefficients or planes of JPEG, all that PNG inflates, two copies of a GIF's frame.
    builder.take(pixels_count * (jpeg ? 12 : 8));

    const int wanted = channels <= 2 ? 1 : channels;
    Source source{file};
    const std::unique_ptr<stbi_uc, decltype(&stbi_image_free)> pixels(
        stbi_load_from_callbacks(&kCallbacks, &source, &width, &height, &channels, wanted), stbi_image_free);
    if (source.past_end || pixels == nullptr) refuse(reason(source));
    builder.begin(reduction, width, height,
                  wanted == 1   ? retinaface::PixelFormat::gray8
                  : wanted == 3 ? retinaface::PixelFormat::rgb8
                                : retinaface::PixelFormat::rgba8);
    const auto row = static_cast<std::size_t>(width) * static_cast<std::size_t>(wanted);
    for (int y = 0; y < height; ++y) {
        std::memcpy(builder.row(), pixels.get() + row * static_cast<std::size_t>(y), row);
        builder.commit();
    }
}

}  // namespace cli
