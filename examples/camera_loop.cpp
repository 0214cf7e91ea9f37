// Faces in a stream of NV12 frames, as cameras and hardware decoders deliver them. After the first frame nothing is allocated.
//
//   ffmpeg -i clip.mp4 -f rawvideo -pix_fmt nv12 - | ./camera_loop 640 480
#include <cstdio>
#include <cstdlib>
#include <retinaface.hpp>
#include <vector>

int main(int argc, char** argv) {
    const int width = argc > 2 ? std::atoi(argv[1]) : 0, height = argc > 2 ? std::atoi(argv[2]) : 0;
    if (width < 2 || height < 2 || width % 2 != 0 || height % 2 != 0) {
        std::fprintf(stderr, "usage: %s WIDTH HEIGHT < frames.nv12 (even sides)\n", argv[0]);
        return 2;
    }
    retinaface::Options options;
    options.max_faces = 5;
    const retinaface::Detector detector(options);
    retinaface::Workspace workspace;  // one a thread, kept from frame to frame
    std::vector<unsigned char> frame(static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * 3 / 2);
    for (int number = 0; std::fread(frame.data(), 1, frame.size(), stdin) == frame.size(); ++number) {
        const retinaface::ImageView view = retinaface::nv12_view(frame.data(), width, height, retinaface::YuvRange::video);
        for (const retinaface::Face& face : detector.detect(view, workspace))
            std::printf("frame %d: %.3f at %.0f %.0f %.0f %.0f\n", number, static_cast<double>(face.score),
                        static_cast<double>(face.box.x1), static_cast<double>(face.box.y1), static_cast<double>(face.box.x2),
                        static_cast<double>(face.box.y2));
    }
}
