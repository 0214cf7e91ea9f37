#include <array>
#include <cstdint>
#include <retinaface.hpp>

int faces_of_black_image(const retinaface::Detector& detector) {
    const std::array<std::uint8_t, 32 * 32> pixels{};
    return static_cast<int>(detector.detect({pixels.data(), 32, 32, retinaface::PixelFormat::gray8}).size());
}
