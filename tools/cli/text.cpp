#include "text.hpp"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace cli {

namespace {

/// Bytes of the UTF-8 sequence at `at`, 0 where there is none (overlong forms, surrogates and what lies after U+10FFFF included).
std::size_t sequence_at(const std::string& text, std::size_t at) {
    const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
    const unsigned first = byte(at);
    if (first < 0x80) return 1;
    const std::size_t length = first >= 0xC2 && first < 0xE0   ? 2
                               : first >= 0xE0 && first < 0xF0 ? 3
                               : first >= 0xF0 && first < 0xF5 ? 4
                                                               : 0;
    for (std::size_t i = 1; i < length; ++i)
        if ((byte(at + i) & 0xC0) != 0x80) return 0;
    const unsigned second = byte(at + 1);
    if ((first == 0xE0 && second < 0xA0) || (first == 0xED && second >= 0xA0) || (first == 0xF0 && second < 0x90) ||
        (first == 0xF4 && second >= 0x90))
        return 0;
    return length;
}

}  // namespace

std::string printable(const std::string& text) {
    std::string line;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t length = sequence_at(text, at);
        const auto first = static_cast<unsigned char>(text[at]);
        const bool c1 = length == 2 && first == 0xC2 && static_cast<unsigned char>(text[at + 1]) < 0xA0;
        if (length == 0 || first < 0x20 || first == 0x7F || c1) {
            for (std::size_t i = 0; i < (c1 ? 2u : 1u); ++i) {
                char escaped[8];
                std::snprintf(escaped, sizeof escaped, "\\x%02x",
                              static_cast<unsigned>(static_cast<unsigned char>(text[at + i])));
                line += escaped;
            }
            at += c1 ? 2 : 1;
        } else {
            line.append(text, at, length);
            at += length;
        }
    }
    return line;
}

bool is_utf8(const std::string& text) {
    for (std::size_t at = 0, length = 0; at < text.size(); at += length)
        if ((length = sequence_at(text, at)) == 0) return false;
    return true;
}

constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::string base64(const std::string& bytes) {
    std::string text;
    for (std::size_t at = 0; at < bytes.size(); at += 3) {
        const auto byte = [&](std::size_t i) {
            return at + i < bytes.size() ? std::uint32_t{static_cast<unsigned char>(bytes[at + i])} : 0u;
        };
        const std::uint32_t three = byte(0) << 16 | byte(1) << 8 | byte(2);
        for (std::size_t i = 0; i < 4; ++i) text += at + i > bytes.size() ? '=' : kDigits[three >> (18 - 6 * i) & 63];
    }
    return text;
}

std::optional<std::string> from_base64(const std::string& text) {
    std::string bytes;
    for (std::size_t at = 0; at < text.size(); at += 4) {
        std::uint32_t three = 0;
        std::size_t padding = 0;
        for (std::size_t i = at; i < at + 4; ++i) {
            const char* const digit = i < text.size() && text[i] != '\0' ? std::strchr(kDigits, text[i]) : nullptr;
            const bool pads = i < text.size() && text[i] == '=' && i >= at + 2 && at + 4 == text.size();
            if (pads ? false : digit == nullptr || padding > 0) return std::nullopt;
            padding += pads ? 1 : 0;
            three = three << 6 | (pads ? 0u : static_cast<std::uint32_t>(digit - kDigits));
        }
        for (std::size_t i = 0; i < 3 - padding; ++i)
            bytes += static_cast<char>(static_cast<unsigned char>(three >> (16 - 8 * i)));
    }
    return bytes;
}

std::string number(const char* format, double value) {
    char buffer[64];
    std::snprintf(buffer, sizeof buffer, format, value);
    return buffer;
}

std::function<std::string(const std::string&)> number_from(double low, double high) {
    return [low, high](const std::string& text) {
        char* end = nullptr;
        const double value = std::strtod(text.c_str(), &end);
        if (end != text.c_str() && *end == 0 && value >= low && value <= high) return std::string();
        return "expected a number from " + number("%g", low) + " to " + number("%g", high) + ", found '" + printable(text) + "'";
    };
}

void complain(const std::string& message) { std::fprintf(stderr, "retinaface: %s\n", printable(message).c_str()); }

void complain(const std::string& name, const std::string& message) { complain(name + ": " + message); }

}  // namespace cli
