// stb_image and stb_image_write with the formats that this tool reads. TGA in particular has no signature: any text may be one.
#pragma once

#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_ONLY_BMP
#define STBI_ONLY_PNM
#define STBI_NO_STDIO
#define STBI_WRITE_NO_STDIO
#define STBI_MAX_DIMENSIONS (1 << 24)
#include <stb/stb_image.h>
#include <stb/stb_image_write.h>
