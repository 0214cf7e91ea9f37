#include "tar.hpp"

#include <sys/types.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "image_file.hpp"
#include "retinaface/error.hpp"

namespace cli {

using retinaface::Error;
using retinaface::ErrorCode;

namespace {

constexpr std::size_t kBlock = 512;
using Block = std::array<unsigned char, kBlock>;

// A field of octal digits, or GNU's big-endian binary for what they cannot hold. False: neither.
bool parse_number(const unsigned char* field, std::size_t length, std::uint64_t& value) {
    value = 0;
    if ((field[0] & 0x80) != 0) {
        for (std::size_t i = 0; i < length; ++i) {
            const unsigned byte = i == 0 ? field[i] & 0x7Fu : field[i];
            if (value >> 48 != 0) return false;
            value = value << 8 | byte;
        }
        return true;
    }
    std::size_t i = 0;
    while (i < length && field[i] == ' ') ++i;
    for (; i < length && field[i] != 0 && field[i] != ' '; ++i) {
        if (field[i] < '0' || field[i] > '7') return false;
        value = value << 3 | static_cast<std::uint64_t>(field[i] - '0');
    }
    return true;
}

bool checksum_holds(const Block& block) {
    std::uint64_t stored = 0, sum = 0;
    for (std::size_t i = 0; i < kBlock; ++i) sum += i >= 148 && i < 156 ? ' ' : block[i];
    return parse_number(block.data() + 148, 8, stored) && stored == sum;
}

std::string text(const unsigned char* field, std::size_t length) {
    const char* begin = reinterpret_cast<const char*>(field);
    return {begin, strnlen(begin, length)};
}

// The value of `key` in a pax header: records "LENGTH KEY=VALUE\n".
std::string pax_value(const std::string& records, const std::string& key) {
    std::string value;
    for (std::size_t at = 0; at < records.size();) {
        std::size_t length = 0, digits = at;
        for (; digits < records.size() && records[digits] >= '0' && records[digits] <= '9' && length < records.size(); ++digits)
            length = 10 * length + static_cast<std::size_t>(records[digits] - '0');
        if (length == 0 || length > records.size() - at || digits + 1 >= at + length) break;
        const std::string record = records.substr(digits + 1, at + length - digits - 2);
        if (record.compare(0, key.size() + 1, key + "=") == 0) value = record.substr(key.size() + 1);
        at += length;
    }
    return value;
}

std::string without_dot(const std::string& name) { return name.compare(0, 2, "./") == 0 ? name.substr(2) : name; }

}  // namespace

FileSet::FileSet(const std::string& path) : path_(path) {
    std::error_code ignored;
    if (std::filesystem::is_directory(path, ignored)) return;
    archive_.reset(std::fopen(path.c_str(), "rb"));
    if (archive_ == nullptr) throw Error(ErrorCode::io, path + ": cannot open: " + std::strerror(errno));
    read_headers();
}

void FileSet::read_headers() {
    const auto fail = [&](std::uint64_t offset, const char* what) {
        throw Error(ErrorCode::bad_format, path_ + ": no tar archive: " + what + " at byte " + std::to_string(offset));
    };
    constexpr std::uint64_t kLongestName = 1 << 16;
    Block block;
    std::string long_name;
    std::uint64_t at = 0;
    for (;; at += kBlock) {
        if (fseeko(archive_.get(), static_cast<off_t>(at), SEEK_SET) != 0) fail(at, "cannot seek");
        const std::size_t count = std::fread(block.data(), 1, kBlock, archive_.get());
        if (count == 0 && at > 0) return;  // some writers leave out the two empty blocks
        if (count != kBlock) fail(at, "truncated header");
        if (block[0] == 0) return;
        std::uint64_t size = 0;
        if (!checksum_holds(block) || !parse_number(block.data() + 124, 12, size)) fail(at, "malformed header");
        const unsigned char type = block[156];
        if (type == 'L' || type == 'x') {
            if (size > kLongestName) fail(at, "name too long");
            std::string data(static_cast<std::size_t>(size), '\0');
            if (std::fread(&data[0], 1, data.size(), archive_.get()) != data.size()) fail(at, "truncated name");
            const std::string name = type == 'L' ? std::string(data.c_str()) : pax_value(data, "path");
            if (!name.empty()) long_name = name;
        } else {
            if (type == '0' || type == 0) {
                std::string name = text(block.data(), 100);
                const std::string prefix = text(block.data() + 345, 155);
                const bool ustar = std::memcmp(block.data() + 257, "ustar\0", 6) == 0;
                if (ustar && !prefix.empty()) name = prefix + "/" + name;
                if (!long_name.empty()) name = long_name;
                entries_[without_dot(name)] = {at + kBlock, size};
            }
            long_name.clear();
        }
        at += (size + kBlock - 1) / kBlock * kBlock;
    }
}

std::vector<std::uint8_t> FileSet::read(const std::string& name, std::size_t limit) const {
    if (archive_ == nullptr) return read_file((std::filesystem::path(path_) / name).string(), limit);
    const auto entry = entries_.find(without_dot(name));
    if (entry == entries_.end()) throw Error(ErrorCode::io, "not in " + path_);
    if (entry->second.size > limit) throw Error(ErrorCode::io, "file is larger than " + std::to_string(limit) + " bytes");
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(entry->second.size));
    if (fseeko(archive_.get(), static_cast<off_t>(entry->second.offset), SEEK_SET) != 0 ||
        std::fread(bytes.data(), 1, bytes.size(), archive_.get()) != bytes.size())
        throw Error(ErrorCode::io, "cannot read from " + path_);
    return bytes;
}

}  // namespace cli
