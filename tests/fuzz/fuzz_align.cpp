// libFuzzer target of alignment: any image, landmarks and template give a crop or an Error, and vector instructions the same crop.
#include "input.hpp"
#include "retinaface/align.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace retinaface;
    using namespace retinaface_test;
    Input input(data, size);
    const Rotation rotation = fuzzed_rotation(input);
    const int how = input.byte();
    AlignTemplate crop = arcface_template();
    if (how % 4 == 1) crop = crop.with_margin(static_cast<float>(input.byte()) / 64 - 0.6f);
    if (how % 4 == 2) {
        crop.width = input.side(100);
        crop.height = input.side(100);
        if (std::int64_t{crop.width} * crop.height > 1 << 16) return 0;
        for (Point& p : crop.points) p = {input.number(), input.number()};
    }
    std::array<Point, 5> landmarks;
    for (Point& p : landmarks) p = {input.number(), input.number()};
    const float wide = static_cast<float>(input.byte());
    if (how & 8)  // a face of any size and turn
        for (std::size_t i = 0; i < 5; ++i)
            landmarks[i] = {crop.points[i].x * wide / 32 - landmarks[0].x, crop.points[i].y * wide / 32 - landmarks[0].y};
    const FuzzedImage image = fuzzed_image(input, 90);

    Result<Aligner> aligner = Aligner::create(crop), plain = Aligner::create(crop, Isa::reference);
    require(aligner.has_value() == plain.has_value(), "the same templates are refused");
    if (!aligner) return 0;
    Result<AlignedCrop> found = (*aligner).try_crop(image.view, landmarks, rotation),
                        expected = (*plain).try_crop(image.view, landmarks, rotation);
    require(found.has_value() == expected.has_value(), "the same crops are refused");
    if (how & 16) {
        const Similarity shown{static_cast<double>(input.real()), static_cast<double>(input.real()),
                               static_cast<double>(input.real()), static_cast<double>(input.real())};
        found = (*aligner).try_warp(image.view, shown, rotation);
        expected = (*plain).try_warp(image.view, shown, rotation);
        require(found.has_value() == expected.has_value(), "the same similarities are refused");
    }
    if (!found) {
        require(found.error().code() == ErrorCode::invalid_argument, "the error's code");
        return 0;
    }
    require(found->image.width == crop.width && found->image.height == crop.height, "the crop's size");
    const std::size_t bytes = static_cast<std::size_t>(3 * crop.width) * static_cast<std::size_t>(crop.height);
    require(std::memcmp(found->image.data, expected->image.data, bytes) == 0, "vectors and plain loops agree");
    return 0;
}
