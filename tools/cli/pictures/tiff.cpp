// TIFF with libtiff: the first page, a strip or a row of tiles at a time.
#include <tiffio.h>

#include <algorithm>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "decoder.hpp"

namespace cli {

namespace {

struct Source {
    Bytes file;
    std::uint64_t position = 0;
    std::string error;
};

Source& source(thandle_t handle) { return *static_cast<Source*>(handle); }

tmsize_t read(thandle_t handle, void* dst, tmsize_t size) {
    Source& s = source(handle);
    const Bytes part = s.file.part(static_cast<std::size_t>(s.position), static_cast<std::size_t>(size));
    if (part.size() > 0) std::memcpy(dst, part.data(), part.size());
    s.position += part.size();
    return static_cast<tmsize_t>(part.size());
}

toff_t seek(thandle_t handle, toff_t offset, int from) {
    Source& s = source(handle);
    s.position = from == SEEK_CUR ? s.position + offset : from == SEEK_END ? s.file.size() + offset : offset;
    return s.position;
}

// The first error is the cause, what follows is its consequence.
void keep_error(thandle_t handle, const char* module, const char* format, va_list arguments) {
    static_cast<void>(module);
    char text[256];
    std::vsnprintf(text, sizeof text, format, arguments);
    if (handle != nullptr && source(handle).error.empty()) source(handle).error = text;
}

struct CloseTiff {
    void operator()(TIFF* tiff) const { TIFFClose(tiff); }
};

}  // namespace

void read_tiff(Bytes file, ImageBuilder& builder) {
    static const bool quiet = [] {
        TIFFSetErrorHandler(nullptr);
        TIFFSetWarningHandler(nullptr);
        TIFFSetErrorHandlerExt(keep_error);
        return true;
    }();
    static_cast<void>(quiet);
    Source s{file, 0, ""};
    const auto check = [&](bool went_well) {
        if (!went_well) refuse(s.error.empty() ? "picture data is damaged" : s.error);
    };
    // Mapped, libtiff reads the file where it lies; "m" would forbid that.
    const std::unique_ptr<TIFF, CloseTiff> tiff(TIFFClientOpen(
        "TIFF", "r", &s, read, [](thandle_t, void*, tmsize_t) { return tmsize_t{0}; }, seek, [](thandle_t) { return 0; },
        [](thandle_t handle) { return static_cast<toff_t>(source(handle).file.size()); },
        [](thandle_t handle, void** base, toff_t* size) {
            *base = const_cast<std::uint8_t*>(source(handle).file.data());
            *size = source(handle).file.size();
            return 1;
        },
        [](thandle_t, void*, toff_t) {}));
    check(tiff != nullptr);

    std::uint32_t width = 0, height = 0, band = 0;
    std::uint16_t orientation = ORIENTATION_TOPLEFT;
    check(TIFFGetField(tiff.get(), TIFFTAG_IMAGEWIDTH, &width) == 1 &&
          TIFFGetField(tiff.get(), TIFFTAG_IMAGELENGTH, &height) == 1);
    TIFFGetFieldDefaulted(tiff.get(), TIFFTAG_ORIENTATION, &orientation);
    builder.orientation = orientation >= 1 && orientation <= 8 ? orientation : 1;
    const ImageBuilder::Reduction reduction = builder.plan(width, height);
    char reason[1024];
    if (TIFFRGBAImageOK(tiff.get(), reason) == 0) refuse(reason);
    // Rows come as stored: libtiff's own turning knows half of the orientations.
    TIFFSetField(tiff.get(), TIFFTAG_ORIENTATION, std::uint16_t{ORIENTATION_TOPLEFT});
    // And colours as stored, as of every other format: libtiff would darken them by an alpha that they were not multiplied by.
    std::uint16_t extra_count = 0;
    const std::uint16_t* extra = nullptr;
    TIFFGetFieldDefaulted(tiff.get(), TIFFTAG_EXTRASAMPLES, &extra_count, &extra);
    if (extra_count > 0) {
        const std::vector<std::uint16_t> multiplied(extra_count, std::uint16_t{EXTRASAMPLE_ASSOCALPHA});
        TIFFSetField(tiff.get(), TIFFTAG_EXTRASAMPLES, extra_count, multiplied.data());
    }

    const bool tiled = TIFFIsTiled(tiff.get()) != 0;
    std::uint32_t tile_width = width;
    if (tiled) {
        check(TIFFGetField(tiff.get(), TIFFTAG_TILEWIDTH, &tile_width) == 1 &&
              TIFFGetField(tiff.get(), TIFFTAG_TILELENGTH, &band) == 1);
    } else {
        TIFFGetFieldDefaulted(tiff.get(), TIFFTAG_ROWSPERSTRIP, &band);
        band = std::min(band, height);
    }
    check(tile_width > 0 && band > 0);
    builder.begin(reduction, static_cast<int>(width), static_cast<int>(height), retinaface::PixelFormat::rgb8);
    const std::uint64_t across = (std::uint64_t{width} + tile_width - 1) / tile_width;
    const std::uint64_t block = std::uint64_t{tile_width} * band;
    constexpr std::uint64_t kMostBlock = std::uint64_t{1} << 40;
    const std::uint64_t stored = static_cast<std::uint64_t>(tiled ? TIFFTileSize64(tiff.get()) : TIFFStripSize64(tiff.get()));
    check(block < kMostBlock && stored < kMostBlock);
    builder.take(static_cast<std::int64_t>(4 * block * across + stored));
    std::vector<std::uint32_t> pixels(static_cast<std::size_t>(block * across));

    for (std::uint32_t y = 0; y < height; y += band) {
        for (std::uint64_t i = 0; i < across; ++i) {
            std::uint32_t* dst = pixels.data() + i * block;
            check(tiled ? TIFFReadRGBATileExt(tiff.get(), static_cast<std::uint32_t>(i * tile_width), y, dst, 1) == 1
                        : TIFFReadRGBAStripExt(tiff.get(), y, dst, 1) == 1);
        }
        const std::uint32_t rows = std::min(band, height - y);
        for (std::uint32_t k = 0; k < rows; ++k) {
            // Bottom row first: of a tile always all its rows, of a strip those that it has.
            const std::uint32_t from = (tiled ? band : rows) - 1 - k;
            std::uint8_t* dst = builder.row();
            for (std::uint32_t x = 0; x < width; ++x) {
                const std::uint32_t pixel =
                    pixels[static_cast<std::size_t>(x / tile_width * block + std::uint64_t{from} * tile_width + x % tile_width)];
                *dst++ = static_cast<std::uint8_t>(TIFFGetR(pixel));
                *dst++ = static_cast<std::uint8_t>(TIFFGetG(pixel));
                *dst++ = static_cast<std::uint8_t>(TIFFGetB(pixel));
            }
            builder.commit();
        }
    }
}

}  // namespace cli
