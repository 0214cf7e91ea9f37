// PBM, PGM, PPM (P1 to P6) and PAM (P7) of any maxval: stb_image reads P5 and P6, and no maxval but 255 rightly.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "decoder.hpp"

namespace cli {

namespace {

bool is_space(std::uint32_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool is_digit(std::uint32_t c) { return c >= '0' && c <= '9'; }

/// The header's words and the numbers of the plain formats; '#' begins a comment.
class Words {
public:
    explicit Words(Bytes file) : file_(file) {}

    std::size_t position() const { return at_; }

    std::uint32_t number() {
        skip_space();
        if (!is_digit(file_.u8(at_))) refuse(at_ >= file_.size() ? "file is truncated" : "a number is missing in its header");
        std::uint32_t value = 0;
        constexpr std::uint32_t kMost = 100'000'000;
        for (; is_digit(file_.u8(at_)); ++at_) value = std::min(kMost, 10 * value + file_.u8(at_) - '0');
        return value;
    }

    /// A digit of P1, which need not be apart from the next.
    std::uint32_t bit() {
        skip_space();
        const std::uint32_t c = file_.u8(at_++);
        if (c != '0' && c != '1') refuse(at_ > file_.size() ? "file is truncated" : "a bit is neither 0 nor 1");
        return c - '0';
    }

    std::string_view word() {
        skip_space();
        const std::size_t first = at_;
        while (at_ < file_.size() && !is_space(file_.u8(at_))) ++at_;
        if (at_ == first) refuse("file is truncated");
        return file_.part(first, at_ - first).text();
    }

    /// The one byte between header and samples.
    void end_header() {
        if (!is_space(file_.u8(at_))) refuse("its header does not end");
        ++at_;
    }

    void end_line() {
        while (at_ < file_.size() && file_.u8(at_) != '\n') ++at_;
        ++at_;
    }

private:
    void skip_space() {
        for (; at_ < file_.size() && (is_space(file_.u8(at_)) || file_.u8(at_) == '#'); ++at_)
            if (file_.u8(at_) == '#')
                while (at_ + 1 < file_.size() && file_.u8(at_ + 1) != '\n') ++at_;
    }

    Bytes file_;
    std::size_t at_ = 2;
};

struct Header {
    std::uint32_t width = 0, height = 0, maxval = 1, channels = 1;
};

Header read_header(Words& words, char kind) {
    Header h;
    if (kind == '7') {
        for (std::string_view word = words.word(); word != "ENDHDR"; word = words.word()) {
            if (word == "WIDTH") h.width = words.number();
            if (word == "HEIGHT") h.height = words.number();
            if (word == "DEPTH") h.channels = words.number();
            if (word == "MAXVAL") h.maxval = words.number();
            if (word == "TUPLTYPE") words.end_line();
        }
        if (h.channels < 1 || h.channels > 4) refuse("1 to 4 samples a pixel are supported, found " + std::to_string(h.channels));
    } else {
        h.width = words.number();
        h.height = words.number();
        if (kind != '1' && kind != '4') h.maxval = words.number();
        if (kind == '3' || kind == '6') h.channels = 3;
    }
    if (h.maxval < 1 || h.maxval > 65535) refuse("its largest value must be 1 to 65535, found " + std::to_string(h.maxval));
    if (kind >= '4') words.end_header();
    return h;
}

}  // namespace

void read_pnm(Bytes file, ImageBuilder& builder) {
    const char kind = static_cast<char>(file.u8(1));
    Words words(file);
    const Header h = read_header(words, kind);
    const ImageBuilder::Reduction reduction = builder.plan(h.width, h.height);
    const bool plain = kind <= '3', bits = kind == '1' || kind == '4';
    const std::size_t width = h.width, sample = h.maxval > 255 ? 2 : 1;
    const std::size_t row_bytes = kind == '4' ? (width + 7) / 8 : width * h.channels * sample;
    const std::size_t first = words.position();
    // A plain sample takes two characters, a bit one: what cannot be all there is not begun.
    const std::size_t least = plain ? width * h.channels * (bits ? 1 : 2) * h.height - 1 : row_bytes * h.height;
    if (first > file.size() || file.size() - first < least) refuse("file is truncated");

    // Black and white, and grey with alpha, become grey; alpha beside colours is left out too.
    const std::uint32_t channels = h.channels <= 2 ? 1 : 3;
    builder.begin(reduction, static_cast<int>(h.width), static_cast<int>(h.height),
                  channels == 1 ? retinaface::PixelFormat::gray8 : retinaface::PixelFormat::rgb8);
    for (std::size_t y = 0; y < h.height; ++y) {
        const Bytes row = file.part(first + y * row_bytes);
        std::uint8_t* dst = builder.row();
        for (std::size_t x = 0; x < width; ++x) {
            for (std::uint32_t c = 0; c < h.channels; ++c) {
                const std::size_t i = x * h.channels + c;
                std::uint32_t value = kind == '1'   ? 1 - words.bit()
                                      : kind == '4' ? 1 - (row.u8(x / 8) >> (7 - x % 8) & 1)
                                      : plain       ? words.number()
                                      : sample == 2 ? row.u16(2 * i)
                                                    : row.u8(i);
                if (c < channels) *dst++ = static_cast<std::uint8_t>((std::min(value, h.maxval) * 255 + h.maxval / 2) / h.maxval);
            }
        }
        builder.commit();
    }
}

}  // namespace cli
