// Faces cut out upright, 112 x 112, as face recognition wants them.
//
//   ./aligned_crops photo.ppm      writes crop_0.ppm, crop_1.ppm, ...
#include <retinaface.hpp>
#include <string>

#include "ppm.hpp"

int main(int argc, char** argv) {
    const Picture picture = read_ppm(argc > 1 ? argv[1] : "");
    if (picture.rgb.empty()) {
        std::fprintf(stderr, "usage: %s photo.ppm\n", argv[0]);
        return 2;
    }
    const retinaface::ImageView image(picture.rgb.data(), picture.width, picture.height);
    const retinaface::Detector detector;
    retinaface::Aligner aligner;
    int number = 0;
    for (const retinaface::Face& face : detector.detect(image)) {
        const auto crop = aligner.try_crop(image, face.landmarks);  // five points may make no face
        if (!crop) continue;
        const std::string path = "crop_" + std::to_string(number++) + ".ppm";
        if (!write_ppm(path.c_str(), (*crop).image.data, (*crop).image.width, (*crop).image.height)) return 1;
    }
    std::printf("%d crops\n", number);
}
