// How far a batch is, on standard error.
#pragma once

#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <optional>
#include <string>

#include "text.hpp"

namespace cli {

/// A bar for a person, where standard error is a terminal and the pictures are many; with `always`, a line every ten seconds anywhere
/// else, and one at the end with the memory used at most.
class Progress {
public:
    explicit Progress(std::optional<std::size_t> total, bool always = false, const char* things = "pictures")
        : total_(total),
          things_(things),
          bar_(isatty(STDERR_FILENO) == 1 && (!total || *total >= kMany || always)),
          lines_(always) {}
    ~Progress() {
        clear();
        if (!lines_) return;
        rusage usage = {};
        getrusage(RUSAGE_SELF, &usage);
        std::fprintf(stderr, "retinaface: %zu %s in %.1f s (%.1f a second), %ld MB of memory at most\n", done_, things_,
                     seconds(), rate(), static_cast<long>(usage.ru_maxrss / 1024));
    }
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    void step() {
        ++done_;
        const auto now = Clock::now();
        const bool last = total_ && done_ == *total_;
        if (bar_ && (last || now - shown_ >= std::chrono::milliseconds(100))) {
            shown_ = now;
            const std::size_t filled = total_ && *total_ > 0 ? kWidth * done_ / *total_ : 0;
            const std::string bar = total_ ? "[" + std::string(filled, '#') + std::string(kWidth - filled, ' ') + "] " : "";
            std::fprintf(stderr, "\r\033[K%s%s", bar.c_str(), state().c_str());
            std::fflush(stderr);
        } else if (!bar_ && lines_ && now - shown_ >= std::chrono::seconds(10)) {
            shown_ = now;
            std::fprintf(stderr, "retinaface: %s\n", state().c_str());
        }
    }

    /// Takes the bar away, so that other lines can be printed; the next step() brings it back.
    void clear() {
        if (!bar_) return;
        std::fputs("\r\033[K", stderr);
        std::fflush(stderr);
        shown_ = {};
    }

    std::size_t done() const { return done_; }

private:
    using Clock = std::chrono::steady_clock;
    static constexpr std::size_t kMany = 10, kWidth = 40;

    double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }
    double rate() const { return seconds() > 0 ? static_cast<double>(done_) / seconds() : 0; }
    std::string state() const {
        std::string text = std::to_string(done_) + (total_ ? "/" + std::to_string(*total_) : "") + " " + things_ + ", " +
                           number("%.1f a second", rate());
        if (total_ && done_ < *total_ && rate() > 0)
            text += number(", %.0f s left", static_cast<double>(*total_ - done_) / rate());
        return text;
    }

    std::optional<std::size_t> total_;
    const char* things_;
    std::size_t done_ = 0;
    bool bar_, lines_;
    Clock::time_point start_ = Clock::now(), shown_ = start_;
};

}  // namespace cli
