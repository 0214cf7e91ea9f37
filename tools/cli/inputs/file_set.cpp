#include "inputs/file_set.hpp"

#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#ifdef RETINAFACE_CLI_HAS_ZIP
#include <zip.h>
#endif

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

/// What the first bytes of an archive that is not read here say it is; empty: nothing known.
std::string foreign_format(const Block& start) {
    constexpr std::pair<const char*, const char*> kKnown[] = {{"\x1f\x8b", "gzip"},
                                                              {"BZh", "bzip2"},
                                                              {"\xfd"
                                                               "7zXZ",
                                                               "xz"},
                                                              {"\x28\xb5\x2f\xfd", "Zstandard"},
                                                              {"7z\xbc\xaf", "7-Zip"},
                                                              {"Rar!", "RAR"}};
    for (const auto& [magic, name] : kKnown)
        if (std::memcmp(start.data(), magic, std::strlen(magic)) == 0) return name;
    return "";
}

}  // namespace

std::string extension_of(const std::string& path) {
    std::string extension = std::filesystem::path(path).extension().string();
    if (!extension.empty()) extension.erase(0, 1);
    for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return extension;
}

bool is_archive_name(const std::string& path) { return extension_of(path) == "tar" || extension_of(path) == "zip"; }

void FileSet::Close::operator()(std::FILE* file) const { std::fclose(file); }

FileSet::FileSet(const std::string& path) : path_(path) {
    std::error_code ignored;
    if (std::filesystem::is_directory(path, ignored)) return;
    archive_.reset(std::fopen(path.c_str(), "rb"));
    if (archive_ == nullptr) throw Error(ErrorCode::io, path + ": cannot open: " + std::strerror(errno));
    Block start = {};
    const std::size_t count = std::fread(start.data(), 1, kBlock, archive_.get());
    if (count >= 4 && (std::memcmp(start.data(), "PK\3\4", 4) == 0 || std::memcmp(start.data(), "PK\5\6", 4) == 0)) {
        archive_.reset();
        open_zip();
        return;
    }
    if (const std::string format = foreign_format(start); !format.empty())
        throw Error(ErrorCode::bad_format,
                    path + ": " + format + " data: only uncompressed tar and zip archives are read; unpack it first");
    read_tar_headers();
}

void FileSet::add(std::string name, Entry entry) {
    name = without_dot(name);
    // Of two files of one name the last one counts, as when the archive is unpacked.
    if (entries_.count(name) == 0) names_.push_back(name);
    entries_[name] = entry;
}

void FileSet::read_tar_headers() {
    const auto fail = [&](std::uint64_t offset, const char* what) {
        throw Error(ErrorCode::bad_format, path_ + ": no tar archive: " + what + " at byte " + std::to_string(offset));
    };
    constexpr std::uint64_t kLongestName = 1 << 16;
    Block block;
    std::string long_name, long_target;
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
        if (type == 'L' || type == 'K' || type == 'x') {
            if (size > kLongestName) fail(at, "name too long");
            std::string data(static_cast<std::size_t>(size), '\0');
            if (std::fread(&data[0], 1, data.size(), archive_.get()) != data.size()) fail(at, "truncated name");
            const std::string name = type == 'x' ? pax_value(data, "path") : type == 'L' ? data.c_str() : "";
            const std::string target = type == 'x' ? pax_value(data, "linkpath") : type == 'K' ? data.c_str() : "";
            if (!name.empty()) long_name = name;
            if (!target.empty()) long_target = target;
        } else if (type != 'g' && type != '5') {
            std::string name = text(block.data(), 100);
            const std::string prefix = text(block.data() + 345, 155);
            const bool ustar = std::memcmp(block.data() + 257, "ustar\0", 6) == 0;
            if (ustar && !prefix.empty()) name = prefix + "/" + name;
            if (!long_name.empty()) name = long_name;
            if (type == '0' || type == 0 || type == '7') {
                add(name, {at + kBlock, size});
            } else {
                const auto target = entries_.find(without_dot(long_target.empty() ? text(block.data() + 157, 100) : long_target));
                if (type == '1' && target != entries_.end())
                    add(name, target->second);
                else
                    others_.push_back(without_dot(name));
            }
        }
        if (type != 'L' && type != 'K' && type != 'x') {
            long_name.clear();
            long_target.clear();
        }
        at += (size + kBlock - 1) / kBlock * kBlock;
    }
}

#ifdef RETINAFACE_CLI_HAS_ZIP

void FileSet::Close::operator()(zip* archive) const { zip_discard(archive); }

