#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace cli {

/// Bytes of a pipe, a device or a file, in order; waiting ends where the program is interrupted (interrupt.hpp).
class ByteStream {
public:
    /// Standard input where `path` is "-". Throws retinaface::Error (io).
    explicit ByteStream(const std::string& path);
    ~ByteStream();
    ByteStream(const ByteStream&) = delete;
    ByteStream& operator=(const ByteStream&) = delete;

    /// Reads until `size` bytes are there; fewer at the end. Throws retinaface::Error (io).
    std::size_t read(std::uint8_t* data, std::size_t size);

    /// The bytes up to `end`, which is taken and left out; false at the end. What lies between the last `end` and the end of the
    /// stream is a line, unless it is empty. Throws retinaface::Error (io): also for more than `limit` bytes.
    bool read_line(std::string& line, char end, std::size_t limit);

    /// The next byte, or -1 at the end.
    int get() {
        if (begin_ == end_ && !fill()) return -1;
        return buffer_[begin_++];
    }

    /// At least `count` bytes ahead, fewer at the end (count at most kBuffer).
    const std::uint8_t* peek(std::size_t count, std::size_t& available);

    /// At the end of the bytes.
    bool at_end() { return begin_ == end_ && !fill(); }

    static constexpr std::size_t kBuffer = 1 << 16;

private:
    bool fill();
    std::size_t read_some(std::uint8_t* data, std::size_t size);

    int descriptor_ = 0;
    std::string name_;
    std::vector<std::uint8_t> buffer_;
    std::size_t begin_ = 0, end_ = 0;
};

}  // namespace cli
