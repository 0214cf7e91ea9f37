#include "records.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>

#include "json.hpp"
#include "retinaface/error.hpp"
#include "text.hpp"

namespace cli {

using retinaface::Error;
using retinaface::ErrorCode;
using retinaface::Face;

namespace {

std::string float_text(float value) {
    char buffer[32];
    const std::to_chars_result end = std::to_chars(buffer, buffer + sizeof buffer, value);
    return {buffer, end.ptr};
}

std::string quoted(const std::string& field) {
    if (field.find_first_of(",\"\r\n") == std::string::npos) return field;
    std::string text = "\"";
    for (const char c : field) text += c == '"' ? std::string("\"\"") : std::string(1, c);
    return text + "\"";
}

std::string as_text(const std::string& name, const PictureFacts& facts, retinaface::Span<const Face> faces,
                    const std::vector<FaceNote>& notes) {
    std::string text = printable(name) + ": " + std::to_string(facts.width) + " x " + std::to_string(facts.height) + ", " +
                       std::to_string(faces.size()) + (faces.size() == 1 ? " face" : " faces");
    const auto pixels = [](float v) { return number(" %.1f", static_cast<double>(v)); };
    for (std::size_t i = 0; i < faces.size(); ++i) {
        const Face& face = faces[i];
        text += number("\n  %.4f  box", static_cast<double>(face.score)) + pixels(face.box.x1) + pixels(face.box.y1) +
                pixels(face.box.x2) + pixels(face.box.y2) + "  landmarks";
        for (const retinaface::Point& point : face.landmarks) text += pixels(point.x) + pixels(point.y);
        if (!notes.empty()) text += notes[i].text;
    }
    return text;
}

std::string as_csv(const std::string& name, const PictureFacts& facts, retinaface::Span<const Face> faces) {
    const std::string start = quoted(name) + "," + std::to_string(facts.width) + "," + std::to_string(facts.height) + "," +
                              std::to_string(faces.size()) + ",";
    const std::string end = "," + std::to_string(facts.rotation) + ",";
    if (faces.empty()) return start + std::string(15, ',') + end;
    std::string text;
    for (std::size_t i = 0; i < faces.size(); ++i) {
        const Face& face = faces[i];
        text += (i > 0 ? "\n" : "") + start + std::to_string(i) + "," + float_text(face.score);
        for (const float v : {face.box.x1, face.box.y1, face.box.x2, face.box.y2}) text += "," + float_text(v);
        for (const retinaface::Point& point : face.landmarks) text += "," + float_text(point.x) + "," + float_text(point.y);
        text += end;
    }
    return text;
}

std::string as_json(const std::string& name, const PictureFacts& facts, retinaface::Span<const Face> faces,
                    const std::vector<FaceNote>& notes) {
    Json line = about_file(name), list = Json::array();
    for (std::size_t i = 0; i < faces.size(); ++i) {
        list.push_back(to_json(faces[i]));
        if (!notes.empty()) list.back().update(notes[i].json);
    }
    add_facts(line, facts, std::move(list));
    return to_line(line);
}

/// Reads a file line by line, or row by row where quotes may hold line ends.
class Rows {
public:
    Rows(const std::string& path, bool quotes) : file_(std::fopen(path.c_str(), "rb")), path_(path), quotes_(quotes) {}
    ~Rows() {
        if (file_ != nullptr) std::fclose(file_);
    }
    Rows(const Rows&) = delete;
    Rows& operator=(const Rows&) = delete;

    bool open() const { return file_ != nullptr; }

    /// The next whole row without its end; none where the file ends before the row does.
    std::optional<std::string> next() {
        std::string row;
        bool inside = false;
        for (int c; (c = std::getc(file_)) != EOF;) {
            ++bytes_;
            if (quotes_ && c == '"') inside = !inside;
            if (c == '\n' && !inside) return row;
            row += static_cast<char>(c);
        }
        if (std::ferror(file_) != 0) throw Error(ErrorCode::io, "cannot read " + path_ + ": " + std::strerror(errno));
        return std::nullopt;
    }

