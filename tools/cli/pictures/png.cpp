// PNG with libpng, row by row; interlaced files as a whole.
#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "decoder.hpp"

namespace cli {

namespace {

// libpng's errors leave by longjmp: whatever needs a destructor lives here, outside the functions that they leave.
struct Reader {
    png_structp png = nullptr;
    png_infop info = nullptr;
    Bytes file;
    std::size_t position = 0;
    bool ended = false;
    std::string error;
    std::vector<std::uint8_t> whole;
    std::vector<png_bytep> rows;

    explicit Reader(Bytes bytes) : file(bytes) {}
    ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }
};

void on_error(png_structp png, png_const_charp message) {
    static_cast<Reader*>(png_get_error_ptr(png))->error = message;
    png_longjmp(png, 1);
}

void on_read(png_structp png, png_bytep dst, std::size_t size) {
    Reader& r = *static_cast<Reader*>(png_get_io_ptr(png));
    if (size > r.file.size() - r.position) {
        r.ended = true;
        png_error(png, "file is truncated");
    }
    std::memcpy(dst, r.file.data() + r.position, size);
    r.position += size;
}

bool read_header(Reader& r) {
    if (setjmp(png_jmpbuf(r.png)) != 0) return false;
    png_set_read_fn(r.png, &r, on_read);
    // Sizes are the builder's to judge. What is no pixel is not kept, and bounded where libpng must inflate it.
    png_set_user_limits(r.png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_chunk_malloc_max(r.png, 1 << 20);
    png_set_keep_unknown_chunks(r.png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
    for (const char* text : {"iCCP", "tEXt", "zTXt", "iTXt", "eXIf"})
        png_set_keep_unknown_chunks(r.png, PNG_HANDLE_CHUNK_NEVER, reinterpret_cast<png_const_bytep>(text), 1);
    png_read_info(r.png, r.info);
    return true;
}

bool start(Reader& r) {
    if (setjmp(png_jmpbuf(r.png)) != 0) return false;
    png_set_expand(r.png);
    png_set_scale_16(r.png);
    if ((png_get_color_type(r.png, r.info) & PNG_COLOR_MASK_COLOR) == 0) png_set_strip_alpha(r.png);
    png_set_interlace_handling(r.png);
    png_read_update_info(r.png, r.info);
    return true;
}

bool read_row(Reader& r, png_bytep row) {
    if (setjmp(png_jmpbuf(r.png)) != 0) return false;
    png_read_row(r.png, row, nullptr);
    return true;
}

bool read_whole(Reader& r) {
    if (setjmp(png_jmpbuf(r.png)) != 0) return false;
    png_read_image(r.png, r.rows.data());
    return true;
}

bool finish(Reader& r) {
    if (setjmp(png_jmpbuf(r.png)) != 0) return false;
    png_read_end(r.png, nullptr);
    return true;
}

void check(const Reader& r, bool went_well) {
    if (!went_well) refuse(r.ended ? "file is truncated" : r.error);
}

}  // namespace

void read_png(Bytes file, ImageBuilder& builder) {
    if (file.has(12, "CgBI")) refuse("the CgBI variant (Apple's, of iPhone applications) is not supported");
    Reader r(file);
    r.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, on_error, [](png_structp, png_const_charp) {});
    if (r.png == nullptr) throw std::bad_alloc();
    r.info = png_create_info_struct(r.png);
    if (r.info == nullptr) throw std::bad_alloc();

    check(r, read_header(r));
    const std::int64_t width = png_get_image_width(r.png, r.info), height = png_get_image_height(r.png, r.info);
    const ImageBuilder::Reduction reduction = builder.plan(width, height);
    const bool interlaced = png_get_interlace_type(r.png, r.info) != PNG_INTERLACE_NONE;
    check(r, start(r));
    const int channels = png_get_channels(r.png, r.info);
    const auto row_bytes = static_cast<std::size_t>(width * channels);
    builder.begin(reduction, static_cast<int>(width), static_cast<int>(height),
                  channels == 1   ? retinaface::PixelFormat::gray8
                  : channels == 3 ? retinaface::PixelFormat::rgb8
                                  : retinaface::PixelFormat::rgba8);
    if (!interlaced) {
        for (std::int64_t y = 0; y < height; ++y) {
            check(r, read_row(r, builder.row()));
            builder.commit();
        }
    } else {
        const auto count = static_cast<std::size_t>(height);
        builder.take(static_cast<std::int64_t>((row_bytes + sizeof(png_bytep)) * count));
        r.whole.resize(row_bytes * count);
        for (std::size_t y = 0; y < count; ++y) r.rows.push_back(r.whole.data() + y * row_bytes);
        check(r, read_whole(r));
        for (const png_bytep row : r.rows) {
            std::memcpy(builder.row(), row, row_bytes);
            builder.commit();
        }
    }
    // Every pixel is there: a file cut within its end mark is read, as others do.
    if (!finish(r)) {
        if (!r.ended) refuse(r.error);
        builder.warning = "file is truncated after its last pixel";
    }
}

}  // namespace cli
