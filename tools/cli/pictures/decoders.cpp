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
constexpr Decoder::Reading kJpeg = {read_jpeg, "libjpeg-turbo"};
#elif defined(RETINAFACE_STB_JPEG)
constexpr Decoder::Reading kJpeg = {read_stb, "stb_image"};
#else
constexpr Decoder::Reading kJpeg = {nullptr, "built without libjpeg-turbo, and its stb_image is older than 2.29"};
#endif
#if defined(RETINAFACE_WITH_PNG)
constexpr Decoder::Reading kPng = {read_png, "libpng"};
#elif defined(RETINAFACE_STB_PNG)
constexpr Decoder::Reading kPng = {read_stb, "stb_image"};
#else
constexpr Decoder::Reading kPng = {nullptr, "built without libpng, and its stb_image is older than 2.29"};
#endif
#if defined(RETINAFACE_WITH_WEBP)
constexpr Decoder::Reading kWebp = {read_webp, "libwebp"};
#else
constexpr Decoder::Reading kWebp = {nullptr, "built without libwebp"};
#endif
#if defined(RETINAFACE_WITH_TIFF)
constexpr Decoder::Reading kTiff = {read_tiff, "libtiff"};
#else
constexpr Decoder::Reading kTiff = {nullptr, "built without libtiff"};
#endif
#if defined(RETINAFACE_WITH_HEIF)
constexpr Decoder::Reading kHeif = {read_heif, "libheif"};
#else
constexpr Decoder::Reading kHeif = {nullptr, "built without libheif"};
#endif
constexpr Decoder::Reading kStb = {read_stb, "stb_image"};
constexpr Decoder::Reading kBmp = {read_bmp, "this tool"};
constexpr Decoder::Reading kPnm = {read_pnm, "this tool"};
constexpr Decoder::Reading kForeign = {nullptr, "not a format that this tool reads"};

}  // namespace

const std::vector<Decoder>& decoders() {
    static const std::vector<Decoder> kDecoders = {
        {"JPEG", ".jpg .jpeg .jpe .jfif .jif .mpo", [](Bytes f) { return f.starts_with("\xff\xd8"); }, kJpeg},
        {"PNG", ".png", [](Bytes f) { return f.starts_with("\x89PNG\r\n\x1a\n"); }, kPng},
        {"BMP", ".bmp .dib", [](Bytes f) { return f.starts_with("BM"); }, kBmp},
        {"PNM", ".pbm .pgm .ppm .pnm .pam",
         [](Bytes f) { return f.u8(0) == 'P' && f.u8(1) >= '1' && f.u8(1) <= '7' && (f.u8(2) <= ' ' || f.u8(2) == '#'); }, kPnm},
        {"WebP", ".webp", [](Bytes f) { return f.starts_with("RIFF") && f.has(8, "WEBP"); }, kWebp},
        {"GIF", ".gif", [](Bytes f) { return f.starts_with("GIF87a") || f.starts_with("GIF89a"); }, kStb},
        {"PSD", ".psd", [](Bytes f) { return f.starts_with("8BPS"); }, kStb},
        {"TIFF", ".tif .tiff",
         [](Bytes f) {
             using namespace std::string_view_literals;
             for (const std::string_view mark : {"II*\0"sv, "MM\0*"sv, "II+\0"sv, "MM\0+"sv})
                 if (f.starts_with(mark)) return true;
             return false;
         },
         kTiff},
        {"HEIC", ".heic .heif .hif",
         [](Bytes f) {
             return is_ftyp(f, {"heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1"});
         },
         kHeif},
        {"AVIF", ".avif",
         [](Bytes f) {
             return is_ftyp(f, {"avif", "avis"});
         },
         kHeif},
        // Known by sight only, so that a message says what the file is.
        {"JPEG XL", "", [](Bytes f) { return f.starts_with("\xff\x0a") || f.has(4, "JXL "); }, kForeign},
        {"JPEG 2000", "", [](Bytes f) { return f.has(4, "jP  ") || f.starts_with("\xff\x4f\xff\x51"); }, kForeign},
        {"PFM", "", [](Bytes f) { return f.starts_with("PF\n") || f.starts_with("Pf\n"); }, kForeign},
        {"OpenEXR", "", [](Bytes f) { return f.starts_with("\x76\x2f\x31\x01"); }, kForeign},
        {"Radiance HDR", "", [](Bytes f) { return f.starts_with("#?"); }, kForeign},
        {"ICO", "", [](Bytes f) { return f.u32(0) == 0x00000100 && f.size() > 6; }, kForeign},
        {"PDF", "", [](Bytes f) { return f.starts_with("%PDF"); }, kForeign},
        {"PostScript", "", [](Bytes f) { return f.starts_with("%!PS"); }, kForeign},
        {"SVG", "", [](Bytes f) { return is_text(f, "<svg"); }, kForeign},
        {"Git LFS pointer", "", [](Bytes f) { return f.starts_with("version https://git-lfs"); }, kForeign},
        {"DDS", "", [](Bytes f) { return f.starts_with("DDS "); }, kForeign},
        {"Apple icon", "", [](Bytes f) { return f.starts_with("icns"); }, kForeign},
        {"HTML", "", [](Bytes f) { return is_text(f, "<!doctype html") || is_text(f, "<html"); }, kForeign},
        {"XML", "", [](Bytes f) { return is_text(f, "<?xml"); }, kForeign},
        {"MP4 or QuickTime video", "", [](Bytes f) { return f.has(4, "ftyp") || f.has(4, "moov"); }, kForeign},
        {"AVI video", "", [](Bytes f) { return f.starts_with("RIFF") && f.has(8, "AVI "); }, kForeign},
        {"ZIP", "", [](Bytes f) { return f.starts_with("PK\3\4"); }, kForeign},
        {"gzip", "", [](Bytes f) { return f.starts_with("\x1f\x8b"); }, kForeign},
        {"tar", "", [](Bytes f) { return f.has(257, "ustar"); }, kForeign},
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
