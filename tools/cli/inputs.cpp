#include "inputs.hpp"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <system_error>

#include "retinaface/error.hpp"

namespace cli {

namespace fs = std::filesystem;

namespace {

bool is_picture(const fs::path& path) {
    std::string extension = path.extension().string();
    for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    for (const char* known : {".jpg", ".jpeg", ".png", ".bmp", ".pgm", ".ppm"})
        if (extension == known) return true;
    return false;
}

void list_directory(const std::string& directory, std::vector<Input>& inputs) {
    std::vector<fs::path> files;
    std::error_code failed, ignored;
    for (fs::recursive_directory_iterator it(directory, failed), end; !failed && it != end; it.increment(failed))
        if (is_picture(it->path()) && !it->is_directory(ignored)) files.push_back(it->path());
    std::sort(files.begin(), files.end());
    for (const fs::path& file : files) inputs.push_back({file.string(), ""});
    if (failed)
        inputs.push_back({directory, "cannot read directory: " + failed.message()});
    else if (files.empty())
        inputs.push_back({directory, "directory without picture files"});
}

}  // namespace

std::vector<Input> list_inputs(const std::vector<std::string>& arguments) {
    std::vector<Input> inputs;
    for (const std::string& argument : arguments) {
        std::error_code ignored;
        if (fs::is_directory(argument, ignored))
            list_directory(argument, inputs);
        else
            inputs.push_back({argument, ""});
    }
    return inputs;
}

OutputNames::OutputNames(std::string directory, const std::vector<Input>& inputs) : directory_(std::move(directory)) {
    std::error_code failed;
    fs::create_directories(directory_, failed);
    if (!fs::is_directory(directory_, failed))
        throw retinaface::Error(retinaface::ErrorCode::io, "cannot create directory " + directory_);
    for (const Input& input : inputs) {
        const fs::path path(input.path);
        const fs::path parent = path.has_parent_path() ? path.parent_path() : fs::path(".");
        if (fs::equivalent(parent, directory_, failed)) used_.insert(path.filename().string());
    }
}

std::string OutputNames::next(const std::string& input) {
    const std::string stem = fs::path(input).stem().string();
    std::string name = stem + ".png";
    for (int n = 2; !used_.insert(name).second; ++n) name = stem + "_" + std::to_string(n) + ".png";
    return (fs::path(directory_) / name).string();
}

}  // namespace cli
