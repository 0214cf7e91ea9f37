// JSON as this tool writes it.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "retinaface/face.hpp"

namespace cli {

/// Keys in the order they were added; numbers are float32, written with as few digits as give the same float32 back.
using Json = nlohmann::basic_json<nlohmann::ordered_map, std::vector, std::string, bool, std::int64_t, std::uint64_t, float>;

inline Json to_json(const retinaface::Face& face) {
    Json landmarks = Json::array();
    for (const retinaface::Point& point : face.landmarks) landmarks.push_back(Json::array({point.x, point.y}));
    const retinaface::Box& box = face.box;
    return {{"score", face.score}, {"box", Json::array({box.x1, box.y1, box.x2, box.y2})}, {"landmarks", std::move(landmarks)}};
}

/// One line, without its end. File names need not be UTF-8; what is not is replaced.
inline std::string to_line(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace cli
