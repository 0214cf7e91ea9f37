// Frames of a stream: raw ones, Y4M, MJPEG.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "image_file.hpp"
#include "inputs/byte_stream.hpp"
#include "retinaface/image.hpp"

namespace cli {

/// How a stream is laid out; without `raw` its first bytes say so (Y4M, or JPEG pictures one after the other).
struct StreamFormat {
    std::string raw;  ///< a name of raw_formats(), or empty
    int width = 0;    ///< of raw frames
    int height = 0;
    retinaface::YuvRange range = retinaface::YuvRange::video;  ///< of raw frames
};

/// Names of the layouts of raw frames, as ffmpeg's -pix_fmt has them, and the two of V4L2: "bgr24, rgb24, ...".
std::string raw_formats();

/// Whether `name` is one of them.
bool is_raw_format(const std::string& name);

/// Reads one frame at a time; its memory is used again for the next.
class Frames {
public:
    /// Reads the beginning of the stream. Throws retinaface::Error (io, bad_format, unsupported).
    Frames(const std::string& path, const StreamFormat& format);

    enum class Read { frame, broken, end };

    /// The next frame, a view of memory that is valid until the next call. `broken`: one that cannot be decoded (error() says why); the
    /// stream goes on. Throws retinaface::Error (io, bad_format) where it cannot, a frame that is cut short included.
    Read next(retinaface::ImageView& view);

    const std::string& error() const { return error_; }

    /// Frames a second; 0: the stream does not say.
    double rate() const { return rate_; }

private:
    enum class Layout { packed, nv12, nv21, yuv420p, yuv422p, yuv444p };
    enum class Kind { raw, y4m, mjpeg };

    void read_y4m_header();
    bool read_planes();
    bool read_jpeg();
    bool read_exactly(std::uint8_t* data, std::size_t size, bool first);

    ByteStream stream_;
    Kind kind_ = Kind::raw;
    Layout layout_ = Layout::packed;
    retinaface::ImageView view_;
    std::vector<std::uint8_t> pixels_, planes_, jpeg_;
    Image image_;
    double rate_ = 0;
    std::uint64_t count_ = 0;
    std::string error_;
};

}  // namespace cli
