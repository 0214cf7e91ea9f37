/* Faces of a picture, by the C interface: ./detect < photo.ppm */
#include <retinaface.h>
#include <stdio.h>
#include <stdlib.h>

int main(void) {
    int width = 0, height = 0;
    if (scanf("P6 %d %d 255%*c", &width, &height) != 2 || width < 1 || height < 1 || width > 65536 || height > 65536) {
        fputs("expected a binary PPM on standard input\n", stderr);
        return 2;
    }
    const size_t bytes = (size_t)3 * (size_t)width * (size_t)height;
    uint8_t* pixels = malloc(bytes);
    retinaface_detector* detector = NULL;
    retinaface_face faces[100];
    size_t count = 0;
    int failed = pixels == NULL || fread(pixels, 1, bytes, stdin) != bytes;
    if (failed) {
        fputs("the picture is incomplete\n", stderr);
    } else {
        const retinaface_image image = {
            .struct_size = sizeof image, .pixels = pixels, .width = width, .height = height, .format = RETINAFACE_RGB8};
        failed = retinaface_detector_create(NULL, NULL, &detector) != RETINAFACE_OK ||
                 retinaface_detect(detector, &image, faces, sizeof faces[0], 100, &count) != RETINAFACE_OK;
        if (failed) fprintf(stderr, "%s\n", retinaface_last_error());
    }
    for (size_t i = 0; i < count && i < 100; ++i) {
        const float* box = faces[i].box;
        printf("%.3f  %.0f %.0f %.0f %.0f\n", (double)faces[i].score, (double)box[0], (double)box[1], (double)box[2],
               (double)box[3]);
    }
    retinaface_detector_destroy(detector);
    free(pixels);
    return failed;
}
