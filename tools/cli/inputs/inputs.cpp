#include "inputs/inputs.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "image_file.hpp"
#include "retinaface/error.hpp"
#include "text.hpp"

namespace cli {

namespace fs = std::filesystem;
using retinaface::Error;
using retinaface::ErrorCode;

namespace {

constexpr std::size_t kLongestName = 1 << 16;

enum class Kind { picture, unread_format, apple_double, thumbnails, archive, foreign, special, linked_directory };

constexpr std::pair<Kind, const char*> kLeftOut[] = {{Kind::foreign, "not named like a picture"},
                                                     {Kind::unread_format, "of formats that this build does not read"},
                                                     {Kind::apple_double, "of macOS, beside other files (._*)"},
                                                     {Kind::thumbnails, "databases of thumbnails"},
                                                     {Kind::archive, "archives (name them as arguments)"},
                                                     {Kind::special, "neither file nor directory"},
                                                     {Kind::linked_directory, "links to directories"}};

Kind kind_by_name(const std::string& path) {
    const std::string name = fs::path(path).filename().string();
    if (name.compare(0, 2, "._") == 0) return Kind::apple_double;
    for (const char* known :
         {"Thumbs.db", "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", ".DS_Store", "desktop.ini", "Desktop.ini", ".picasa.ini"})
        if (name == known) return Kind::thumbnails;
    if (const Decoder* decoder = decoder_for_extension(fs::path(path).extension().string()))
        return decoder->reading.read != nullptr ? Kind::picture : Kind::unread_format;
    return is_archive_name(path) ? Kind::archive : Kind::foreign;
}

/// Files that were left out of a directory or an archive, and why.
class LeftOut {
public:
    void add(Kind kind, const std::string& name) {
        auto& [count, names] = files_[kind];
        if (++count <= kNamed) names += (count > 1 ? ", " : "") + name;
    }

    void report(const std::string& where) const {
        std::string text;
        std::size_t total = 0;
        for (const auto& [kind, reason] : kLeftOut) {
            const auto found = files_.find(kind);
            if (found == files_.end()) continue;
            const auto& [count, names] = found->second;
            total += count;
            text += (text.empty() ? ": " : "; ") + std::to_string(count) + " " + reason + ": " + names;
            if (count > kNamed) text += " and " + std::to_string(count - kNamed) + " more";
        }
        if (total > 0) complain(where, "left out " + std::to_string(total) + (total == 1 ? " file" : " files") + text);
    }

private:
    static constexpr std::size_t kNamed = 20;
    std::map<Kind, std::pair<std::size_t, std::string>> files_;
};

/// Collects what is under `directory`; one that cannot be read becomes an Input with an error, and the walk goes on.
void walk(const fs::path& directory, const fs::path& top, std::vector<std::pair<fs::path, std::string>>& found,
          LeftOut& left_out) {
    std::error_code error;
    std::vector<fs::path> below;
    for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
        std::error_code ignored;
        const fs::path& path = it->path();
        const bool link = it->is_symlink(ignored);
        if (it->is_directory(ignored)) {
            if (link)
                left_out.add(Kind::linked_directory, path.lexically_relative(top).string());
            else
                below.push_back(path);
            continue;
        }
        Kind kind = kind_by_name(path.string());
        // A link that leads nowhere is a picture that cannot be opened.
        if (kind == Kind::picture && !it->is_regular_file(ignored) && it->exists(ignored)) kind = Kind::special;
        if (kind == Kind::picture)
            found.emplace_back(path, "");
        else
            left_out.add(kind, path.lexically_relative(top).string());
    }
    if (error) found.emplace_back(directory, "cannot read directory: " + error.message());
    std::sort(below.begin(), below.end());
    for (const fs::path& path : below) walk(path, top, found, left_out);
}

}  // namespace

bool is_picture_name(const std::string& path) { return decoder_for_extension(fs::path(path).extension().string()) != nullptr; }

std::vector<std::uint8_t> Input::read(std::size_t limit) const {
    if (archive != nullptr) return archive->read(member, limit);
    if (name != "-") return read_file(name, limit);
    ByteStream stream("-");
    std::vector<std::uint8_t> bytes;
    for (std::size_t used = 0; used == bytes.size();) {
        if (used > limit) throw Error(ErrorCode::io, "file is larger than " + std::to_string(limit) + " bytes");
        bytes.resize(std::max<std::size_t>(1 << 16, 2 * used));
        used += stream.read(bytes.data() + used, bytes.size() - used);
        if (used < bytes.size()) {
            bytes.resize(used);
            break;
        }
    }
    if (bytes.size() > limit) throw Error(ErrorCode::io, "file is larger than " + std::to_string(limit) + " bytes");
    return bytes;
}

void add_input_arguments(CLI::App& command, InputArguments& arguments, std::function<void()> check) {
    command
        .add_option("images", arguments.images,
                    "Pictures, directories of them, tar or zip archives of them; -: a picture on standard input")
        ->type_name("IMAGE|DIR|TAR|ZIP|-");
    CLI::Option* list =
        command
            .add_option("--files-from", arguments.list,
                        "Also the pictures, directories and archives that FILE, or with - standard input, names, one a line")
            ->type_name("FILE|-");
    command
        .add_flag("-0,--null", arguments.null_separated,
                  "The names of --files-from end in a byte 0 (find -print0), not in a newline")
        ->needs(list);
    command.callback([&command, &arguments, check = std::move(check)] {
        if (arguments.images.empty() && arguments.list.empty())
            throw CLI::RequiredError("IMAGE, DIR, TAR, ZIP, - or --files-from");
        const auto standard_input = std::count(arguments.images.begin(), arguments.images.end(), "-");
        if (standard_input + (arguments.list == "-" ? 1 : 0) > 1)
            throw CLI::ValidationError(command.get_name(), "standard input can be read once only");
        check();
    });
}

