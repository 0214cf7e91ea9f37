/* RetinaFace for the CPU: faces and five landmarks in pictures. The C interface (C99) of the C++ library retinaface.
 *
 *   retinaface_detector* detector = NULL;
 *   retinaface_face faces[100];
 *   size_t count = 0;
 *   retinaface_image image = {sizeof image, pixels, width, height, RETINAFACE_RGB8};
 *   if (retinaface_detector_create(NULL, NULL, &detector) != RETINAFACE_OK ||
 *       retinaface_detect(detector, &image, faces, sizeof faces[0], 100, &count) != RETINAFACE_OK)
 *       puts(retinaface_last_error());
 *   retinaface_detector_destroy(detector);
 *
 * Rules that hold for every function:
 * - What can fail returns a status; retinaface_last_error() then says in one line what was wrong. No C++ exception leaves the library,
 *   and what a failing call would have written is left as it was.
 * - Memory that a function fills is the caller's. Handles are made by _create and freed by _destroy.
 * - Structs begin with, or are passed with, their size as the program was compiled with (sizeof): later versions of the library add
 *   fields at the end and go on reading and writing the smaller struct. A program that is newer than the library may pass a larger
 *   struct as long as what the library does not know is zero.
 * - A detector may be used by several threads at a time; an aligner by one.
 */
#ifndef RETINAFACE_H
#define RETINAFACE_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define RETINAFACE_API __attribute__((visibility("default")))
#else
#define RETINAFACE_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Errors */

typedef int32_t retinaface_status;
enum {
    RETINAFACE_OK = 0,
    RETINAFACE_INVALID_ARGUMENT = 1, /* an image, size or option outside its stated range, or a null pointer */
    RETINAFACE_IO = 2,               /* a file that cannot be read */
    RETINAFACE_BAD_FORMAT = 3,       /* a weights file that breaks the container format */
    RETINAFACE_MISMATCH = 4,         /* a well-formed weights file that does not fit the network */
    RETINAFACE_UNSUPPORTED = 5,      /* an instruction set or architecture that this build or CPU lacks */
    RETINAFACE_OUT_OF_MEMORY = 6,
    RETINAFACE_DAMAGED = 7,    /* a weights file whose bytes are not those that were written */
    RETINAFACE_NO_THREADS = 8, /* the system gives no more threads */
    RETINAFACE_UNEXPECTED = 9  /* anything else */
};

/* A constant name for a status, as "invalid argument". Never NULL. */
RETINAFACE_API const char* retinaface_status_name(retinaface_status status);
/* What went wrong in this thread's last call that did not return RETINAFACE_OK: the thing, what was expected, what was found.
 * Never NULL; valid until this thread's next call that fails. */
RETINAFACE_API const char* retinaface_last_error(void);
/* The library's version, as "0.2.0". */
RETINAFACE_API const char* retinaface_version(void);

/* ---- Images and faces */

typedef int32_t retinaface_pixel_format;
enum {
    RETINAFACE_RGB8 = 0,
    RETINAFACE_BGR8 = 1,
    RETINAFACE_RGBA8 = 2, /* alpha is ignored */
    RETINAFACE_BGRA8 = 3,
    RETINAFACE_GRAY8 = 4,
    RETINAFACE_NV12 = 16, /* a plane of Y and a plane of U, V pairs, one a block of 2 x 2 pixels */
    RETINAFACE_NV21 = 17, /* the same with V, U pairs */
    RETINAFACE_YUYV = 18  /* Y0 U Y1 V: four bytes a pair of pixels */
};

/* An 8-bit image, top row first. A view: the library reads the pixels during the call only. Fields left out of an initialiser are 0,
 * which is right for packed rows. Sides 1..65536, at most 2^26 pixels. */
typedef struct retinaface_image {
    size_t struct_size;    /* sizeof(retinaface_image) */
    const uint8_t* pixels; /* first byte of the top left pixel */
    int32_t width;         /* pixels */
    int32_t height;        /* pixels */
    retinaface_pixel_format format;
    int32_t full_range;      /* YUV only: 0 for Y 16..235 (TV, most webcams), 1 for 0..255 (JPEG) */
    ptrdiff_t stride;        /* bytes from row to row; 0: rows are packed; negative: the next row lies before */
    const uint8_t* chroma;   /* nv12, nv21 only: first byte of the top left pair; NULL: right behind the last row of Y */
    ptrdiff_t chroma_stride; /* nv12, nv21 only: bytes from row to row of pairs; 0: that of Y */
    /* Bytes of the image in memory, from the lowest row on, with the rows of U and V where they have no pointer of their own: an image
     * that needs more is an error (a frame cut short). 0: not known, and not checked. */
    size_t size;
} retinaface_image;

/* Pixels of the image (of the upright one, where options turn it): x right, y down, pixel (i, j) covers [i, i + 1) x [j, j + 1). */
typedef struct retinaface_face {
    float score;           /* 0..1 */
    float box[4];          /* x1, y1, x2, y2: top left and bottom right corner; may reach out of the image */
    float landmarks[5][2]; /* x, y of the eye on the image's left, the eye on its right, nose tip, mouth corner left, right */
} retinaface_face;

/* ---- Options */

