// A progress bar on standard error, for a person only: where it is no terminal, or for a few pictures, nothing is printed.
#pragma once

#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <string>

namespace cli {

class Progress {
public:
    explicit Progress(std::size_t total) : total_(total), shown_(total >= kMany && isatty(STDERR_FILENO) == 1) {}
    ~Progress() { clear(); }
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    void step() {
        ++done_;
        const auto now = std::chrono::steady_clock::now();
        if (!shown_ || (done_ < total_ && now - last_ < std::chrono::milliseconds(100))) return;
        last_ = now;
        const double seconds = std::chrono::duration<double>(now - start_).count();
        const double left = seconds / static_cast<double>(done_) * static_cast<double>(total_ - done_);
        const std::size_t filled = kWidth * done_ / total_;
        std::fprintf(stderr, "\r\033[K[%s%s] %zu/%zu, %.0f s left", std::string(filled, '#').c_str(),
                     std::string(kWidth - filled, ' ').c_str(), done_, total_, left);
        std::fflush(stderr);
    }

    /// Takes the bar away, so that other lines can be printed; the next step() brings it back.
    void clear() {
        if (!shown_) return;
        std::fputs("\r\033[K", stderr);
        std::fflush(stderr);
        last_ = {};
    }

private:
    static constexpr std::size_t kMany = 10, kWidth = 40;

    std::size_t total_;
    std::size_t done_ = 0;
    bool shown_;
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
    std::chrono::steady_clock::time_point last_;
};

}  // namespace cli
