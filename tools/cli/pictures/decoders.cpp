#include <cctype>
#include <initializer_list>
#include <string>
#include <string_view>

#include "decoder.hpp"

namespace cli {

namespace {

bool is_ftyp(Bytes file, std::initializer_list<std::string_view> brands) {
    if (!file.has(4, "ftyp")) return false;
    for (const std::string_view brand : brands)
        if (file.has(8, brand)) return true;
    return false;
}

bool is_text(Bytes file, std::string_view begins) {
    std::size_t at = file.starts_with("\xef\xbb\xbf") ? 3 : 0;
    while (at < file.size() && (file.u8(at) == ' ' || file.u8(at) == '\n' || file.u8(at) == '\r' || file.u8(at) == '\t')) ++at;
    for (std::size_t i = 0; i < begins.size(); ++i) {
        const std::uint32_t c = file.u8(at + i);
        if ((c >= 'A' && c <= 'Z' ? c + 32 : c) != static_cast<unsigned char>(begins[i])) return false;
    }
    return true;
}

#if defined(RETINAFACE_WITH_JPEG)
constexpr auto kReadJpeg = read_jpeg;
constexpr const char* kJpegLibrary = "libjpeg-turbo";
#elif defined(RETINAFACE_STB_JPEG)
constexpr auto kReadJpeg = read_stb;
constexpr const char* kJpegLibrary = "stb_image";
#else
constexpr void (*kReadJpeg)(Bytes, ImageBuilder&) = nullptr;
constexpr const char* kJpegLibrary = "built without libjpeg-turbo, and its stb_image is older than 2.29";
#endif

#if defined(RETINAFACE_WITH_PNG)
constexpr auto kReadPng = read_png;
constexpr const char* kPngLibrary = "libpng";
#elif defined(RETINAFACE_STB_PNG)
constexpr auto kReadPng = read_stb;
constexpr const char* kPngLibrary = "stb_image";
#else
constexpr void (*kReadPng)(Bytes, ImageBuilder&) = nullptr;
constexpr const char* kPngLibrary = "built without libpng, and its stb_image is older than 2.29";
#endif

#if defined(RETINAFACE_WITH_WEBP)
constexpr auto kReadWebp = read_webp;
constexpr const char* kWebpLibrary = "libwebp";
#else
constexpr void (*kReadWebp)(Bytes, ImageBuilder&) = nullptr;
constexpr const char* kWebpLibrary = "built without libwebp";
#endif

#if defined(RETINAFACE_WITH_TIFF)
constexpr auto kReadTiff = read_tiff;
constexpr const char* kTiffLibrary = "libtiff";
#else
constexpr void (*kReadTiff)(Bytes, ImageBuilder&) = nullptr;
constexpr const char* kTiffLibrary = "built without libtiff";
#endif

#if defined(RETINAFACE_WITH_HEIF)
constexpr auto kReadHeif = read_heif;
constexpr const char* kHeifLibrary = "libheif";
#else
constexpr void (*kReadHeif)(Bytes, ImageBuilder&) = nullptr;
constexpr const char* kHeifLibrary = "built without libheif";
#endif

constexpr const char* kForeign = "not a format that this tool reads";

}  // namespace

const std::vector<Decoder>& decoders() {
    static const std::vector<Decoder> kDecoders = {
        {"JPEG", ".jpg .jpeg .jpe .jfif .jif .mpo", [](Bytes f) { return f.starts_with("\xff\xd8"); }, kReadJpeg, kJpegLibrary},
        {"PNG", ".png", [](Bytes f) { return f.starts_with("\x89PNG\r\n\x1a\n"); }, kReadPng, kPngLibrary},
        {"BMP", ".bmp .dib", [](Bytes f) { return f.starts_with("BM"); }, read_bmp, "this tool"},
        {"PNM", ".pbm .pgm .ppm .pnm .pam",
         [](Bytes f) { return f.u8(0) == 'P' && f.u8(1) >= '1' && f.u8(1) <= '7' && (f.u8(2) <= ' ' || f.u8(2) == '#'); },
         read_pnm, "this tool"},
        {"WebP", ".webp", [](Bytes f) { return f.starts_with("RIFF") && f.has(8, "WEBP"); }, kReadWebp, kWebpLibrary},
        {"GIF", ".gif", [](Bytes f) { return f.starts_with("GIF87a") || f.starts_with("GIF89a"); }, read_stb, "stb_image"},
        {"PSD", ".psd", [](Bytes f) { return f.starts_with("8BPS"); }, read_stb, "stb_image"},
        {"TIFF", ".tif .tiff",
         [](Bytes f) {
             using namespace std::string_view_literals;
             for (const std::string_view mark : {"II*\0"sv, "MM\0*"sv, "II+\0"sv, "MM\0+"sv})
                 if (f.starts_with(mark)) return true;
             return false;
         },
         kReadTiff, kTiffLibrary},
        {"HEIC", ".heic .heif .hif",
         [](Bytes f) {
             return is_ftyp(f, {"heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1"});
         },
         kReadHeif, kHeifLibrary},
        {"AVIF", ".avif",
         [](Bytes f) {
             return is_ftyp(f, {"avif", "avis"});
         },
         kReadHeif, kHeifLibrary},
        // Known by sight only, so that a message says what the file is.
        {"JPEG XL", "", [](Bytes f) { return f.starts_with("\xff\x0a") || f.has(4, "JXL "); }, nullptr, kForeign},
        {"JPEG 2000", "", [](Bytes f) { return f.has(4, "jP  ") || f.starts_with("\xff\x4f\xff\x51"); }, nullptr, kForeign},
        {"PFM", "", [](Bytes f) { return f.starts_with("PF\n") || f.starts_with("Pf\n"); }, nullptr, kForeign},
        {"OpenEXR", "", [](Bytes f) { return f.starts_with("\x76\x2f\x31\x01"); }, nullptr, kForeign},
        {"Radiance HDR", "", [](Bytes f) { return f.starts_with("#?"); }, nullptr, kForeign},
        {"ICO", "", [](Bytes f) { return f.u32(0) == 0x00000100 && f.size() > 6; }, nullptr, kForeign},
        {"PDF", "", [](Bytes f) { return f.starts_with("%PDF"); }, nullptr, kForeign},
        {"PostScript", "", [](Bytes f) { return f.starts_with("%!PS"); }, nullptr, kForeign},
        {"SVG", "", [](Bytes f) { return is_text(f, "<svg"); }, nullptr, kForeign},
        {"HTML", "", [](Bytes f) { return is_text(f, "<!doctype html") || is_text(f, "<html"); }, nullptr, kForeign},
        {"XML", "", [](Bytes f) { return is_text(f, "<?xml"); }, nullptr, kForeign},
        {"MP4 or QuickTime video", "", [](Bytes f) { return f.has(4, "ftyp") || f.has(4, "moov"); }, nullptr, kForeign},
        {"AVI video", "", [](Bytes f) { return f.starts_with("RIFF") && f.has(8, "AVI "); }, nullptr, kForeign},
        {"ZIP", "", [](Bytes f) { return f.starts_with("PK\3\4"); }, nullptr, kForeign},
        {"gzip", "", [](Bytes f) { return f.starts_with("\x1f\x8b"); }, nullptr, kForeign},
        {"tar", "", [](Bytes f) { return f.has(257, "ustar"); }, nullptr, kForeign},
    };
    return kDecoders;
}

bool has_extension(const Decoder& decoder, const std::string& extension) {
    std::string wanted = extension + " ";
    for (char& c : wanted) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return extension.size() > 1 && extension[0] == '.' &&
           (std::string(decoder.extensions) + " ").find(wanted) != std::string::npos;
}

const Decoder* decoder_for_extension(const std::string& extension) {
    for (const Decoder& decoder : decoders())
        if (has_extension(decoder, extension)) return &decoder;
    return nullptr;
}

}  // namespace cli
