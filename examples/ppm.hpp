// Binary PPM in and out, for the examples: no library needed. `convert photo.jpg photo.ppm` makes one.
#pragma once

#include <cstdio>
#include <vector>

struct Picture {
    int width = 0;
    int height = 0;
    std::vector<unsigned char> rgb;  ///< empty: could not be read
};

inline Picture read_ppm(const char* path) {
    Picture picture;
    std::FILE* file = std::fopen(path, "rb");
    if (file == nullptr) return picture;
    const bool sized = std::fscanf(file, "P6 %d %d 255%*c", &picture.width, &picture.height) == 2;
    if (sized && picture.width > 0 && picture.height > 0 && picture.width <= 1 << 14 && picture.height <= 1 << 14) {
        picture.rgb.resize(3u * static_cast<unsigned>(picture.width) * static_cast<unsigned>(picture.height));
        if (std::fread(picture.rgb.data(), 1, picture.rgb.size(), file) != picture.rgb.size()) picture.rgb.clear();
    }
    std::fclose(file);
    return picture;
}

inline bool write_ppm(const char* path, const unsigned char* rgb, int width, int height) {
    std::FILE* file = std::fopen(path, "wb");
    if (file == nullptr) return false;
    std::fprintf(file, "P6\n%d %d\n255\n", width, height);
    const std::size_t bytes = 3u * static_cast<unsigned>(width) * static_cast<unsigned>(height);
    const bool written = std::fwrite(rgb, 1, bytes, file) == bytes;
    return std::fclose(file) == 0 && written;
}
