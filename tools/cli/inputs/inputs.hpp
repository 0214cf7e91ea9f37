// Which pictures the arguments of a subcommand mean, and where results about them go.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "inputs/byte_stream.hpp"
#include "inputs/file_set.hpp"

namespace cli {

/// Whether a file is named like a picture of a format that this tool knows.
bool is_picture_name(const std::string& path);

/// A picture to read, or what was wrong with the argument that should have named some.
struct Input {
    std::string name;   ///< as results name it: the path, "ARCHIVE/MEMBER", "-" for standard input
    std::string error;  ///< empty: none

    std::shared_ptr<const FileSet> archive;  ///< that the picture is in; none: a file
    std::string member;

    /// The file's bytes. Throws retinaface::Error (io).
    std::vector<std::uint8_t> read(std::size_t limit) const;
};

struct InputArguments {
    std::vector<std::string> images;
    std::string list;
    bool null_separated = false;
};

/// Adds IMAGE|DIR|TAR|ZIP|-..., --files-from and -0; `arguments` outlives the parse, which fails where no picture is named. `check` is
/// called at its end too.
void add_input_arguments(CLI::App& command, InputArguments& arguments, std::function<void()> check);

/// The pictures, in order: files as given; a directory stands for the picture files in it and below, sorted by path, an archive for
/// those in it. What a directory or archive holds besides is counted and named on standard error, once and in one line; what cannot be
/// read becomes an Input with an error. Names on standard input are taken as they come. One thread at a time.
class Inputs {
public:
    explicit Inputs(const InputArguments& arguments);

    std::optional<Input> next();

    /// Inputs that are still to come; none where names come from a stream.
    std::optional<std::size_t> left() const;

    /// Waits for every name, and returns the inputs that are still to come.
    const std::deque<Input>& all();

private:
    void expand(const std::string& argument);
    void expand_directory(const std::string& directory);
    void expand_archive(const std::string& path);
    bool read_name();

    std::deque<Input> queue_;
    std::unique_ptr<ByteStream> names_;
    char separator_;
};

/// Names for files `<stem>.png` in one directory, each given once: the second `a` becomes a_2.png, and no input that lies in that
/// directory is ever overwritten.
class OutputNames {
public:
    /// Creates the directory. Throws retinaface::Error (io).
    OutputNames(std::string directory, const std::deque<Input>& inputs);

    /// A path that an earlier run gave.
    void take(const std::string& path);

    /// The path for the picture made from `input`.
    std::string next(const std::string& input);

    using FileIdentity = std::pair<std::uintmax_t, std::uintmax_t>;  ///< device and inode

private:
    bool is_input(const std::string& name) const;

    std::string directory_;
    std::set<std::string> used_;
    std::set<FileIdentity> inputs_;      ///< whatever they are named in the directory
    std::map<std::string, int> counts_;  ///< of stems: where to go on looking for a free name
};

}  // namespace cli
