// Text files, line by line.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "inputs/byte_stream.hpp"
#include "retinaface/error.hpp"

namespace cli {

constexpr std::size_t kLongestLine = std::size_t{1} << 28;

/// Calls use(line) with every line of a file, without its end (\n or \r\n), but for empty ones. What use() throws as retinaface::Error
/// or as an error of JSON is led by the file's name and the line's number.
template <class Use>
void for_each_line(const std::string& path, Use use) {
    ByteStream stream(path);
    std::size_t count = 0;
    for (std::string line; stream.read_line(line, '\n', kLongestLine);) {
        ++count;
        while (!line.empty() && (line.back() == '\r' || line.back() == ' ' || line.back() == '\t')) line.pop_back();
        if (line.empty()) continue;
        const auto where = [&] { return path + ":" + std::to_string(count) + ": "; };
        try {
            use(line);
        } catch (const nlohmann::json::exception& error) {
            // Less the exception's own name in brackets.
            const std::string text = error.what();
            const std::size_t name = text.find("] ");
            throw retinaface::Error(retinaface::ErrorCode::bad_format, where() + text.substr(name < text.size() ? name + 2 : 0));
        } catch (const retinaface::Error& error) {
            throw retinaface::Error(error.code(), where() + error.what());
        }
    }
}

/// The words of a line that blanks separate; views into it.
std::vector<std::string_view> words(const std::string& line);

/// Whole words as numbers. Throw retinaface::Error (bad_format).
double to_double(std::string_view word);
std::size_t to_index(std::string_view word);

/// A list of `count` numbers. Throws retinaface::Error (bad_format), or an error of JSON.
std::vector<float> floats(const nlohmann::json& list, std::size_t count);

}  // namespace cli
