#include "output.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "retinaface/error.hpp"

namespace cli {

namespace fs = std::filesystem;
using retinaface::Error;
using retinaface::ErrorCode;

namespace {

[[noreturn]] void fail(const std::string& path) {
    throw Error(ErrorCode::io, "cannot write " + path + ": " + std::strerror(errno));
}

bool write_all(const std::string& path, const void* data, std::size_t size) {
    std::FILE* file = std::fopen(path.c_str(), "wb");
    if (file == nullptr) return false;
    const bool written = std::fwrite(data, 1, size, file) == size;
    const int error = errno;
    const bool closed = std::fclose(file) == 0;
    if (!written) errno = error;
    return written && closed;
}

}  // namespace

void write_file(const std::string& path, const void* data, std::size_t size) {
    std::error_code error;
    // Through a symbolic link to the file behind it: renaming would replace the link.
    const fs::path resolved = fs::is_symlink(path, error) ? fs::weakly_canonical(path, error) : fs::path(path);
    const fs::path target = error ? fs::path(path) : resolved;
    const fs::file_status status = fs::status(target, error);
    if (fs::exists(status) && !fs::is_regular_file(status)) {
        if (!write_all(target.string(), data, size)) fail(path);
        return;
    }
    const std::string beside = (target.parent_path() / ("." + target.filename().string() + ".part")).string();
    if (!write_all(beside, data, size) || std::rename(beside.c_str(), target.c_str()) != 0) {
        const int reason = errno;
        std::remove(beside.c_str());
        errno = reason;
        fail(path);
    }
}

void write_text(const std::string& path, const std::string& text) {
    if (path != "-") return write_file(path, text);
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) fail("standard output");
}

void refuse_overwriting(const std::vector<std::string>& written, const std::vector<std::string>& read) {
    for (const std::string& to : written)
        for (const std::string& from : read) {
            struct stat output = {}, input = {};
            const bool both = !to.empty() && to != "-" && stat(to.c_str(), &output) == 0 && S_ISREG(output.st_mode) &&
                              (from == "-" ? fstat(STDIN_FILENO, &input) : stat(from.c_str(), &input)) == 0;
            if (both && output.st_dev == input.st_dev && output.st_ino == input.st_ino)
                throw Error(ErrorCode::invalid_argument, to + ": is read, and would be overwritten");
        }
}

OpenFile open_own(const std::string& path, const std::string& first, bool append) {
    if (path.empty() || path == "-") return OpenFile(stdout);
    struct stat status = {};
    if (stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
        OpenFile file(std::fopen(path.c_str(), "wb"));
        if (file == nullptr) fail(path);
        return file;
    }
    // Not emptied before it is known to be ours.
    const int descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (descriptor < 0) fail(path);
    OpenFile file(fdopen(descriptor, "r+b"));
    if (file == nullptr) close(descriptor);
    if (file == nullptr || fstat(descriptor, &status) != 0) fail(path);
    if (status.st_size > 0) {
        std::string start(first.size(), '\0');
        const ssize_t count = pread(descriptor, start.data(), start.size(), 0);
        if (count <= 0 || start.compare(0, static_cast<std::size_t>(count), first, 0, static_cast<std::size_t>(count)) != 0)
            throw Error(ErrorCode::io, path + ": holds something else, and is not overwritten: delete it, or name another file");
    }
    if (append ? std::fseek(file.get(), 0, SEEK_END) != 0 : ftruncate(descriptor, 0) != 0) fail(path);
    return file;
}

void Lines::write(const std::string& line) {
    // One call, so that a line is as whole as the system makes it.
    const std::string text = line + '\n';
    std::fwrite(text.data(), 1, text.size(), file_.get());
    if (std::fflush(file_.get()) != 0 || std::ferror(file_.get()) != 0) fail(name_);
}

}  // namespace cli
