// Where results go: files that are whole or not there, and lines that are whole or not written.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

namespace cli {

/// Writes a file beside its place and renames it, so that nothing half written ever stands under `path`; what is no regular file
/// (a pipe, /dev/stdout) is written directly. Throws retinaface::Error (io) and leaves what stood there.
void write_file(const std::string& path, const void* data, std::size_t size);
inline void write_file(const std::string& path, const std::string& text) { write_file(path, text.data(), text.size()); }
inline void write_file(const std::string& path, const std::vector<std::uint8_t>& bytes) {
    write_file(path, bytes.data(), bytes.size());
}

/// Text to a file as write_file() does, or to standard output where the path is "-".
void write_text(const std::string& path, const std::string& text);

/// Throws retinaface::Error (invalid_argument) where a file that would be written is one that is read.
void refuse_overwriting(const std::vector<std::string>& written, const std::vector<std::string>& read);

struct CloseFile {
    void operator()(std::FILE* file) const {
        if (file != stdout) std::fclose(file);
    }
};
using OpenFile = std::unique_ptr<std::FILE, CloseFile>;

/// Opens a file to write, empty, or with `append` at its end; standard output where the path is empty or "-". Throws retinaface::Error
/// (io): also for a file that holds something else than what is written here begins with (`first`), which is somebody's and stays.
OpenFile open_own(const std::string& path, const std::string& first, bool append = false);

/// Lines to a file, or to standard output where the path is empty or "-"; each is flushed.
class Lines {
public:
    /// As open_own().
    Lines(const std::string& path, const std::string& first, bool append = false)
        : name_(path.empty() || path == "-" ? "standard output" : path), file_(open_own(path, first, append)) {}

    /// Throws retinaface::Error (io).
    void write(const std::string& line);

private:
    std::string name_;
    OpenFile file_;
};

}  // namespace cli
