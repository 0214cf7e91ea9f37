// HEIC and AVIF with libheif, which turns them upright itself: the file's primary picture, as a whole.
#include <libheif/heif.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

#include "decoder.hpp"

namespace cli {

namespace {

void check(const heif_error& error) {
    if (error.code == heif_error_Ok) return;
    refuse(error.code == heif_error_Unsupported_filetype || error.code == heif_error_Unsupported_feature
               ? std::string("libheif has no decoder for it (") + error.message + ")"
               : std::string(error.message));
}

template <auto Release>
struct Releaser {
    template <class T>
    void operator()(T* pointer) const {
        Release(pointer);
    }
};

}  // namespace

void read_heif(Bytes file, ImageBuilder& builder) {
    const std::unique_ptr<heif_context, Releaser<heif_context_free>> context(heif_context_alloc());
    if (context == nullptr) throw std::bad_alloc();
    check(heif_context_read_from_memory_without_copy(context.get(), file.data(), file.size(), nullptr));
    heif_image_handle* found = nullptr;
    check(heif_context_get_primary_image_handle(context.get(), &found));
    const std::unique_ptr<heif_image_handle, Releaser<heif_image_handle_release>> handle(found);

    const std::int64_t width = heif_image_handle_get_width(handle.get()), height = heif_image_handle_get_height(handle.get());
    const ImageBuilder::Reduction reduction = builder.plan(width, height);
    builder.take(width * height * 8);  // planes of 16 bits at worst, and their colours
    heif_image* decoded = nullptr;
    check(heif_decode_image(handle.get(), &decoded, heif_colorspace_RGB, heif_chroma_interleaved_RGB, nullptr));
    const std::unique_ptr<heif_image, Releaser<heif_image_release>> image(decoded);
    int stride = 0;
    const std::uint8_t* pixels = heif_image_get_plane_readonly(image.get(), heif_channel_interleaved, &stride);
    if (pixels == nullptr || heif_image_get_width(image.get(), heif_channel_interleaved) != width ||
        heif_image_get_height(image.get(), heif_channel_interleaved) != height)
        refuse("its picture has another size than its header says");

    builder.begin(reduction, static_cast<int>(width), static_cast<int>(height), retinaface::PixelFormat::rgb8);
    builder.orientation = 1;
    for (std::int64_t y = 0; y < height; ++y) {
        std::memcpy(builder.row(), pixels + y * stride, static_cast<std::size_t>(width) * 3);
        builder.commit();
    }
}

}  // namespace cli
