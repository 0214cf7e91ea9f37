#pragma once

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "retinaface/error.hpp"

namespace cli {

/// Lines to a file, or to standard output where the path is empty or "-".
class Lines {
public:
    explicit Lines(const std::string& path) : name_(path) {
        if (path.empty() || path == "-") {
            name_ = "standard output";
            return;
        }
        file_ = std::fopen(path.c_str(), "wb");
        if (file_ == nullptr) fail("cannot open");
    }
    ~Lines() {
        if (file_ != stdout) std::fclose(file_);
    }
    Lines(const Lines&) = delete;
    Lines& operator=(const Lines&) = delete;

    void write(const std::string& line) {
        std::fwrite(line.data(), 1, line.size(), file_);
        std::fputc('\n', file_);
        if (std::fflush(file_) != 0 || std::ferror(file_) != 0) fail("cannot write");
    }

private:
    [[noreturn]] void fail(const char* what) const {
        throw retinaface::Error(retinaface::ErrorCode::io, std::string(what) + " " + name_ + ": " + std::strerror(errno));
    }

    std::string name_;
    std::FILE* file_ = stdout;
};

}  // namespace cli
