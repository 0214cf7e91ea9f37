// Text for people and for files: names and messages by others made safe to print.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>

namespace cli {

/// `text` as one line that moves no cursor: control characters and bytes that are not UTF-8 become \xNN.
std::string printable(const std::string& text);

bool is_utf8(const std::string& text);

/// RFC 4648, with padding.
std::string base64(const std::string& bytes);
/// None where `text` is not base64.
std::optional<std::string> from_base64(const std::string& text);

/// `value` by a printf format.
std::string number(const char* format, double value);

/// A check of an option's text: says what was expected unless it is a number from low to high. CLI::Range lets NaN pass.
std::function<std::string(const std::string&)> number_from(double low, double high);

/// "retinaface: <message>" on standard error, printable; `name`, where there is one, comes before the message.
void complain(const std::string& message);
void complain(const std::string& name, const std::string& message);

}  // namespace cli
