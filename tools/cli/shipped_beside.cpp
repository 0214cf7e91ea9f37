#include <filesystem>
#include <string>

#include "image_file.hpp"
#include "retinaface/weights/archive.hpp"
#include "shipped.hpp"

namespace cli {

namespace {

/// A file of the folder `weights` beside the one that the program is in.
std::vector<std::uint8_t> file_beside(const char* name) {
    std::error_code unknown;
    const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", unknown);
    const std::string path = (program.parent_path().parent_path() / "weights" / name).string();
    try {
        return read_file(path, retinaface::Weights::kMaxFile);
    } catch (const retinaface::Error& error) {
        throw retinaface::Error(error.code(), path + ": " + error.what());
    }
}

}  // namespace

std::vector<std::uint8_t> shipped_weights() { return file_beside("mobilenet025.safetensors"); }
std::vector<std::uint8_t> shipped_mesh() { return file_beside("mesh_decoder.safetensors"); }
std::vector<std::uint8_t> shipped_refiner() { return file_beside("landmarks68.safetensors"); }

}  // namespace cli