void FileSet::open_zip() {
    int code = 0;
    zip_.reset(::zip_open(path_.c_str(), ZIP_RDONLY, &code));
    if (zip_ == nullptr) {
        zip_error_t error;
        zip_error_init_with_code(&error, code);
        const std::string reason = zip_error_strerror(&error);
        zip_error_fini(&error);
        throw Error(ErrorCode::bad_format, path_ + ": no zip archive: " + reason);
    }
    const zip_int64_t count = zip_get_num_entries(zip_.get(), 0);
    for (zip_uint64_t i = 0; i < static_cast<zip_uint64_t>(count); ++i) {
        zip_stat_t stat;
        if (zip_stat_index(zip_.get(), i, ZIP_FL_ENC_RAW, &stat) != 0 || (stat.valid & ZIP_STAT_NAME) == 0) continue;
        const std::string name = stat.name;
        if (!name.empty() && name.back() != '/') add(name, {i, (stat.valid & ZIP_STAT_SIZE) != 0 ? stat.size : 0});
    }
}

std::vector<std::uint8_t> FileSet::read_zip(const Entry& entry) const {
    std::lock_guard<std::mutex> lock(zip_mutex_);
    const std::unique_ptr<zip_file_t, int (*)(zip_file_t*)> file(zip_fopen_index(zip_.get(), entry.offset, 0), zip_fclose);
    if (file == nullptr) throw Error(ErrorCode::io, "cannot read from " + path_ + ": " + zip_strerror(zip_.get()));
    // In steps: the size in the directory is what the archive claims.
    std::vector<std::uint8_t> bytes;
    while (bytes.size() < entry.size) {
        const std::size_t used = bytes.size();
        bytes.resize(std::min<std::uint64_t>(entry.size, std::max<std::uint64_t>(1 << 16, 2 * used)));
        const zip_int64_t count = zip_fread(file.get(), bytes.data() + used, bytes.size() - used);
        if (count <= 0)
            throw Error(ErrorCode::io,
                        "cannot read from " + path_ + ": " + (count < 0 ? zip_file_strerror(file.get()) : "truncated"));
        bytes.resize(used + static_cast<std::size_t>(count));
    }
    // libzip compares the checksum when it reads the end.
    std::uint8_t beyond = 0;
    if (zip_fread(file.get(), &beyond, 1) < 0)
        throw Error(ErrorCode::io, "cannot read from " + path_ + ": " + zip_file_strerror(file.get()));
    return bytes;
}

#else

void FileSet::Close::operator()(zip*) const {}

void FileSet::open_zip() {
    throw Error(ErrorCode::unsupported, path_ + ": this build reads no zip archives (libzip was not found)");
}

std::vector<std::uint8_t> FileSet::read_zip(const Entry&) const { return {}; }

#endif

bool FileSet::contains(const std::string& name) const {
    if (is_archive()) return entries_.count(without_dot(name)) > 0;
    std::error_code ignored;
    return std::filesystem::is_regular_file(std::filesystem::path(path_) / name, ignored);
}

std::vector<std::uint8_t> FileSet::read(const std::string& name, std::size_t limit) const {
    if (!is_archive()) {
        const std::filesystem::path path(name);
        if (path.is_absolute() || std::find(path.begin(), path.end(), "..") != path.end())
            throw Error(ErrorCode::io, "leads out of " + path_);
        return read_file((std::filesystem::path(path_) / path).string(), limit);
    }
    const auto entry = entries_.find(without_dot(name));
    if (entry == entries_.end()) throw Error(ErrorCode::io, "not in " + path_);
    if (entry->second.size > limit) throw Error(ErrorCode::io, "file is larger than " + std::to_string(limit) + " bytes");
    if (zip_ != nullptr) return read_zip(entry->second);
    // By its own position, so that threads may read at once. In steps: a size is only what a header claims.
    std::vector<std::uint8_t> bytes;
    while (bytes.size() < entry->second.size) {
        const std::size_t used = bytes.size();
        bytes.resize(std::min<std::uint64_t>(entry->second.size, std::max<std::uint64_t>(1 << 20, 2 * used)));
        const ssize_t count = pread(fileno(archive_.get()), bytes.data() + used, bytes.size() - used,
                                    static_cast<off_t>(entry->second.offset + used));
        if (count <= 0) throw Error(ErrorCode::io, "cannot read from " + path_ + (count == 0 ? ": truncated" : ""));
        bytes.resize(used + static_cast<std::size_t>(count));
    }
    return bytes;
}

}  // namespace cli
