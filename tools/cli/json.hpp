// JSON as this tool writes it.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "retinaface/face.hpp"
#include "text.hpp"

namespace cli {

/// Keys in the order they were added; numbers are float32, written with as few digits as give the same float32 back.
using Json = nlohmann::basic_json<nlohmann::ordered_map, std::vector, std::string, bool, std::int64_t, std::uint64_t, float>;

inline Json to_json(const retinaface::Face& face) {
    Json landmarks = Json::array();
    for (const retinaface::Point& point : face.landmarks) landmarks.push_back(Json::array({point.x, point.y}));
    const retinaface::Box& box = face.box;
    return {{"score", face.score}, {"box", Json::array({box.x1, box.y1, box.x2, box.y2})}, {"landmarks", std::move(landmarks)}};
}

/// An object about the file `name`: {"file": name}, and where the name is not UTF-8 its bytes in base64 as "file_bytes" (what is
/// not UTF-8 in "file" is replaced by U+FFFD).
inline Json about_file(const std::string& name) {
    Json line = {{"file", name}};
    if (!is_utf8(name)) line["file_bytes"] = base64(name);
    return line;
}

/// One line, without its end.
inline std::string to_line(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace cli
