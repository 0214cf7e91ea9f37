#include "evaluate/lines.hpp"

#include <charconv>

namespace cli {

using retinaface::Error;
using retinaface::ErrorCode;

namespace {

template <class Number>
Number parsed(std::string_view word, const char* what) {
    if (!word.empty() && word.front() == '+') word.remove_prefix(1);
    Number value{};
    const std::from_chars_result end = std::from_chars(word.data(), word.data() + word.size(), value);
    if (end.ec != std::errc() || end.ptr != word.data() + word.size())
        throw Error(ErrorCode::bad_format, std::string("expected ") + what + ", found '" + std::string(word.substr(0, 40)) + "'");
    return value;
}

}  // namespace

std::vector<std::string_view> words(const std::string& line) {
    std::vector<std::string_view> found;
    for (std::size_t at = 0; (at = line.find_first_not_of(" \t", at)) != std::string::npos;) {
        const std::size_t end = std::min(line.find_first_of(" \t", at), line.size());
        found.emplace_back(line.data() + at, end - at);
        at = end;
    }
    return found;
}

double to_double(std::string_view word) { return parsed<double>(word, "a number"); }
std::size_t to_index(std::string_view word) { return parsed<std::size_t>(word, "a whole number"); }

std::vector<float> floats(const nlohmann::json& list, std::size_t count) {
    const auto values = list.get<std::vector<float>>();
    if (values.size() != count)
        throw Error(ErrorCode::bad_format,
                    "expected " + std::to_string(count) + " numbers, found " + std::to_string(values.size()));
    return values;
}

}  // namespace cli
