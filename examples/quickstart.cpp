#include <cstdio>
#include <retinaface.hpp>
#include <vector>

int main() {  // ./quickstart < photo.ppm
    retinaface::Detector detector;
    int width = 0, height = 0;
    if (std::scanf("P6 %d %d 255%*c", &width, &height) != 2) return 1;
    std::vector<unsigned char> rgb(3u * width * height);
    if (std::fread(rgb.data(), 1, rgb.size(), stdin) != rgb.size()) return 1;
    for (const retinaface::Face& face : detector.detect({rgb.data(), width, height, retinaface::PixelFormat::rgb8}))
        std::printf("%.3f  %.0f %.0f %.0f %.0f\n", face.score, face.box.x1, face.box.y1, face.box.x2, face.box.y2);
}
