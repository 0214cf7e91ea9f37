#include "image_file.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

#include "pictures/exif.hpp"
#include "pictures/stb.hpp"

namespace cli {

using retinaface::Error;
using retinaface::ErrorCode;

namespace {

struct CloseFile {
    void operator()(std::FILE* file) const { std::fclose(file); }
};

// One printable line: what libraries say may quote the file.
std::string escaped(const std::string& text) {
    std::string line;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        char code[8];
        std::snprintf(code, sizeof code, "\\x%02x", static_cast<unsigned>(byte));
        line += byte >= ' ' && byte < 0x7f ? std::string(1, c) : std::string(code);
    }
    return line;
}

// "WebP data in a .jpg", so that nobody looks for damage where a name is wrong.
std::string describe(const Decoder& decoder, const std::string& extension) {
    const bool misnamed = !extension.empty() && decoder_for_extension(extension) != nullptr && !has_extension(decoder, extension);
    return std::string(decoder.format) + " data" + (misnamed ? " in a " + escaped(extension) : "");
}

// Orientation `o` of EXIF: where the upright picture's pixel (x, y) lies in the stored one.
Image upright(Image stored, int o) {
    if (o <= 1 || o > 8) return stored;
    const bool swapped = o >= 5;
    const bool from_right = o == 2 || o == 3 || o == 7 || o == 8, from_bottom = o == 3 || o == 4 || o == 6 || o == 7;
    Image image;
    image.warning = stored.warning;
    image.source = stored.source;
    // Seen from the other side, a row may begin before the picture does.
    Image::Source& source = image.source;
    if (from_right) source.x0 = static_cast<float>(source.width) - source.scale_x * static_cast<float>(stored.width) - source.x0;
    if (from_bottom)
        source.y0 = static_cast<float>(source.height) - source.scale_y * static_cast<float>(stored.height) - source.y0;
    if (swapped) {
        std::swap(source.width, source.height);
        std::swap(source.scale_x, source.scale_y);
        std::swap(source.x0, source.y0);
    }
    image.format = stored.format;
    image.width = swapped ? stored.height : stored.width;
    image.height = swapped ? stored.width : stored.height;
    image.pixels.resize(stored.pixels.size());

    const int right = stored.width - 1, bottom = stored.height - 1;
    const auto bytes = static_cast<std::size_t>(retinaface::bytes_per_pixel(stored.format));
    std::uint8_t* dst = image.pixels.data();
    for (int y = 0; y < image.height; ++y) {
        for (int x = 0; x < image.width; ++x, dst += bytes) {
            int sx = swapped ? y : x, sy = swapped ? x : y;
            if (from_right) sx = right - sx;
            if (from_bottom) sy = bottom - sy;
            const std::size_t at =
                static_cast<std::size_t>(sy) * static_cast<std::size_t>(stored.width) + static_cast<std::size_t>(sx);
            std::memcpy(dst, stored.pixels.data() + at * bytes, bytes);
        }
    }
    return image;
}

}  // namespace

std::vector<std::uint8_t> read_file(const std::string& path, std::size_t limit) {
    const auto io_error = [](const char* what) { return Error(ErrorCode::io, std::string(what) + ": " + std::strerror(errno)); };
    const std::unique_ptr<std::FILE, CloseFile> file(std::fopen(path.c_str(), "rb"));
    if (file == nullptr) throw io_error("cannot open");
    std::vector<std::uint8_t> bytes;
    std::size_t used = 0;
    do {
        if (used > limit) throw Error(ErrorCode::io, "file is larger than " + std::to_string(limit) + " bytes");
        bytes.resize(std::max<std::size_t>(1 << 16, 2 * used));
        used += std::fread(bytes.data() + used, 1, bytes.size() - used, file.get());
    } while (used == bytes.size());
    if (std::ferror(file.get()) != 0) throw io_error("cannot read");
    if (used > limit) throw Error(ErrorCode::io, "file is larger than " + std::to_string(limit) + " bytes");
    bytes.resize(used);
    return bytes;
}

Image decode_image(const std::vector<std::uint8_t>& bytes, bool turn_upright, const Request& request,
                   const std::string& extension) {
    if (bytes.empty()) refuse("file is empty");
    const Bytes file(bytes.data(), bytes.size());
    for (const Decoder& decoder : decoders()) {
        if (!decoder.sniff(file)) continue;
        const std::string what = describe(decoder, extension);
        if (decoder.reading.read == nullptr) refuse("cannot decode: " + what + " (" + decoder.reading.library + ")");
        ImageBuilder builder(request);
        try {
            decoder.reading.read(file, builder);
        } catch (const Error& error) {
            throw Error(error.code(), "cannot decode " + what + ": " + escaped(error.what()));
        }
        Image image = builder.finish();
        if (!image.warning.empty()) image.warning = what + ": " + escaped(image.warning);
        if (!turn_upright) return image;
        return upright(std::move(image),
                       builder.orientation != 0 ? builder.orientation : exif_orientation(bytes.data(), bytes.size()));
    }
    refuse("cannot decode: no picture format that this tool knows (it begins with '" +
           escaped(std::string(file.part(0, 8).text())) + "')");
}

void turn(Image& image, retinaface::Rotation rotation) {
    using retinaface::Rotation;
    if (rotation == Rotation::none) return;
    image = upright(std::move(image), rotation == Rotation::clockwise_90 ? 6 : rotation == Rotation::clockwise_180 ? 3 : 8);
}

std::vector<std::uint8_t> encode_png(const Image& image) {
    std::vector<std::uint8_t> bytes;
    const auto append = [](void* context, void* data, int size) {
        auto& to = *static_cast<std::vector<std::uint8_t>*>(context);
        const auto* from = static_cast<const std::uint8_t*>(data);
        to.insert(to.end(), from, from + size);
    };
    const int channels = retinaface::bytes_per_pixel(image.format);
    if (stbi_write_png_to_func(append, &bytes, image.width, image.height, channels, image.pixels.data(),
                               image.width * channels) == 0)
        throw std::bad_alloc();
    return bytes;
}

}  // namespace cli
