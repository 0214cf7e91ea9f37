// WebP with libwebp; of an animation the first frame.
#include <webp/decode.h>
#include <webp/demux.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "decoder.hpp"

namespace cli {

namespace {

struct DeleteDemuxer {
    void operator()(WebPDemuxer* demuxer) const { WebPDemuxDelete(demuxer); }
};

struct Frame : WebPIterator {
    Frame() : WebPIterator() {}
    ~Frame() { WebPDemuxReleaseIterator(this); }
    Frame(const Frame&) = delete;
    Frame& operator=(const Frame&) = delete;
};

std::string reason(VP8StatusCode status) {
    switch (status) {
        case VP8_STATUS_NOT_ENOUGH_DATA:
        case VP8_STATUS_SUSPENDED: return "file is truncated";
        case VP8_STATUS_UNSUPPORTED_FEATURE: return "a feature that libwebp does not support";
        case VP8_STATUS_BITSTREAM_ERROR: return "picture data is damaged";
        case VP8_STATUS_OUT_OF_MEMORY: throw std::bad_alloc();
        default: return "libwebp's error " + std::to_string(static_cast<int>(status));
    }
}

}  // namespace

void read_webp(Bytes file, ImageBuilder& builder) {
    const WebPData data{file.data(), file.size()};
    WebPDemuxState state = WEBP_DEMUX_PARSE_ERROR;
    const std::unique_ptr<WebPDemuxer, DeleteDemuxer> demuxer(WebPDemuxPartial(&data, &state));
    if (state == WEBP_DEMUX_PARSING_HEADER || state == WEBP_DEMUX_PARSED_HEADER) refuse("file is truncated");
    if (demuxer == nullptr) refuse("picture data is damaged");
    Frame frame;
    if (WebPDemuxGetFrame(demuxer.get(), 1, &frame) == 0) refuse("it holds no picture");
    if (frame.complete == 0) refuse("file is truncated");

    const int width = static_cast<int>(WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_WIDTH));
    const int height = static_cast<int>(WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_HEIGHT));
    const ImageBuilder::Reduction reduction = builder.plan(width, height);
    const bool alpha = frame.has_alpha != 0;
    const int channels = alpha ? 4 : 3;
    // The frame may be a part of the picture; around it is nothing.
    builder.begin(reduction, width, height, alpha ? retinaface::PixelFormat::rgba8 : retinaface::PixelFormat::rgb8);
    const auto row = static_cast<std::size_t>(frame.width) * static_cast<std::size_t>(channels);
    // libwebp itself works on planes of Y, U, V and alpha, or on 32-bit pixels.
    builder.take(std::int64_t{4} * frame.width * frame.height);
    builder.take(static_cast<std::int64_t>(row) * frame.height);
    std::vector<std::uint8_t> pixels(row * static_cast<std::size_t>(frame.height));

    WebPDecoderConfig config;
    if (WebPInitDecoderConfig(&config) == 0) refuse("libwebp is of another version than its headers");
    config.output.colorspace = alpha ? MODE_RGBA : MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA = {pixels.data(), static_cast<int>(row), pixels.size()};
    const VP8StatusCode status = WebPDecode(frame.fragment.bytes, frame.fragment.size, &config);
    if (status != VP8_STATUS_OK) refuse(reason(status));

    const auto left = static_cast<std::size_t>(frame.x_offset) * static_cast<std::size_t>(channels);
    for (int y = 0; y < height; ++y) {
        std::memset(builder.row(), 0, static_cast<std::size_t>(width) * static_cast<std::size_t>(channels));
        if (y >= frame.y_offset && y < frame.y_offset + frame.height)
            std::memcpy(builder.row() + left, pixels.data() + row * static_cast<std::size_t>(y - frame.y_offset), row);
        builder.commit();
    }
}

}  // namespace cli