Inputs::Inputs(const InputArguments& arguments) : separator_(arguments.null_separated ? '\0' : '\n') {
    for (const std::string& argument : arguments.images) {
        if (argument == "-")
            queue_.push_back({"-", "", nullptr, ""});
        else
            expand(argument);
    }
    if (arguments.list.empty()) return;
    names_ = std::make_unique<ByteStream>(arguments.list);
    if (arguments.list != "-") all();
}

bool Inputs::read_name() {
    std::string name;
    while (names_ != nullptr) {
        if (!names_->read_line(name, separator_, kLongestName)) {
            names_.reset();
        } else {
            if (separator_ == '\n' && !name.empty() && name.back() == '\r') name.pop_back();
            if (name.empty()) continue;
            expand(name);
            return true;
        }
    }
    return false;
}

std::optional<Input> Inputs::next() {
    while (queue_.empty())
        if (!read_name()) return std::nullopt;
    std::optional<Input> input = std::move(queue_.front());
    queue_.pop_front();
    return input;
}

std::optional<std::size_t> Inputs::left() const {
    return names_ == nullptr ? std::optional<std::size_t>(queue_.size()) : std::nullopt;
}

const std::deque<Input>& Inputs::all() {
    while (read_name()) {
    }
    return queue_;
}

void Inputs::expand(const std::string& argument) {
    std::error_code ignored;
    if (fs::is_directory(argument, ignored))
        expand_directory(argument);
    else if (is_archive_name(argument))
        expand_archive(argument);
    else
        queue_.push_back({argument, "", nullptr, ""});
}

void Inputs::expand_directory(const std::string& directory) {
    std::vector<std::pair<fs::path, std::string>> found;
    LeftOut left_out;
    walk(directory, directory, found, left_out);
    std::sort(found.begin(), found.end());
    for (const auto& [path, error] : found) queue_.push_back({path.string(), error, nullptr, ""});
    if (found.empty()) queue_.push_back({directory, "directory without picture files", nullptr, ""});
    left_out.report(directory);
}

void Inputs::expand_archive(const std::string& path) {
    std::shared_ptr<const FileSet> archive;
    try {
        archive = std::make_shared<FileSet>(path);
    } catch (const Error& error) {
        const std::string message = error.what(), prefix = path + ": ";
        queue_.push_back(
            {path, message.compare(0, prefix.size(), prefix) == 0 ? message.substr(prefix.size()) : message, nullptr, ""});
        return;
    }
    LeftOut left_out;
    bool any = false;
    for (const std::string& name : archive->names()) {
        const Kind kind = kind_by_name(name);
        if (kind != Kind::picture) {
            left_out.add(kind, name);
            continue;
        }
        queue_.push_back({path + "/" + name, "", archive, name});
        any = true;
    }
    for (const std::string& name : archive->others()) left_out.add(Kind::special, name);
    if (!any) queue_.push_back({path, "archive without picture files", nullptr, ""});
    left_out.report(path);
}

namespace {

/// Of the file that a path leads to, through links too.
std::optional<OutputNames::FileIdentity> identity(const std::string& path) {
    struct stat status = {};
    if (stat(path.c_str(), &status) != 0) return std::nullopt;
    return OutputNames::FileIdentity(static_cast<std::uintmax_t>(status.st_dev), static_cast<std::uintmax_t>(status.st_ino));
}

}  // namespace

OutputNames::OutputNames(std::string directory, const std::deque<Input>& inputs) : directory_(std::move(directory)) {
    std::error_code failed;
    fs::create_directories(directory_, failed);
    if (!fs::is_directory(directory_, failed)) throw Error(ErrorCode::io, "cannot create directory " + directory_);
    for (const Input& input : inputs) {
        if (input.archive != nullptr || input.name == "-") continue;
        const fs::path path(input.name);
        const fs::path parent = path.has_parent_path() ? path.parent_path() : fs::path(".");
        if (fs::equivalent(parent, directory_, failed)) used_.insert(path.filename().string());
        if (const std::optional<FileIdentity> file = identity(input.name)) inputs_.insert(*file);
    }
}

void OutputNames::take(const std::string& path) { used_.insert(fs::path(path).filename().string()); }

std::string OutputNames::next(const std::string& input) {
    const std::string stem = input == "-" ? "standard_input" : fs::path(input).stem().string();
    int& count = counts_[stem];
    std::string name;
    do name = stem + (++count > 1 ? "_" + std::to_string(count) : "") + ".png";
    while (!used_.insert(name).second || is_input(name));
    return (fs::path(directory_) / name).string();
}

bool OutputNames::is_input(const std::string& name) const {
    const std::optional<FileIdentity> file = identity((fs::path(directory_) / name).string());
    return file && inputs_.count(*file) > 0;
}

}  // namespace cli
