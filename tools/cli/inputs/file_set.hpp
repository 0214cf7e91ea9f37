// Files by name, of a directory or of an archive.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

struct zip;

namespace cli {

/// Regular files of a directory, of an uncompressed tar archive (ustar, GNU or pax names) or, where the build has libzip, of a zip
/// archive, read one at a time; a hard link in a tar archive is the file that it leads to. The names of an archive lose a leading
/// "./"; those in a directory are paths relative to it. Threads may share one.
class FileSet {
public:
    /// Opens `path`; an archive's headers are read, its contents are not. Throws retinaface::Error (io, bad_format, unsupported).
    explicit FileSet(const std::string& path);

    const std::string& path() const { return path_; }
    bool is_archive() const { return archive_ != nullptr || zip_ != nullptr; }

    /// Names of an archive's files in their order there; of a directory none.
    const std::vector<std::string>& names() const { return names_; }

    /// Names of what an archive has beside files and directories: symbolic links, devices, hard links that lead to no file before them.
    const std::vector<std::string>& others() const { return others_; }

    bool contains(const std::string& name) const;

    /// The bytes of a file. Throws retinaface::Error (io): missing, larger than `limit`, unreadable, or a name that leads out of the
    /// directory (absolute, or with a part ".."). Links inside the directory are followed.
    std::vector<std::uint8_t> read(const std::string& name, std::size_t limit) const;

private:
    struct Entry {
        std::uint64_t offset;  ///< zip: index
        std::uint64_t size;
    };
    struct Close {
        void operator()(std::FILE* file) const;
        void operator()(zip* archive) const;
    };

    void add(std::string name, Entry entry);
    void read_tar_headers();
    void open_zip();
    std::vector<std::uint8_t> read_zip(const Entry& entry) const;

    std::string path_;
    std::unique_ptr<std::FILE, Close> archive_;  // tar
    std::unique_ptr<zip, Close> zip_;
    mutable std::mutex zip_mutex_;
    std::map<std::string, Entry> entries_;
    std::vector<std::string> names_, others_;
};

/// Whether a path is named like an archive that FileSet reads: .tar, .zip.
bool is_archive_name(const std::string& path);

/// The extension of a path, lower case, without its dot.
std::string extension_of(const std::string& path);

}  // namespace cli
