/* The C interface from C99: layout of the structs, errors, sizes of older and newer programs, faces. c_api PICTURE.ppm */
#include <retinaface.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures = 0;

#define CHECK(condition)                                                            \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition); \
            ++failures;                                                             \
        }                                                                           \
    } while (0)

/* The call fails with this status, and the text has these words. */
#define CHECK_ERROR(call, expected, words)                                                                                     \
    do {                                                                                                                       \
        const retinaface_status status_ = (call);                                                                              \
        if (status_ != (expected) || strstr(retinaface_last_error(), (words)) == NULL) {                                       \
            fprintf(stderr, "%s:%d: %s: status %d, '%s'\n", __FILE__, __LINE__, #call, (int)status_, retinaface_last_error()); \
            ++failures;                                                                                                        \
        }                                                                                                                      \
    } while (0)

/* What programs compiled against version 0.2 rely on. A change here breaks them: add fields at the end instead, and lines below. */
static void check_layout(void) {
    CHECK(sizeof(retinaface_status) == 4 && sizeof(retinaface_pixel_format) == 4);
    CHECK(sizeof(retinaface_face) == 60);
    CHECK(offsetof(retinaface_face, box) == 4 && offsetof(retinaface_face, landmarks) == 20);
    CHECK(offsetof(retinaface_options, score_threshold) == sizeof(size_t));
#define AT(field) (offsetof(retinaface_options, field) - sizeof(size_t))
    CHECK(AT(nms_threshold) == 4 && AT(max_faces) == 8 && AT(threads) == 12 && AT(size_policy) == 16 && AT(size) == 20);
    CHECK(AT(rotation) == 28 && AT(scale_count) == 32 && AT(scales) == 36 && AT(flip) == 68 && AT(voting) == 72);
    CHECK(AT(voting_threshold) == 76 && AT(min_face) == 80 && AT(max_face) == 84 && AT(isa) == 88);
#undef AT
    CHECK(sizeof(retinaface_options) == sizeof(size_t) + 104);
    if (sizeof(void*) == 8) {
        CHECK(sizeof(retinaface_image) == 64);
        CHECK(offsetof(retinaface_image, pixels) == 8 && offsetof(retinaface_image, width) == 16);
        CHECK(offsetof(retinaface_image, format) == 24 && offsetof(retinaface_image, stride) == 32);
        CHECK(offsetof(retinaface_image, chroma) == 40 && offsetof(retinaface_image, chroma_stride) == 48);
        CHECK(offsetof(retinaface_image, size) == 56);
    }
}

static unsigned char* read_ppm(const char* path, int* width, int* height) {
    FILE* file = fopen(path, "rb");
    unsigned char* pixels = NULL;
    if (file != NULL && fscanf(file, "P6 %d %d 255%*c", width, height) == 2) {
        const size_t size = (size_t)3 * (size_t)*width * (size_t)*height;
        pixels = malloc(size);
        if (pixels != NULL && fread(pixels, 1, size, file) != size) {
            free(pixels);
            pixels = NULL;
        }
    }
    if (file != NULL) fclose(file);
    return pixels;
}

static void check_options(void) {
    retinaface_options options;
    retinaface_detector* detector = NULL;
    CHECK_ERROR(retinaface_options_init(NULL, sizeof options), RETINAFACE_INVALID_ARGUMENT, "options: null pointer");
    CHECK_ERROR(retinaface_options_init(&options, 8), RETINAFACE_INVALID_ARGUMENT, "struct_size");
    CHECK(retinaface_options_init(&options, sizeof options) == RETINAFACE_OK);
    CHECK(options.struct_size == sizeof options && options.score_threshold == 0.5f && options.threads == 1);
    CHECK(options.scale_count == 1 && options.scales[0] == 1.0f && strcmp(options.isa, "auto") == 0);

    CHECK_ERROR(retinaface_detector_create(NULL, NULL, NULL), RETINAFACE_INVALID_ARGUMENT, "detector: null pointer");
    options.score_threshold = 2;
    CHECK_ERROR(retinaface_detector_create(NULL, &options, &detector), RETINAFACE_INVALID_ARGUMENT,
                "score_threshold must be 0..1");
    options.score_threshold = 0.5f;
    options.scale_count = -1;
    CHECK_ERROR(retinaface_detector_create(NULL, &options, &detector), RETINAFACE_INVALID_ARGUMENT, "scales");
    options.scale_count = 9;
    CHECK_ERROR(retinaface_detector_create(NULL, &options, &detector), RETINAFACE_INVALID_ARGUMENT, "scales");
    options.scale_count = 1;
    options.size_policy = 7;
    CHECK_ERROR(retinaface_detector_create(NULL, &options, &detector), RETINAFACE_INVALID_ARGUMENT, "size_policy 7");
    options.size_policy = RETINAFACE_SIZE_ORIGINAL;
    options.rotation = 45;
    CHECK_ERROR(retinaface_detector_create(NULL, &options, &detector), RETINAFACE_INVALID_ARGUMENT, "rotation");
    options.rotation = -1; /* C++'s automatic rotation: a caller in C would not learn which it was */
    CHECK_ERROR(retinaface_detector_create(NULL, &options, &detector), RETINAFACE_INVALID_ARGUMENT, "found -1");
    options.rotation = 0;
    options.flip = 2;
    CHECK_ERROR(retinaface_detector_create(NULL, &options, &detector), RETINAFACE_INVALID_ARGUMENT, "flip must be 0 or 1");
    options.flip = 0;
    strcpy(options.isa, "avx3");
    CHECK_ERROR(retinaface_detector_create(NULL, &options, &detector), RETINAFACE_INVALID_ARGUMENT, "found 'avx3'");
    memset(options.isa, 'x', sizeof options.isa);
    CHECK_ERROR(retinaface_detector_create(NULL, &options, &detector), RETINAFACE_INVALID_ARGUMENT, "isa is not a string");
    CHECK(detector == NULL);

    CHECK_ERROR(retinaface_detector_create("/no/such/file", NULL, &detector), RETINAFACE_IO, "/no/such/file");
    CHECK_ERROR(retinaface_detector_create_from_memory("not weights", 11, NULL, &detector), RETINAFACE_BAD_FORMAT, "weights");
    CHECK_ERROR(retinaface_detector_create_from_memory(NULL, 11, NULL, &detector), RETINAFACE_INVALID_ARGUMENT,
                "weights: null pointer");
    CHECK(detector == NULL);
}

/* A program that is newer than the library: its struct has one more field. */
static void check_newer_program(void) {
    struct {
        retinaface_options known;
        int32_t unknown[2];
    } options;
    retinaface_detector* detector = NULL;
    CHECK(retinaface_options_init(&options.known, sizeof options) == RETINAFACE_OK);
    CHECK(options.known.struct_size == sizeof options && options.unknown[0] == 0 && options.unknown[1] == 0);
    CHECK(retinaface_detector_create(NULL, &options.known, &detector) == RETINAFACE_OK);
    retinaface_detector_destroy(detector);
    detector = NULL;
    options.unknown[1] = 1;
    CHECK_ERROR(retinaface_detector_create(NULL, &options.known, &detector), RETINAFACE_INVALID_ARGUMENT, "does not know");
    CHECK(detector == NULL);
}

static void check_faces(const unsigned char* pixels, int width, int height) {
    retinaface_detector* detector = NULL;
    const retinaface_image image = {
        .struct_size = sizeof image, .pixels = pixels, .width = width, .height = height, .format = RETINAFACE_RGB8};
    retinaface_face faces[4];
    size_t count = 99;
    CHECK(retinaface_detector_create(NULL, NULL, &detector) == RETINAFACE_OK);
    if (detector == NULL) return;
    CHECK(strlen(retinaface_detector_isa(detector)) > 0 &&
          strcmp(retinaface_detector_architecture(detector), "mobilenet025") == 0);

    /* Counting alone. */
    CHECK(retinaface_detect(detector, &image, NULL, sizeof faces[0], 0, &count) == RETINAFACE_OK && count == 1);
    CHECK(retinaface_detect(detector, &image, faces, sizeof faces[0], 4, &count) == RETINAFACE_OK && count == 1);
    CHECK(faces[0].score > 0.9f && faces[0].box[0] < faces[0].landmarks[0][0] && faces[0].landmarks[1][0] < faces[0].box[2]);

    /* A newer program's larger face: what the library does not know is zero. */
    struct {
        retinaface_face known;
        float unknown;
    } larger[2];
    memset(larger, 0xff, sizeof larger);
    CHECK(retinaface_detect(detector, &image, &larger[0].known, sizeof larger[0], 2, &count) == RETINAFACE_OK && count == 1);
    CHECK(memcmp(&larger[0].known, &faces[0], sizeof faces[0]) == 0 && larger[0].unknown == 0);

    count = 99;
    CHECK_ERROR(retinaface_detect(detector, &image, faces, 8, 4, &count), RETINAFACE_INVALID_ARGUMENT, "face_size");
    CHECK_ERROR(retinaface_detect(detector, &image, NULL, sizeof faces[0], 4, &count), RETINAFACE_INVALID_ARGUMENT,
                "faces: null");
    CHECK_ERROR(retinaface_detect(detector, NULL, faces, sizeof faces[0], 4, &count), RETINAFACE_INVALID_ARGUMENT, "image: null");
    CHECK_ERROR(retinaface_detect(NULL, &image, faces, sizeof faces[0], 4, &count), RETINAFACE_INVALID_ARGUMENT,
                "detector: null");
    CHECK_ERROR(retinaface_detect(detector, &image, faces, sizeof faces[0], 4, NULL), RETINAFACE_INVALID_ARGUMENT, "count: null");
    retinaface_image wrong = image;
    wrong.struct_size = 4;
    CHECK_ERROR(retinaface_detect(detector, &wrong, faces, sizeof faces[0], 4, &count), RETINAFACE_INVALID_ARGUMENT,
                "struct_size");
    wrong = image;
    wrong.size = (size_t)3 * (size_t)width * (size_t)height - 1;
    CHECK_ERROR(retinaface_detect(detector, &wrong, faces, sizeof faces[0], 4, &count), RETINAFACE_INVALID_ARGUMENT, "cut short");
    wrong.width = 0;
    CHECK_ERROR(retinaface_detect(detector, &wrong, faces, sizeof faces[0], 4, &count), RETINAFACE_INVALID_ARGUMENT, "width");
    wrong = image;
    wrong.format = 9;
    CHECK_ERROR(retinaface_detect(detector, &wrong, faces, sizeof faces[0], 4, &count), RETINAFACE_INVALID_ARGUMENT, "format 9");
    CHECK(count == 99);

    /* All its bytes; and an older program's struct, which ends before they are stated. */
    wrong = image;
    wrong.size = (size_t)3 * (size_t)width * (size_t)height;
    CHECK(retinaface_detect(detector, &wrong, faces, sizeof faces[0], 4, &count) == RETINAFACE_OK && count == 1);
    wrong.size = 1;
    wrong.struct_size = offsetof(retinaface_image, size);
    CHECK(retinaface_detect(detector, &wrong, faces, sizeof faces[0], 4, &count) == RETINAFACE_OK && count == 1);

    retinaface_aligner* aligner = NULL;
    static uint8_t crop[112 * 112 * 3];
    float to_crop[6] = {0};
    CHECK_ERROR(retinaface_aligner_create(100, 0, &aligner), RETINAFACE_INVALID_ARGUMENT, "112 or 128");
    CHECK_ERROR(retinaface_aligner_create(112, -1, &aligner), RETINAFACE_INVALID_ARGUMENT, "margin");
    CHECK(retinaface_aligner_create(112, 0, &aligner) == RETINAFACE_OK);
    CHECK_ERROR(retinaface_aligner_crop(aligner, &image, &faces[0], 0, crop, 5, NULL), RETINAFACE_INVALID_ARGUMENT, "rgb_size");
    CHECK(retinaface_aligner_crop(aligner, &image, &faces[0], 0, crop, sizeof crop, to_crop) == RETINAFACE_OK);
    /* The eye on the left lies where ArcFace's template has it, within a few pixels. */
    const float x = faces[0].landmarks[0][0] - 0.5f, y = faces[0].landmarks[0][1] - 0.5f;
    const float ex = to_crop[0] * x + to_crop[1] * y + to_crop[2] - 38.2946f,
                ey = to_crop[3] * x + to_crop[4] * y + to_crop[5] - 51.6963f;
    CHECK(ex * ex + ey * ey < 64);
    retinaface_aligner_destroy(aligner);
    retinaface_detector_destroy(detector);
}

int main(int argc, char** argv) {
    int width = 0, height = 0;
    if (argc != 2) return 2;
    check_layout();
    check_options();
    check_newer_program();
    CHECK(strcmp(retinaface_status_name(RETINAFACE_IO), "io") == 0 &&
          strcmp(retinaface_status_name(12345), "unknown status") == 0);
    retinaface_detector_destroy(NULL);
    retinaface_aligner_destroy(NULL);
    unsigned char* pixels = read_ppm(argv[1], &width, &height);
    CHECK(pixels != NULL);
    if (pixels != NULL) check_faces(pixels, width, height);
    free(pixels);
    if (failures == 0) puts("all passed");
    return failures != 0;
}
