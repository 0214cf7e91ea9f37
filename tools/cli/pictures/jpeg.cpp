// JPEG with libjpeg-turbo: reduced in the DCT, by halves, where the picture may be smaller.
#include <csetjmp>
#include <cstdio>  // what jpeglib.h needs and does not include

#include <jpeglib.h>

#include <jerror.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "decoder.hpp"

namespace cli {

namespace {

// libjpeg's errors leave by longjmp: whatever needs a destructor lives here, outside the function that they leave.
struct Reader {
    jpeg_decompress_struct jpeg{};
    jpeg_error_mgr errors{};
    jpeg_source_mgr source{};
    jpeg_progress_mgr progress{};
    std::jmp_buf jump;
    ImageBuilder* builder = nullptr;
    ImageBuilder::Reduction reduction{1, 1};
    std::vector<std::uint8_t> cmyk;
    char error[JMSG_LENGTH_MAX] = {};  // no string: longjmp() passes by destructors
    bool ended = false;                // the file is over, and libjpeg reads end markers instead
    bool missing = false;              // pixels that no data was there for
    bool complete = false;

    ~Reader() { jpeg_destroy_decompress(&jpeg); }
};

Reader& reader(j_common_ptr jpeg) { return *static_cast<Reader*>(jpeg->client_data); }

// To the setjmp() of whoever called libjpeg, with `error` written. Nothing with a destructor may live between the two.
[[noreturn]] void leave(Reader& r) { std::longjmp(r.jump, 1); }

[[noreturn]] void on_error(j_common_ptr jpeg) {
    jpeg->err->format_message(jpeg, reader(jpeg).error);
    leave(reader(jpeg));
}

void on_message(j_common_ptr jpeg, int level) {
    if (level >= 0) return;
    Reader& r = reader(jpeg);
    // Between restart markers libjpeg goes on after a gap; any other marker is the end of what there is.
    const int marker = r.jpeg.unread_marker;
    // Arithmetic decoding makes a picture of anything: only a bad code, or data left over, tells that it was not one.
    if (r.jpeg.arith_code != FALSE &&
        (jpeg->err->msg_code == JWRN_ARITH_BAD_CODE || jpeg->err->msg_code == JWRN_EXTRANEOUS_DATA)) {
        constexpr char kWhat[] = "arithmetic coding: ";
        char text[JMSG_LENGTH_MAX];
        jpeg->err->format_message(jpeg, text);
        std::snprintf(r.error, sizeof r.error, "%s%.*s", kWhat, static_cast<int>(sizeof r.error - sizeof kWhat), text);
        leave(r);
    }
    if (jpeg->err->msg_code == JWRN_HIT_MARKER && (marker < JPEG_RST0 || marker > JPEG_RST0 + 7)) r.missing = true;
    if (r.builder->warning.empty() && jpeg->err->msg_code != JWRN_JPEG_EOF) {
        char text[JMSG_LENGTH_MAX];
        jpeg->err->format_message(jpeg, text);
        r.builder->warning = text;
    }
}

boolean on_end(j_decompress_ptr jpeg) {
    static const JOCTET kEnd[] = {0xff, JPEG_EOI};
    Reader& r = reader(reinterpret_cast<j_common_ptr>(jpeg));
    r.ended = true;
    jpeg->src->next_input_byte = kEnd;
    jpeg->src->bytes_in_buffer = sizeof kEnd;
    return TRUE;
}

void skip(j_decompress_ptr jpeg, long count) {
    if (count <= 0) return;
    if (static_cast<std::size_t>(count) > jpeg->src->bytes_in_buffer) {
        on_end(jpeg);
        return;
    }
    jpeg->src->next_input_byte += count;
    jpeg->src->bytes_in_buffer -= static_cast<std::size_t>(count);
}

// Each scan works on every coefficient again: what counts is scans times pixels.
void on_progress(j_common_ptr jpeg) {
    Reader& r = reader(jpeg);
    const std::int64_t pixels = std::int64_t{r.jpeg.image_width} * r.jpeg.image_height;
    const int most = r.builder->limits().scans_of(pixels);
    if (r.jpeg.input_scan_number <= most) return;
    std::snprintf(r.error, sizeof r.error, "more than %d scans, too many for %lld pixels (--max-scans)", most,
                  static_cast<long long>(pixels));
    leave(r);
}

// What libjpeg keeps of a picture that comes in several scans: every coefficient, in 16 bits.
std::int64_t coefficient_bytes(const jpeg_decompress_struct& jpeg) {
    std::int64_t bytes = 0;
    for (int i = 0; i < jpeg.num_components; ++i)
        bytes += std::int64_t{jpeg.comp_info[i].width_in_blocks} * jpeg.comp_info[i].height_in_blocks * DCTSIZE2 * 2;
    return bytes;
}

// Bits or components that no scan brought.
bool has_gaps(const jpeg_decompress_struct& jpeg) {
    for (int i = 0; i < jpeg.num_components; ++i) {
        if (jpeg.comp_info[i].quant_table == nullptr) return true;
        if (jpeg.progressive_mode == FALSE || jpeg.coef_bits == nullptr) continue;
        for (int k = 0; k < DCTSIZE2; ++k)
            if (jpeg.coef_bits[i][k] != 0) return true;
    }
    return false;
}

// Photoshop stores inverted ink and its marker says so; so do, without the marker, nearly all files, and nearly all readers know.
void cmyk_to_rgb(const std::vector<std::uint8_t>& cmyk, std::uint8_t* rgb) {
    for (std::size_t i = 0; i + 3 < cmyk.size(); i += 4)
        for (std::size_t c = 0; c < 3; ++c) *rgb++ = static_cast<std::uint8_t>((cmyk[i + c] * cmyk[i + 3] + 127) / 255);
}

// Throws of the builder must not pass through libjpeg either, so it is called between libjpeg's functions only.
bool read_header(Reader& r) {
    if (setjmp(r.jump) != 0) return false;
    jpeg_create_decompress(&r.jpeg);
    r.jpeg.src = &r.source;
    r.jpeg.progress = &r.progress;
    jpeg_read_header(&r.jpeg, TRUE);
    return true;
}

bool start(Reader& r) {
    if (setjmp(r.jump) != 0) return false;
    jpeg_start_decompress(&r.jpeg);
    if (r.ended && jpeg_has_multiple_scans(&r.jpeg)) r.missing = r.missing || has_gaps(r.jpeg);
    return true;
}

bool read_row(Reader& r, JSAMPROW row) {
    if (setjmp(r.jump) != 0) return false;
    jpeg_read_scanlines(&r.jpeg, &row, 1);
    return true;
}

// What is wrong after the last row harms nobody, but for arithmetic coding: cameras leave odd markers there.
void finish(Reader& r) {
    if (setjmp(r.jump) == 0) jpeg_finish_decompress(&r.jpeg);
}

void check(const Reader& r, bool went_well) {
    if (r.missing) refuse(r.ended ? "file is truncated" : "picture data is missing");
    if (!went_well) refuse(r.ended ? "file is truncated (" + std::string(r.error) + ")" : r.error);
}

}  // namespace

void read_jpeg(Bytes file, ImageBuilder& builder) {
    Reader r;
    r.builder = &builder;
    r.jpeg.client_data = &r;
    r.jpeg.err = jpeg_std_error(&r.errors);
    r.errors.error_exit = on_error;
    r.errors.emit_message = on_message;
    r.source.init_source = [](j_decompress_ptr) {};
    r.source.fill_input_buffer = on_end;
    r.source.skip_input_data = skip;
    r.source.resync_to_restart = jpeg_resync_to_restart;
    r.source.term_source = [](j_decompress_ptr) {};
    r.source.next_input_byte = file.data();
    r.source.bytes_in_buffer = file.size();
    r.progress.progress_monitor = on_progress;

    jpeg_decompress_struct& jpeg = r.jpeg;
    const bool has_header = read_header(r);
    // A size that is too large is the better message, whatever else is wrong.
    if (jpeg.image_width > 0 && jpeg.image_height > 0) r.reduction = builder.plan(jpeg.image_width, jpeg.image_height);
    check(r, has_header);
    int reduced = 1;
    while (2 * reduced <= std::min(r.reduction.most, 8)) reduced *= 2;
    jpeg.scale_num = 1;
    jpeg.scale_denom = static_cast<unsigned>(reduced);
    const bool gray = jpeg.jpeg_color_space == JCS_GRAYSCALE;
    const bool cmyk = jpeg.jpeg_color_space == JCS_CMYK || jpeg.jpeg_color_space == JCS_YCCK;
    if (!gray) jpeg.out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
    if (jpeg_has_multiple_scans(&jpeg)) builder.take(coefficient_bytes(jpeg));
    check(r, start(r));

    builder.begin(r.reduction, static_cast<int>(jpeg.output_width), static_cast<int>(jpeg.output_height),
                  gray ? retinaface::PixelFormat::gray8 : retinaface::PixelFormat::rgb8, reduced);
    if (cmyk) r.cmyk.resize(std::size_t{4} * jpeg.output_width);
    while (jpeg.output_scanline < jpeg.output_height) {
        check(r, read_row(r, cmyk ? r.cmyk.data() : builder.row()));
        if (cmyk) cmyk_to_rgb(r.cmyk, builder.row());
        builder.commit();
    }
    finish(r);
    check(r, jpeg.arith_code == FALSE || r.error[0] == '\0');
    if (r.ended && builder.warning.empty()) builder.warning = "the end marker is missing";
}

}  // namespace cli
