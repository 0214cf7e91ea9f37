#include "image_file.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>
#include <memory>

#include "exif.hpp"
#include "stb.hpp"

namespace cli {

using retinaface::Error;
using retinaface::ErrorCode;
using retinaface::PixelFormat;

namespace {

struct CloseFile {
    void operator()(std::FILE* file) const { std::fclose(file); }
};

// stb_image fills in zeros behind the end of some formats and reports success, so it reads through here to be caught at it.
struct Source {
    const std::vector<std::uint8_t>& bytes;
    std::size_t position = 0;
    bool past_end = false;

    static int read(void* self, char* dst, int size) {
        Source& source = *static_cast<Source*>(self);
        const std::size_t left = source.bytes.size() - source.position;
        const std::size_t count = std::min(left, static_cast<std::size_t>(size));
        // stb_image fills its own buffer ahead of need; any other request is for bytes that the picture must have.
        constexpr int kReadAhead = 128;
        if (size > 0 && (count == 0 || (size != kReadAhead && count < static_cast<std::size_t>(size)))) source.past_end = true;
        if (count > 0) std::memcpy(dst, source.bytes.data() + source.position, count);
        source.position += count;
        return static_cast<int>(count);
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

[[noreturn]] void fail(const std::string& what) { throw Error(ErrorCode::invalid_argument, what); }

std::string stb_reason() {
    const char* reason = stbi_failure_reason();
    return reason != nullptr ? reason : "unknown reason";
}

void check_size(std::int64_t width, std::int64_t height) {
    if (width >= 1 && height >= 1 && width <= retinaface::kMaxSide && height <= retinaface::kMaxSide &&
        width * height <= retinaface::kMaxPixels)
        return;
    fail("image of " + std::to_string(width) + " x " + std::to_string(height) + " pixels is too large (at most " +
         std::to_string(retinaface::kMaxPixels) + " pixels, " + std::to_string(retinaface::kMaxSide) + " a side)");
}

// stb_image calls a PNG that is too large for it no image at all.
void check_png_size(const std::vector<std::uint8_t>& bytes) {
    if (bytes.size() < 24 || std::memcmp(bytes.data(), "\x89PNG\r\n\x1a\n", 8) != 0) return;
    const auto u32 = [&](std::size_t at) {
        std::int64_t value = 0;
        for (std::size_t i = 0; i < 4; ++i) value = value << 8 | bytes[at + i];
        return value;
    };
    check_size(u32(16), u32(20));
}

// Orientation `o` of EXIF: where the upright picture's pixel (x, y) lies in the stored one.
Image upright(Image stored, int o) {
    if (o <= 1 || o > 8) return stored;
    const bool swapped = o >= 5;
    Image image;
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
            if (o == 2 || o == 3 || o == 7 || o == 8) sx = right - sx;
            if (o == 3 || o == 4 || o == 6 || o == 7) sy = bottom - sy;
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

Image load_image(const std::string& path) { return decode_image(read_file(path, kMaxImageFile)); }

Image decode_image(const std::vector<std::uint8_t>& bytes, bool turn_upright) {
    if (bytes.empty()) fail("file is empty");

    check_png_size(bytes);
    int width = 0, height = 0, channels = 0;
    Source header{bytes};
    if (stbi_info_from_callbacks(&kCallbacks, &header, &width, &height, &channels) == 0)
        fail("cannot decode: " + (header.past_end ? "file is truncated or no image" : stb_reason()));
    check_size(width, height);

    Image image;
    image.format = channels <= 2 ? PixelFormat::gray8 : channels == 3 ? PixelFormat::rgb8 : PixelFormat::rgba8;
    Source source{bytes};
    const std::unique_ptr<stbi_uc, decltype(&stbi_image_free)> pixels(
        stbi_load_from_callbacks(&kCallbacks, &source, &image.width, &image.height, &channels,
                                 retinaface::bytes_per_pixel(image.format)),
        stbi_image_free);
    if (source.past_end) fail("cannot decode: file is truncated");
    if (pixels == nullptr) fail("cannot decode: " + stb_reason());
    const std::size_t size = static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.height) *
                             static_cast<std::size_t>(retinaface::bytes_per_pixel(image.format));
    image.pixels.assign(pixels.get(), pixels.get() + size);
    return turn_upright ? upright(std::move(image), exif_orientation(bytes.data(), bytes.size())) : image;
}

void save_png(const std::string& path, const Image& image) {
    const int bytes = retinaface::bytes_per_pixel(image.format);
    const std::unique_ptr<std::FILE, CloseFile> file(std::fopen(path.c_str(), "wb"));
    bool written = file != nullptr;
    struct Sink {
        std::FILE* file;
        bool written;
    } sink{file.get(), written};
    if (written) {
        const auto write = [](void* context, void* data, int size) {
            Sink& to = *static_cast<Sink*>(context);
            to.written =
                to.written && std::fwrite(data, 1, static_cast<std::size_t>(size), to.file) == static_cast<std::size_t>(size);
        };
        const int made =
            stbi_write_png_to_func(write, &sink, image.width, image.height, bytes, image.pixels.data(), image.width * bytes);
        written = made != 0 && sink.written && std::fflush(file.get()) == 0;
    }
    if (!written) throw Error(ErrorCode::io, "cannot write " + path + ": " + std::strerror(errno));
}

}  // namespace cli
