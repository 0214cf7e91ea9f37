// libFuzzer target of the search for a picture's orientation: any bytes give 1 to 8.
#include "input.hpp"
#include "pictures/exif.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const int orientation = cli::exif_orientation(data, size);
    retinaface_test::require(orientation >= 1 && orientation <= 8, "an orientation");
    return 0;
}
