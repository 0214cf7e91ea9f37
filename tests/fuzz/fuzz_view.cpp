// libFuzzer target of what happens to an image before the network: any geometry, format and rotation is refused or read within its
// memory, and vector instructions give what plain loops give.
#include "input.hpp"
#include "retinaface/camera.hpp"
#include "retinaface/resize.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace retinaface;
    using namespace retinaface_test;
    Input input(data, size);
    const Rotation rotation = fuzzed_rotation(input);
    const FuzzedImage image = fuzzed_image(input, 70);
    if (!try_validate(image.view) || static_cast<int>(rotation) == 45) return 0;

    detail::Upright vectors, plain;
    const ImageView upright = vectors.convert(image.view, rotation);
    const ImageView expected = plain.convert(image.view, rotation, {nullptr, 1}, detail::YuvKernels(Isa::reference));
    const bool turned = static_cast<int>(rotation) % 180 != 0;
    require(upright.width == (turned ? image.view.height : image.view.width), "the upright width");
    require(upright.height == (turned ? image.view.width : image.view.height), "the upright height");
    const std::ptrdiff_t row = row_bytes(upright.format, upright.width);
    for (int y = 0; y < upright.height; ++y)
        require(std::memcmp(upright.row(y), expected.row(y), static_cast<std::size_t>(row)) == 0,
                "vectors and plain loops agree");

    detail::Mirror once, twice;
    const ImageView back = twice.mirror(once.mirror(upright));
    for (int y = 0; y < back.height; ++y)
        require(std::memcmp(back.row(y), upright.row(y), static_cast<std::size_t>(row)) == 0, "mirrored twice is the image");
    return 0;
}
