#include "inputs/byte_stream.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "interrupt.hpp"
#include "retinaface/error.hpp"

namespace cli {

using retinaface::Error;
using retinaface::ErrorCode;

ByteStream::ByteStream(const std::string& path) : name_(path == "-" ? "standard input" : path), buffer_(kBuffer) {
    descriptor_ = path == "-" ? STDIN_FILENO : open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor_ < 0) throw Error(ErrorCode::io, name_ + ": cannot open: " + std::strerror(errno));
#ifdef F_SETPIPE_SZ
    fcntl(descriptor_, F_SETPIPE_SZ, 1 << 20);  // a frame in one or two pieces; what is no pipe stays as it is
#endif
}

ByteStream::~ByteStream() {
    if (descriptor_ != STDIN_FILENO) close(descriptor_);
}

std::size_t ByteStream::read_some(std::uint8_t* data, std::size_t size) {
    for (;;) {
        if (interrupted()) return 0;
        // A signal wakes one thread only, perhaps not this one.
        constexpr int kWait = 200;
        pollfd waiting = {descriptor_, POLLIN, 0};
        if (poll(&waiting, 1, kWait) == 0) continue;
        const ssize_t count = ::read(descriptor_, data, size);
        if (count >= 0) return static_cast<std::size_t>(count);
        if (errno != EINTR && errno != EAGAIN) throw Error(ErrorCode::io, name_ + ": cannot read: " + std::strerror(errno));
    }
}

bool ByteStream::fill() {
    begin_ = 0;
    end_ = read_some(buffer_.data(), buffer_.size());
    return end_ > 0;
}

std::size_t ByteStream::read(std::uint8_t* data, std::size_t size) {
    std::size_t used = std::min(size, end_ - begin_);
    std::copy_n(buffer_.data() + begin_, used, data);
    begin_ += used;
    while (used < size) {
        const std::size_t count = read_some(data + used, size - used);
        if (count == 0) break;
        used += count;
    }
    return used;
}

bool ByteStream::read_line(std::string& line, char end, std::size_t limit) {
    line.clear();
    for (;;) {
        if (begin_ == end_ && !fill()) return !line.empty() && !interrupted();
        const auto from = buffer_.begin() + static_cast<std::ptrdiff_t>(begin_),
                   to = buffer_.begin() + static_cast<std::ptrdiff_t>(end_);
        const auto found = std::find(from, to, static_cast<std::uint8_t>(end));
        line.append(from, found);
        begin_ = static_cast<std::size_t>(found - buffer_.begin()) + (found != to ? 1 : 0);
        if (line.size() > limit) throw Error(ErrorCode::io, name_ + ": a line of more than " + std::to_string(limit) + " bytes");
        if (found != to) return true;
    }
}

const std::uint8_t* ByteStream::peek(std::size_t count, std::size_t& available) {
    if (end_ - begin_ < count) {
        std::copy(buffer_.begin() + static_cast<std::ptrdiff_t>(begin_), buffer_.begin() + static_cast<std::ptrdiff_t>(end_),
                  buffer_.begin());
        end_ -= begin_;
        begin_ = 0;
        while (end_ < count) {
            const std::size_t more = read_some(buffer_.data() + end_, buffer_.size() - end_);
            if (more == 0) break;
            end_ += more;
        }
    }
    available = end_ - begin_;
    return buffer_.data() + begin_;
}

}  // namespace cli
