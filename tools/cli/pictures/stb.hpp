// stb_image with the formats that nothing else here reads, and stb_image_write.
#pragma once

// Readers of JPEG and PNG before 2.29 crash on made-up files: where a library reads these formats, or stb_image is older, they are
// not compiled (RETINAFACE_STB_JPEG, RETINAFACE_STB_PNG: tools/cli/CMakeLists.txt).
#if !defined(RETINAFACE_STB_JPEG)
#define STBI_NO_JPEG
#endif
#if !defined(RETINAFACE_STB_PNG)
#define STBI_NO_PNG
#endif
#define STBI_NO_BMP
#define STBI_NO_HDR
#define STBI_NO_PIC
#define STBI_NO_PNM
#define STBI_NO_TGA  // has no signature: any text may be one
#define STBI_NO_STDIO
#define STBI_WRITE_NO_STDIO
#define STBI_MAX_DIMENSIONS (1 << 24)
#include <stb/stb_image.h>
#include <stb/stb_image_write.h>