    /// Up to the end of the last row.
    std::uint64_t bytes() const { return bytes_; }

private:
    std::FILE* file_;
    std::string path_;
    bool quotes_;
    std::uint64_t bytes_ = 0;
};

struct Name {
    std::string text;
    bool error = false;
    std::size_t rows = 1;  ///< that the picture has
    std::vector<std::string> files;
};

Name name_in_json(const std::string& row) {
    const Json line = Json::parse(row);
    Name name;
    name.text = line.at("file").get<std::string>();
    if (line.contains("file_bytes")) {
        const std::optional<std::string> bytes = from_base64(line.at("file_bytes").get<std::string>());
        if (!bytes) throw Error(ErrorCode::bad_format, "file_bytes is not base64");
        name.text = *bytes;
    }
    name.error = line.contains("error");
    if (name.error) return name;
    for (const Json& face : line.at("faces"))
        for (const char* kind : {"crop", "obj", "ply"})
            if (face.contains(kind)) name.files.push_back(face.at(kind).get<std::string>());
    return name;
}

Name name_in_csv(const std::string& row) {
    std::vector<std::string> fields(1);
    bool inside = false;
    for (std::size_t i = 0; i < row.size(); ++i) {
        if (row[i] == '"') {
            if (inside && i + 1 < row.size() && row[i + 1] == '"')
                fields.back() += row[i++];
            else
                inside = !inside;
        } else if (row[i] == ',' && !inside) {
            fields.emplace_back();
        } else {
            fields.back() += row[i];
        }
    }
    const auto columns = static_cast<std::size_t>(1 + std::count(kCsvHeader, kCsvHeader + std::strlen(kCsvHeader), ','));
    if (fields.size() != columns)
        throw Error(ErrorCode::bad_format,
                    "expected " + std::to_string(columns) + " columns, found " + std::to_string(fields.size()));
    Name name;
    name.text = fields[0];
    name.error = !fields.back().empty();
    const std::string& faces = fields[3];
    std::size_t count = 0;
    std::from_chars(faces.data(), faces.data() + faces.size(), count);
    name.rows = std::max<std::size_t>(1, count);
    return name;
}

}  // namespace

std::string first_of(RecordFormat format) { return format == RecordFormat::csv ? std::string(kCsvHeader) + "\n" : "{\"file\":"; }

void add_facts(Json& line, const PictureFacts& facts, Json faces) {
    line["width"] = facts.width;
    line["height"] = facts.height;
    line["faces"] = std::move(faces);
    if (facts.rotation != 0) line["rotation"] = facts.rotation;
    if (!facts.warning.empty()) line["warning"] = facts.warning;
}

std::string record(RecordFormat format, const std::string& name, const PictureFacts& facts, retinaface::Span<const Face> faces,
                   const std::vector<FaceNote>& notes) {
    switch (format) {
        case RecordFormat::json: return as_json(name, facts, faces, notes);
        case RecordFormat::csv: return as_csv(name, facts, faces);
        case RecordFormat::text: break;
    }
    return as_text(name, facts, faces, notes);
}

std::string error_record(RecordFormat format, const std::string& name, const std::string& error) {
    if (format == RecordFormat::csv) return quoted(name) + std::string(21, ',') + quoted(printable(error));
    if (format == RecordFormat::text) return "";
    Json line = about_file(name);
    line["error"] = printable(error);
    return to_line(line);
}

ExistingRecords read_records(RecordFormat format, const std::string& path) {
    ExistingRecords found;
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored)) return found;
    if (!std::filesystem::is_regular_file(path, ignored))
        throw Error(ErrorCode::invalid_argument, "--resume: expected a file to go on with, found " + path + ", which is none");
    Rows rows(path, format == RecordFormat::csv);
    if (!rows.open()) throw Error(ErrorCode::io, "cannot read " + path + ": " + std::strerror(errno));
    if (format == RecordFormat::csv) {
        const std::optional<std::string> header = rows.next();
        if (!header) return found;  // nothing, or a torn header
        if (*header != kCsvHeader)
            throw Error(ErrorCode::bad_format, path + ": does not begin with the columns that this program writes");
        found.bytes = rows.bytes();
    }
    for (std::optional<std::string> row; (row = rows.next());) {
        Name name;
        try {
            name = format == RecordFormat::csv ? name_in_csv(*row) : name_in_json(*row);
        } catch (const std::exception& error) {
            throw Error(ErrorCode::bad_format, path + ": record " + std::to_string(found.found.size() + found.failed.size() + 1) +
                                                   " is none that this program wrote: " + printable(error.what()));
        }
        for (std::size_t more = 1; more < name.rows; ++more)
            if (!rows.next()) return found;
        found.bytes = rows.bytes();
        (name.error ? found.failed : found.found).push_back(name.text);
        found.files.insert(found.files.end(), name.files.begin(), name.files.end());
    }
    return found;
}

}  // namespace cli