typedef int32_t retinaface_size_policy;
enum {
    RETINAFACE_SIZE_ORIGINAL = 0,     /* the image as it is */
    RETINAFACE_SIZE_LONGEST_SIDE = 1, /* shrunk to a longest side of `size[0]` pixels where it exceeds that */
    RETINAFACE_SIZE_EXACT = 2,        /* fitted into size[0] x size[1] pixels, padded to exactly that */
    RETINAFACE_SIZE_SHORTEST_SIDE = 3 /* resized to a shortest side of size[0], a longest of at most size[1] (0: no limit) */
};

typedef int32_t retinaface_voting;
enum { RETINAFACE_VOTING_NONE = 0, RETINAFACE_VOTING_PAPER = 1, RETINAFACE_VOTING_INSIGHTFACE = 2 };

enum { RETINAFACE_MOST_SCALES = 8 };

/* How a detector works. Always filled by retinaface_options_init() first, which gives each field the default named here. */
typedef struct retinaface_options {
    size_t struct_size;                 /* sizeof(retinaface_options) */
    float score_threshold;              /* 0.5; faces with a greater score are reported */
    float nms_threshold;                /* 0.4; of two boxes whose IoU is greater, the lower score is suppressed */
    int32_t max_faces;                  /* 0: no limit; else the best that many */
    int32_t threads;                    /* 1; threads one call may use; results do not depend on it */
    retinaface_size_policy size_policy; /* RETINAFACE_SIZE_ORIGINAL */
    int32_t size[2];                    /* 0, 0: what the policy says */
    int32_t rotation;                   /* 0; or 90, 180, 270: degrees clockwise that turn a frame upright */
    int32_t scale_count;                /* 1; looks at one image, 1..RETINAFACE_MOST_SCALES */
    float scales[8];                    /* 1; their sizes, as factors of what size_policy gives */
    int32_t flip;                       /* 0; 1: each look mirrored too */
    retinaface_voting voting;           /* RETINAFACE_VOTING_NONE: a face is its best candidate; else the mean of candidates */
    float voting_threshold;             /* 0.4 */
    float min_face;                     /* 0; sides in pixels of the faces wanted: they choose the scales */
    float max_face;                     /* 0 */
    char isa[16];                       /* "auto"; or "avx512", "avx2", "neon", "portable", "reference" */
} retinaface_options;

/* Fills the first `struct_size` bytes, which is sizeof(retinaface_options), with the defaults. */
RETINAFACE_API retinaface_status retinaface_options_init(retinaface_options* options, size_t struct_size);

/* ---- Detector */

typedef struct retinaface_detector retinaface_detector;

/* Makes a detector from a weights file, or with `weights_file` NULL from the weights in the library; `options` NULL: the defaults.
 * Both are read, not kept. */
RETINAFACE_API retinaface_status retinaface_detector_create(const char* weights_file, const retinaface_options* options,
                                                            retinaface_detector** detector);
/* The same from the bytes of a weights file, which are not kept. */
RETINAFACE_API retinaface_status retinaface_detector_create_from_memory(const void* weights, size_t size,
                                                                        const retinaface_options* options,
                                                                        retinaface_detector** detector);
/* NULL is allowed. */
RETINAFACE_API void retinaface_detector_destroy(retinaface_detector* detector);

/* Finds faces. Writes the best `capacity` of them, best first, to `faces`, an array of structs of `face_size` bytes
 * (sizeof(retinaface_face)), and to `*count` how many there are in the image, which may be more than `capacity`.
 * `faces` may be NULL where `capacity` is 0. */
RETINAFACE_API retinaface_status retinaface_detect(const retinaface_detector* detector, const retinaface_image* image,
                                                   retinaface_face* faces, size_t face_size, size_t capacity, size_t* count);

/* The instruction set that runs ("avx512", ...) and the architecture of the weights ("mobilenet025", ...); the detector's strings. */
RETINAFACE_API const char* retinaface_detector_isa(const retinaface_detector* detector);
RETINAFACE_API const char* retinaface_detector_architecture(const retinaface_detector* detector);

/* ---- Aligned crops for face recognition */

typedef struct retinaface_aligner retinaface_aligner;

/* Makes an aligner for square crops after ArcFace's template, `size` pixels a side (a multiple of 112 or 128), that show `margin` times
 * the template's size more on every side (0: none). */
RETINAFACE_API retinaface_status retinaface_aligner_create(int32_t size, float margin, retinaface_aligner** aligner);
/* NULL is allowed. */
RETINAFACE_API void retinaface_aligner_destroy(retinaface_aligner* aligner);

/* Writes the crop of a face, of which the landmarks alone are read, to `rgb`: size x size pixels, rows packed, 3 bytes a pixel,
 * in all `rgb_size` bytes. `to_crop`, NULL or six floats: the 2 x 3 matrix, row by row, from the image's pixels to the crop's (whole
 * numbers are pixel centres). `rotation` as in the options of the detector that found the face. */
RETINAFACE_API retinaface_status retinaface_aligner_crop(retinaface_aligner* aligner, const retinaface_image* image,
                                                         const retinaface_face* face, int32_t rotation, uint8_t* rgb,
                                                         size_t rgb_size, float* to_crop);

#ifdef __cplusplus
}
#endif

#endif
