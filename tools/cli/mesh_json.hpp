// Poses and dense landmarks as this tool writes them.
#pragma once

#include <array>
#include <cstdio>
#include <string>

#include "json.hpp"
#include "retinaface/mesh/pose.hpp"

namespace cli {

inline Json to_json(const retinaface::Pose& pose) { return {{"yaw", pose.yaw}, {"pitch", pose.pitch}, {"roll", pose.roll}}; }

inline Json to_json(const std::array<std::array<float, 3>, 68>& landmarks) {
    Json list = Json::array();
    for (const std::array<float, 3>& p : landmarks) list.push_back(Json::array({p[0], p[1], p[2]}));
    return list;
}

inline std::string to_text(float score) {
    char text[32];
    std::snprintf(text, sizeof text, "%.4f", static_cast<double>(score));
    return text;
}

inline std::string to_text(const retinaface::Pose& pose) {
    char text[96];
    std::snprintf(text, sizeof text, "  yaw %.1f pitch %.1f roll %.1f", static_cast<double>(pose.yaw),
                  static_cast<double>(pose.pitch), static_cast<double>(pose.roll));
    return text;
}

}  // namespace cli
