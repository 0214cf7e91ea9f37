// libFuzzer target of picture files: any bytes give an image the library takes, or an Error of one printable line.
#include "image_file.hpp"
#include "input.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using retinaface_test::require;
    try {
        const cli::Image image = cli::decode_image(std::vector<std::uint8_t>(data, data + size));
        require(retinaface::try_validate(image.view()).has_value(), "the library takes the image");
        const std::size_t row = static_cast<std::size_t>(retinaface::row_bytes(image.format, image.width));
        require(image.pixels.size() >= row * static_cast<std::size_t>(image.height), "all rows are there");
    } catch (const retinaface::Error& error) {
        for (const char* c = error.what(); *c != '\0'; ++c)
            require(static_cast<unsigned char>(*c) >= 0x20 && *c != 0x7F, "a printable error");
    }
    return 0;
}
