// What reads one picture format: a line in decoders.cpp, a source file for each library.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "bytes.hpp"
#include "image.hpp"

namespace cli {

/// What decoding one picture may cost, whoever sent it.
struct Limits {
    std::int64_t pixels =
        std::int64_t{1} << 28;  ///< of the picture in the file; those in memory are at most retinaface::kMaxPixels
    std::int64_t memory = std::int64_t{1} << 30;  ///< bytes, pixels included; the file itself comes on top
    int scans = 64;                               ///< of a JPEG of at most 2^24 pixels; of a larger one fewer, for the same work

    /// Scans that a JPEG of this size may have.
    int scans_of(std::int64_t width_times_height) const {
        constexpr std::int64_t kFull = std::int64_t{1} << 24;
        return width_times_height <= kFull ? scans : static_cast<int>(scans * kFull / width_times_height);
    }
};

/// How many pixels in a row and in a column must become one, so that a picture of this size fits the library.
int least_reduction(std::int64_t width, std::int64_t height);

/// What is wanted of a picture.
struct Request {
    Limits limits;
    /// How many neighbours of a picture of this width and height, in a row and in a column, may become one pixel without loss to
    /// whoever asks; at least 1. Empty: 1.
    std::function<int(int, int)> reduction;
};

/// Where a decoder puts rows: allocates the image once its size is known to be acceptable, and averages blocks of pixels where it
/// must be smaller than the picture. Throws retinaface::Error (invalid_argument).
class ImageBuilder {
public:
    explicit ImageBuilder(const Request& request) : request_(request) {}

    const Limits& limits() const { return request_.limits; }

    /// How many pixels in a row and in a column become one: at least `least`, so that the image fits the library, at most `most`, for
    /// decoders that save work by it. Throws where the picture is too large.
    struct Reduction {
        int least;
        int most;
    };
    Reduction plan(std::int64_t width, std::int64_t height);

    /// Counts memory about to be allocated. Throws where it exceeds the limit.
    void take(std::int64_t bytes);

    /// Rows of `width` pixels will come, `height` of them, which the decoder has already reduced `reduced` times; blocks of
    /// `box` x `box` are averaged.
    void begin(const Reduction& plan, int width, int height, retinaface::PixelFormat format, int reduced = 1);

    /// Where the next row goes; commit() when it is there.
    std::uint8_t* row() { return box_ == 1 ? next_ : row_.data(); }
    void commit();

    /// All rows, once they have been committed.
    Image finish();

    int orientation = 0;  ///< EXIF's, where the decoder knows it; 0: look for it in the file
    std::string warning;  ///< as Image::warning

private:
    const Request& request_;
    Image image_;
    std::int64_t memory_ = 0;
    int reduced_ = 1;
    int box_ = 1;
    int width_ = 0, height_ = 0;  ///< of the rows that come
    int rows_ = 0;                ///< that came
    std::uint8_t* next_ = nullptr;
    std::vector<std::uint8_t> row_;
    std::vector<std::uint32_t> sums_;
};

/// A format that this tool knows by sight.
struct Decoder {
    /// What reads it in this build.
    struct Reading {
        void (*read)(Bytes file, ImageBuilder&);  ///< nullptr: nothing. Throws retinaface::Error (invalid_argument)
        const char* library;                      ///< its name, or why nothing does
    };

    const char* format;         ///< its name, as in messages: "JPEG"
    const char* extensions;     ///< ".jpg .jpeg": names under which a directory's files are taken for pictures
    bool (*sniff)(Bytes file);  ///< is it this format, by its first bytes
    Reading reading;
};

/// Every format known, in the order in which they are tried.
const std::vector<Decoder>& decoders();

/// Whether files of this format are named so (".jpg", any case).
bool has_extension(const Decoder& decoder, const std::string& extension);

/// The format whose files are named so, or nullptr. Its `read` says whether this build reads them.
const Decoder* decoder_for_extension(const std::string& extension);

/// Throws retinaface::Error (invalid_argument).
[[noreturn]] void refuse(const std::string& what);

// One function a format and library; each stands in the source file of its library.
void read_jpeg(Bytes file, ImageBuilder& builder);
void read_png(Bytes file, ImageBuilder& builder);
void read_webp(Bytes file, ImageBuilder& builder);
void read_tiff(Bytes file, ImageBuilder& builder);
void read_heif(Bytes file, ImageBuilder& builder);
void read_stb(Bytes file, ImageBuilder& builder);
void read_bmp(Bytes file, ImageBuilder& builder);
void read_pnm(Bytes file, ImageBuilder& builder);

}  // namespace cli
