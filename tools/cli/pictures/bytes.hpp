// A file in memory, read without fear of its end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace cli {

/// A view of bytes; what lies outside reads as 0. Numbers are big-endian unless told otherwise.
class Bytes {
public:
    Bytes(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}

    const std::uint8_t* data() const { return data_; }
    std::size_t size() const { return size_; }
    std::uint32_t u8(std::size_t at) const { return at < size_ ? data_[at] : 0; }
    std::uint32_t u16(std::size_t at, bool big = true) const { return big ? u8(at) << 8 | u8(at + 1) : u8(at + 1) << 8 | u8(at); }
    std::uint32_t u32(std::size_t at, bool big = true) const {
        return big ? u16(at, big) << 16 | u16(at + 2, big) : u16(at + 2, big) << 16 | u16(at, big);
    }
    /// As much as there is of `size` bytes from `at` on.
    Bytes part(std::size_t at, std::size_t size = ~std::size_t{0}) const {
        if (at >= size_) return {data_, 0};
        return {data_ + at, size < size_ - at ? size : size_ - at};
    }
    bool starts_with(std::string_view text) const { return has(0, text); }
    bool has(std::size_t at, std::string_view text) const {
        return at <= size_ && text.size() <= size_ - at && std::memcmp(data_ + at, text.data(), text.size()) == 0;
    }
    std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }

private:
    const std::uint8_t* data_;
    std::size_t size_;
};

}  // namespace cli
