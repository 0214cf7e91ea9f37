// Files of a tar archive, or of a directory: where `evaluate` finds its pictures.
#pragma once

#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace cli {

/// Regular files of a directory or of an uncompressed tar archive (ustar, GNU or pax names), read one at a time. The names of an
/// archive lose a leading "./"; those in a directory are paths relative to it.
class FileSet {
public:
    /// Opens `path`; an archive's headers are read, its contents are not. Throws retinaface::Error (io, bad_format).
    explicit FileSet(const std::string& path);

    /// The bytes of a file. Throws retinaface::Error (io): missing, larger than `limit`, unreadable.
    std::vector<std::uint8_t> read(const std::string& name, std::size_t limit) const;

private:
    struct Entry {
        std::uint64_t offset;
        std::uint64_t size;
    };
    struct Close {
        void operator()(std::FILE* file) const { std::fclose(file); }
    };

    void read_headers();

    std::string path_;
    std::unique_ptr<std::FILE, Close> archive_;  // none: a directory
    std::map<std::string, Entry> entries_;
};

}  // namespace cli
