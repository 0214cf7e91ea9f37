#include "video/frames.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>

#include "evaluate/lines.hpp"
#include "interrupt.hpp"
#include "retinaface/error.hpp"

namespace cli {

using retinaface::Error;
using retinaface::ErrorCode;
using retinaface::ImageView;
using retinaface::PixelFormat;
using retinaface::YuvRange;

namespace {

struct RawFormat {
    const char* name;
    PixelFormat format;
    bool planar = false;  ///< Y, U, V one after the other in place of the pairs of NV12
};
constexpr RawFormat kRawFormats[] = {{"bgr24", PixelFormat::bgr8},   {"rgb24", PixelFormat::rgb8},
                                     {"bgra", PixelFormat::bgra8},   {"rgba", PixelFormat::rgba8},
                                     {"gray", PixelFormat::gray8},   {"nv12", PixelFormat::nv12},
                                     {"nv21", PixelFormat::nv21},    {"yuyv", PixelFormat::yuyv},
                                     {"yuyv422", PixelFormat::yuyv}, {"yuv420p", PixelFormat::nv12, true}};

std::size_t half(int side) { return (static_cast<std::size_t>(side) + 1) / 2; }

std::size_t area(int width, int height) { return static_cast<std::size_t>(width) * static_cast<std::size_t>(height); }

}  // namespace

std::string raw_formats() {
    std::string names;
    for (const RawFormat& format : kRawFormats) names += (names.empty() ? "" : ", ") + std::string(format.name);
    return names;
}

bool is_raw_format(const std::string& name) {
    return std::any_of(std::begin(kRawFormats), std::end(kRawFormats),
                       [&](const RawFormat& format) { return name == format.name; });
}

Frames::Frames(const std::string& path, const StreamFormat& format) : stream_(path) {
    if (!format.raw.empty()) {
        for (const RawFormat& known : kRawFormats) {
            if (format.raw != known.name) continue;
            view_ = ImageView(nullptr, format.width, format.height, known.format);
            view_.range = format.range;
            layout_ = known.planar                        ? Layout::yuv420p
                      : known.format == PixelFormat::nv12 ? Layout::nv12
                      : known.format == PixelFormat::nv21 ? Layout::nv21
                                                          : Layout::packed;
        }
    } else {
        std::size_t available = 0;
        constexpr char kY4m[] = "YUV4MPEG2";
        const std::uint8_t* start = stream_.peek(sizeof kY4m, available);
        if (available >= sizeof kY4m - 1 && std::memcmp(start, kY4m, sizeof kY4m - 1) == 0) {
            kind_ = Kind::y4m;
            read_y4m_header();
        } else if (available >= 2 && ((start[0] == 0xFF && start[1] == 0xD8) || (start[0] == '-' && start[1] == '-'))) {
            kind_ = Kind::mjpeg;  // or the first boundary of a stream over HTTP
            return;
        } else if (available == 0) {
            throw Error(ErrorCode::bad_format, path + ": the stream is empty");
        } else {
            throw Error(ErrorCode::bad_format, path + ": neither Y4M nor MJPEG; raw frames need --raw and --size");
        }
    }
    // The view is checked once; later frames differ in their bytes only.
    pixels_.resize(1);
    view_.data = pixels_.data();
    retinaface::validate(view_);
    const std::size_t luma =
        static_cast<std::size_t>(retinaface::row_bytes(view_.format, view_.width)) * static_cast<std::size_t>(view_.height);
    const bool pairs = view_.format == PixelFormat::nv12 || view_.format == PixelFormat::nv21;
    pixels_.resize(luma + (pairs ? 2 * half(view_.width) * half(view_.height) : 0));
    view_.data = pixels_.data();
}

void Frames::read_y4m_header() {
    const auto fail = [](const std::string& what) { throw Error(ErrorCode::bad_format, "Y4M: " + what); };
    std::string header, colours = "420jpeg";
    if (!stream_.read_line(header, '\n', 4096)) fail("truncated header");
    view_.format = PixelFormat::nv12;
    view_.range = YuvRange::video;
    for (const std::string_view word : words(header)) {
        const std::string_view value = word.substr(1);
        const auto side = [&] {
            const std::size_t pixels = to_index(value);
            if (pixels < 1 || pixels > static_cast<std::size_t>(retinaface::kMaxSide))
                fail("a side of " + std::string(value.substr(0, 20)) + " pixels");
            return static_cast<int>(pixels);
        };
        if (word == "XCOLORRANGE=FULL") {
            view_.range = YuvRange::full;
        } else if (word[0] == 'W') {
            view_.width = side();
        } else if (word[0] == 'H') {
            view_.height = side();
        } else if (word[0] == 'C') {
            colours = value;
        } else if (word[0] == 'F') {
            const std::size_t colon = std::min(value.find(':'), value.size() - 1);
            const double frames = to_double(value.substr(0, colon)), seconds = to_double(value.substr(colon + 1));
            if (frames > 0 && seconds > 0) rate_ = frames / seconds;
        }
    }
    if (view_.width == 0 || view_.height == 0) fail("no width and height");
    if (colours == "420" || colours == "420jpeg" || colours == "420mpeg2" || colours == "420paldv") {
        layout_ = Layout::yuv420p;
    } else if (colours == "422") {
        layout_ = Layout::yuv422p;
        view_.format = PixelFormat::yuyv;
    } else if (colours == "444") {
        layout_ = Layout::yuv444p;
    } else if (colours == "mono") {
        layout_ = Layout::packed;
        view_.format = PixelFormat::gray8;
    } else {
        throw Error(ErrorCode::unsupported, "Y4M: expected 8-bit 4:2:0, 4:2:2, 4:4:4 or mono, found C" + colours.substr(0, 40) +
                                                " (ffmpeg: -pix_fmt yuv420p)");
    }
}

bool Frames::read_exactly(std::uint8_t* data, std::size_t size, bool first) {
    const std::size_t count = stream_.read(data, size);
    if (count == size) return true;
    if (interrupted() || (count == 0 && first)) return false;
    throw Error(ErrorCode::io, "the stream ends within frame " + std::to_string(count_) + ": expected " + std::to_string(size) +
                                   " bytes, found " + std::to_string(count));
}

bool Frames::read_planes() {
    if (kind_ == Kind::y4m) {
        std::string line;
        if (!stream_.read_line(line, '\n', 4096)) return false;
        if (line.compare(0, 5, "FRAME") != 0)
            throw Error(ErrorCode::bad_format, "Y4M: expected FRAME before frame " + std::to_string(count_));
    }
    const bool first = kind_ == Kind::raw;  // of Y4M, a frame has begun
    const int width = view_.width, height = view_.height;
    const std::size_t luma = area(width, height);
    if (layout_ == Layout::packed || layout_ == Layout::nv12 || layout_ == Layout::nv21)
        return read_exactly(pixels_.data(), pixels_.size(), first);
    const std::size_t chroma_width = layout_ == Layout::yuv444p ? static_cast<std::size_t>(width) : half(width);
    const std::size_t chroma_height = layout_ == Layout::yuv420p ? half(height) : static_cast<std::size_t>(height);
    const std::size_t chroma = chroma_width * chroma_height;
    if (layout_ != Layout::yuv422p) {
        planes_.resize(2 * chroma);
        if (!read_exactly(pixels_.data(), luma, first) || !read_exactly(planes_.data(), planes_.size(), false)) return false;
        std::uint8_t* pairs = pixels_.data() + luma;
        const std::uint8_t *u = planes_.data(), *v = u + chroma;
        if (layout_ == Layout::yuv420p) {
            for (std::size_t i = 0; i < chroma; ++i) {
                pairs[2 * i] = u[i];
                pairs[2 * i + 1] = v[i];
            }
            return true;
        }
        // 4:4:4: the mean of every block of 2 x 2.
        for (std::size_t y = 0; y < half(height); ++y)
            for (std::size_t x = 0; x < half(width); ++x) {
                const std::size_t right = std::min(2 * x + 1, chroma_width - 1), below = std::min(2 * y + 1, chroma_height - 1);
                for (const std::uint8_t* plane : {u, v}) {
                    const auto at = [&](std::size_t row, std::size_t column) {
                        return static_cast<unsigned>(plane[row * chroma_width + column]);
                    };
                    *pairs++ = static_cast<std::uint8_t>(
                        (at(2 * y, 2 * x) + at(2 * y, right) + at(below, 2 * x) + at(below, right) + 2) / 4);
                }
            }
        return true;
    }
    planes_.resize(luma + 2 * chroma);
    if (!read_exactly(planes_.data(), planes_.size(), first)) return false;
    const std::uint8_t *y = planes_.data(), *u = y + luma, *v = u + chroma;
    std::uint8_t* to = pixels_.data();
    for (int row = 0; row < height; ++row, y += width)
        for (std::size_t x = 0; x < chroma_width; ++x, to += 4) {
            to[0] = y[2 * x];
            to[1] = *u++;
            to[2] = y[std::min(2 * x + 1, static_cast<std::size_t>(width) - 1)];
            to[3] = *v++;
        }
    return true;
}

bool Frames::read_jpeg() {
    // What lies between pictures (boundaries and headers of HTTP) is passed over.
    int previous = 0, c = 0;
    while ((c = stream_.get()) >= 0 && !(previous == 0xFF && c == 0xD8)) previous = c;
    if (c < 0) return false;
    jpeg_ = {0xFF, 0xD8};
    const auto cut = [&]() -> bool {
        if (interrupted()) return false;
        throw Error(ErrorCode::io, "the stream ends within frame " + std::to_string(count_));
    };
    const auto take = [&] {
        const int byte = stream_.get();
        if (byte >= 0) jpeg_.push_back(static_cast<std::uint8_t>(byte));
        if (jpeg_.size() > kMaxImageFile) throw Error(ErrorCode::bad_format, "frame " + std::to_string(count_) + " has no end");
        return byte;
    };
    // Segments by their lengths; the data after SOS up to a marker that is neither stuffing nor a restart.
    for (int byte = take();;) {
        while (byte >= 0 && byte != 0xFF) byte = take();
        while (byte == 0xFF) byte = take();
        if (byte < 0) return cut();
        if (byte == 0xD9) return true;
        const bool alone = byte == 0x00 || byte == 0x01 || (byte >= 0xD0 && byte <= 0xD8);
        if (!alone) {
            const int high = take(), low = take();
            if (low < 0) return cut();
            for (int left = high * 256 + low - 2; left > 0; --left)
                if (take() < 0) return cut();
        }
        byte = take();
        if (byte < 0) return cut();
    }
}

Frames::Read Frames::next(ImageView& view) {
    const bool read = kind_ == Kind::mjpeg ? read_jpeg() : read_planes();
    if (!read) return Read::end;
    ++count_;
    if (kind_ == Kind::mjpeg) {
        try {
            image_ = decode_image(jpeg_, false);
        } catch (const Error& error) {
            error_ = error.what();
            return Read::broken;
        }
        view_ = image_.view();
    }
    view = view_;
    return Read::frame;
}

}  // namespace cli
