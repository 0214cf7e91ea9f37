// Weights files: a strict reader of the safetensors container. Format and names: weights/README.md.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "../error.hpp"
#include "../span.hpp"

namespace retinaface::embedded {
struct EmbeddedFile;
}

RETINAFACE_BEGIN_NAMESPACE

/// One tensor, decoded: F32 and F16 into `values`, U8 into `bytes`.
struct Tensor {
    enum class Dtype { f32, f16, u8 };

    std::string name;
    Dtype dtype = Dtype::f32;
    std::vector<std::int64_t> shape;
    std::vector<float> values;
    std::vector<std::uint8_t> bytes;
};

inline const char* to_string(Tensor::Dtype dtype) {
    switch (dtype) {
        case Tensor::Dtype::f32: return "F32";
        case Tensor::Dtype::f16: return "F16";
        case Tensor::Dtype::u8: return "U8";
    }
    return "?";
}

inline std::string to_string(const std::vector<std::int64_t>& shape) {
    std::string text = "[";
    for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
    return text + "]";
}

/// A weights file in memory: metadata and tensors, all of them checked (container, sizes, finite values) but not yet held
/// against a network. Immutable; a Detector copies what it needs.
class Weights {
public:
    /// Largest header and file accepted, in bytes.
    static constexpr std::size_t kMaxHeader = std::size_t{1} << 20;
    static constexpr std::size_t kMaxFile = std::size_t{1} << 30;

    /// Reads a file. Throws Error (io, bad_format).
    static Weights load(const std::string& path);
    static Result<Weights> try_load(const std::string& path) noexcept {
        return detail::as_result([&] { return load(path); });
    }

    /// Parses `size` bytes of a weights file; they are not kept. Throws Error (bad_format).
    static Weights from_memory(const void* data, std::size_t size);
    static Result<Weights> try_from_memory(const void* data, std::size_t size) noexcept {
        return detail::as_result([&] { return from_memory(data, size); });
    }

    /// Reads a file compiled into the program (weights/embedded.hpp). Throws Error (bad_format).
    static Weights from_embedded(const embedded::EmbeddedFile& file);

    const std::map<std::string, std::string>& metadata() const noexcept { return metadata_; }
    /// The value of a metadata key; throws Error (bad_format) where the file has none.
    const std::string& metadata(const std::string& key) const {
        const auto found = metadata_.find(key);
        if (found == metadata_.end()) throw Error(ErrorCode::bad_format, "weights: metadata has no key '" + key + "'");
        return found->second;
    }

    /// Tensors in the order of their data.
    const std::vector<Tensor>& tensors() const noexcept { return tensors_; }
    /// nullptr where there is none of that name.
    const Tensor* find(const std::string& name) const noexcept {
        for (const Tensor& tensor : tensors_)
            if (tensor.name == name) return &tensor;
        return nullptr;
    }

private:
    std::map<std::string, std::string> metadata_;
    std::vector<Tensor> tensors_;
};

namespace detail {

[[noreturn]] inline void bad_weights(const std::string& what) { throw Error(ErrorCode::bad_format, "weights: " + what); }

/// The part of JSON that a safetensors header uses: objects, strings, arrays of non-negative integers.
class HeaderParser {
public:
    HeaderParser(const char* text, std::size_t size) : text_(text), size_(size) {}

    /// Calls `member(key)` for each member of an object; the callee consumes the value. Duplicate keys are refused.
    template <class Member>
    void object(const std::string& what, Member member) {
        expect('{', "at the start of " + what);
        std::vector<std::string> keys;
        if (accept('}')) return;
        do {
            std::string key = string("a key of " + what);
            expect(':', "behind key '" + key + "' of " + what);
            member(key);
            keys.push_back(std::move(key));
        } while (accept(','));
        expect('}', "at the end of " + what);
        std::sort(keys.begin(), keys.end());
        const auto twice = std::adjacent_find(keys.begin(), keys.end());
        if (twice != keys.end()) bad_weights("header: duplicate key '" + *twice + "' in " + what);
    }

    std::string string(const std::string& what) {
        skip_space();
        if (at_end() || text_[pos_] != '"') fail("expected a string for " + what);
        ++pos_;
        std::string out;
        for (;;) {
            if (at_end()) fail("unterminated string in " + what);
            const unsigned char c = static_cast<unsigned char>(text_[pos_++]);
            if (c == '"') return out;
            if (c < 0x20) fail("control character in a string of " + what);
            if (c == '\\')
                escape(out, what);
            else
                out += static_cast<char>(c);
        }
    }

    std::vector<std::int64_t> integers(const std::string& what, std::size_t most) {
        std::vector<std::int64_t> out;
        expect('[', "at the start of " + what);
        if (accept(']')) return out;
        do {
            if (out.size() == most) fail("more than " + std::to_string(most) + " numbers in " + what);
            out.push_back(integer(what));
        } while (accept(','));
        expect(']', "at the end of " + what);
        return out;
    }

    void end() {
        while (!at_end() && text_[pos_] == ' ') ++pos_;
        if (!at_end()) fail("text behind the JSON object");
    }

private:
    [[noreturn]] void fail(const std::string& what) const { bad_weights("header: byte " + std::to_string(pos_) + ": " + what); }
    bool at_end() const { return pos_ >= size_; }
    void skip_space() {
        while (!at_end() && (text_[pos_] == ' ' || text_[pos_] == '\t' || text_[pos_] == '\n' || text_[pos_] == '\r')) ++pos_;
    }
    bool accept(char c) {
        skip_space();
        if (at_end() || text_[pos_] != c) return false;
        ++pos_;
        return true;
    }
    void expect(char c, const std::string& where) {
        if (!accept(c)) fail(std::string("expected '") + c + "' " + where);
    }

    std::int64_t integer(const std::string& what) {
        skip_space();
        const std::size_t start = pos_;
        std::int64_t value = 0;
        while (!at_end() && text_[pos_] >= '0' && text_[pos_] <= '9') {
            value = value * 10 + (text_[pos_++] - '0');
            if (value > (std::int64_t{1} << 53)) fail("number too large in " + what);
        }
        if (pos_ == start) fail("expected a non-negative integer in " + what);
        if (text_[start] == '0' && pos_ - start > 1) fail("leading zero in " + what);
        return value;
    }

    unsigned hex4(const std::string& what) {
        unsigned value = 0;
        for (int i = 0; i < 4; ++i) {
            const char c = at_end() ? '\0' : text_[pos_];
            const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
            if (digit < 0) fail("bad \\u escape in " + what);
            value = value * 16 + static_cast<unsigned>(digit);
            ++pos_;
        }
        return value;
    }

    void escape(std::string& out, const std::string& what) {
        const char c = at_end() ? '\0' : text_[pos_++];
        switch (c) {
            case '"': out += '"'; return;
            case '\\': out += '\\'; return;
            case '/': out += '/'; return;
            case 'b': out += '\b'; return;
            case 'f': out += '\f'; return;
            case 'n': out += '\n'; return;
            case 'r': out += '\r'; return;
            case 't': out += '\t'; return;
            case 'u': break;
            default: fail("bad escape in a string of " + what);
        }
        unsigned code = hex4(what);
        if (code >= 0xD800 && code < 0xDC00) {
            if (pos_ + 2 > size_ || text_[pos_] != '\\' || text_[pos_ + 1] != 'u') fail("lone surrogate in " + what);
            pos_ += 2;
            const unsigned low = hex4(what);
            if (low < 0xDC00 || low > 0xDFFF) fail("lone surrogate in " + what);
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        } else if (code >= 0xDC00 && code < 0xE000) {
            fail("lone surrogate in " + what);
        }
        const auto put = [&](unsigned byte) { out += static_cast<char>(static_cast<unsigned char>(byte)); };
        if (code < 0x80) {
            put(code);
        } else if (code < 0x800) {
            put(0xC0 | (code >> 6));
            put(0x80 | (code & 0x3F));
        } else if (code < 0x10000) {
            put(0xE0 | (code >> 12));
            put(0x80 | ((code >> 6) & 0x3F));
            put(0x80 | (code & 0x3F));
        } else {
            put(0xF0 | (code >> 18));
            put(0x80 | ((code >> 12) & 0x3F));
            put(0x80 | ((code >> 6) & 0x3F));
            put(0x80 | (code & 0x3F));
        }
    }

    const char* text_;
    std::size_t size_;
    std::size_t pos_ = 0;
};

/// IEEE half precision to single, exactly.
inline float half_to_float(std::uint16_t half) {
    const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000u) << 16;
    std::uint32_t exponent = (half >> 10) & 0x1Fu;
    std::uint32_t mantissa = half & 0x3FFu;
    std::uint32_t bits;
    if (exponent == 31) {
        bits = sign | 0x7F800000u | (mantissa << 13);
    } else if (exponent != 0) {
        bits = sign | ((exponent + 112) << 23) | (mantissa << 13);
    } else if (mantissa == 0) {
        bits = sign;
    } else {
        exponent = 113;
        while ((mantissa & 0x400u) == 0) {
            mantissa <<= 1;
            --exponent;
        }
        bits = sign | (exponent << 23) | ((mantissa & 0x3FFu) << 13);
    }
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

inline bool is_finite(float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return (bits & 0x7F800000u) != 0x7F800000u;  // holds under -ffast-math too
}

struct TensorEntry {
    Tensor tensor;
    std::int64_t begin = -1;
    std::int64_t end = -1;
};

inline TensorEntry parse_tensor_entry(HeaderParser& parser, const std::string& name) {
    const std::string what = "tensor '" + name + "'";
    if (name.empty()) bad_weights("header: a tensor without a name");
    TensorEntry entry;
    entry.tensor.name = name;
    bool has_dtype = false, has_shape = false, has_offsets = false;
    parser.object(what, [&](const std::string& key) {
        if (key == "dtype") {
            const std::string dtype = parser.string("dtype of " + what);
            if (dtype == "F32")
                entry.tensor.dtype = Tensor::Dtype::f32;
            else if (dtype == "F16")
                entry.tensor.dtype = Tensor::Dtype::f16;
            else if (dtype == "U8")
                entry.tensor.dtype = Tensor::Dtype::u8;
            else
                bad_weights(what + ": dtype must be F32, F16 or U8, found " + dtype);
            has_dtype = true;
        } else if (key == "shape") {
            entry.tensor.shape = parser.integers("shape of " + what, 8);
            has_shape = true;
        } else if (key == "data_offsets") {
            const auto offsets = parser.integers("data_offsets of " + what, 2);
            if (offsets.size() != 2) bad_weights(what + ": data_offsets must be 2 numbers, found " + std::to_string(offsets.size()));
            entry.begin = offsets[0];
            entry.end = offsets[1];
            has_offsets = true;
        } else {
            bad_weights(what + ": unknown key '" + key + "'");
        }
    });
    if (!has_dtype) bad_weights(what + ": has no dtype");
    if (!has_shape) bad_weights(what + ": has no shape");
    if (!has_offsets) bad_weights(what + ": has no data_offsets");
    if (entry.end < entry.begin)
        bad_weights(what + ": data_offsets run backwards: [" + std::to_string(entry.begin) + ", " + std::to_string(entry.end) + "]");

    const std::int64_t element = entry.tensor.dtype == Tensor::Dtype::f32 ? 4 : entry.tensor.dtype == Tensor::Dtype::f16 ? 2 : 1;
    std::int64_t bytes = element;
    for (const std::int64_t dimension : entry.tensor.shape) {
        if (dimension != 0 && bytes > static_cast<std::int64_t>(Weights::kMaxFile) / dimension)
            bad_weights(what + ": shape " + to_string(entry.tensor.shape) + " is too large");
        bytes *= dimension;
    }
    if (bytes != entry.end - entry.begin)
        bad_weights(what + ": shape " + to_string(entry.tensor.shape) + " of " + to_string(entry.tensor.dtype) + " takes " +
                    std::to_string(bytes) + " bytes, data_offsets span " + std::to_string(entry.end - entry.begin));
    return entry;
}

inline void decode_tensor(Tensor& tensor, const unsigned char* data, std::size_t bytes) {
    if (tensor.dtype == Tensor::Dtype::u8) {
        tensor.bytes.assign(data, data + bytes);
        return;
    }
    const bool half = tensor.dtype == Tensor::Dtype::f16;
    const std::size_t count = bytes / (half ? 2 : 4);
    tensor.values.resize(count);
    for (std::size_t i = 0; i < count; ++i) {
        std::uint32_t bits = 0;  // little-endian on any machine
        for (std::size_t b = 0; b < (half ? 2u : 4u); ++b) bits |= static_cast<std::uint32_t>(data[i * (half ? 2 : 4) + b]) << (8 * b);
        float value;
        if (half)
            value = half_to_float(static_cast<std::uint16_t>(bits));
        else
            std::memcpy(&value, &bits, sizeof value);
        if (!is_finite(value)) bad_weights("tensor '" + tensor.name + "': value " + std::to_string(i) + " is not finite");
        tensor.values[i] = value;
    }
}

struct FileCloser {
    void operator()(std::FILE* file) const { std::fclose(file); }
};

}  // namespace detail

inline Weights Weights::from_memory(const void* data, std::size_t size) {
    const auto* const bytes = static_cast<const unsigned char*>(data);
    if (data == nullptr || size < 8)
        detail::bad_weights("expected at least 8 bytes, found " + std::to_string(data == nullptr ? 0 : size));
    if (size > kMaxFile) detail::bad_weights("larger than " + std::to_string(kMaxFile) + " bytes");
    std::uint64_t header = 0;
    for (int i = 0; i < 8; ++i) header |= static_cast<std::uint64_t>(bytes[i]) << (8 * i);
    if (header > kMaxHeader)
        detail::bad_weights("header of " + std::to_string(header) + " bytes, at most " + std::to_string(kMaxHeader) +
                            " are accepted (not a safetensors file?)");
    if (header > size - 8)
        detail::bad_weights("header of " + std::to_string(header) + " bytes runs past the end: " + std::to_string(size - 8) +
                            " bytes follow (truncated?)");
    const std::size_t data_size = size - 8 - static_cast<std::size_t>(header);
    const unsigned char* const buffer = bytes + 8 + header;

    Weights weights;
    std::vector<detail::TensorEntry> entries;
    detail::HeaderParser parser(reinterpret_cast<const char*>(bytes + 8), static_cast<std::size_t>(header));
    if (header == 0 || bytes[8] != '{') detail::bad_weights("header: expected '{' as its first byte");
    parser.object("the header", [&](const std::string& key) {
        if (key == "__metadata__")
            parser.object("__metadata__", [&](const std::string& name) {
                weights.metadata_[name] = parser.string("metadata '" + name + "'");
            });
        else
            entries.push_back(detail::parse_tensor_entry(parser, key));
    });
    parser.end();

    std::sort(entries.begin(), entries.end(), [](const detail::TensorEntry& a, const detail::TensorEntry& b) {
        return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
    });
    std::int64_t position = 0;
    for (detail::TensorEntry& entry : entries) {
        const std::string what = "tensor '" + entry.tensor.name + "'";
        if (entry.begin < position)
            detail::bad_weights(what + ": overlaps the tensor before it (starts at " + std::to_string(entry.begin) + ", expected " +
                                std::to_string(position) + ")");
        if (entry.begin > position)
            detail::bad_weights(what + ": gap of " + std::to_string(entry.begin - position) + " bytes before it");
        if (static_cast<std::uint64_t>(entry.end) > data_size)
            detail::bad_weights(what + ": ends at byte " + std::to_string(entry.end) + " of " + std::to_string(data_size) + " (truncated?)");
        position = entry.end;
    }
    if (static_cast<std::uint64_t>(position) != data_size)
        detail::bad_weights(std::to_string(data_size - static_cast<std::uint64_t>(position)) + " bytes behind the last tensor");

    weights.tensors_.reserve(entries.size());
    for (detail::TensorEntry& entry : entries) {
        detail::decode_tensor(entry.tensor, buffer + entry.begin, static_cast<std::size_t>(entry.end - entry.begin));
        weights.tensors_.push_back(std::move(entry.tensor));
    }
    return weights;
}

inline Weights Weights::load(const std::string& path) {
    const std::unique_ptr<std::FILE, detail::FileCloser> file(std::fopen(path.c_str(), "rb"));
    if (!file) throw Error(ErrorCode::io, path + ": cannot be opened");
    std::vector<unsigned char> bytes;
    // Sizes are not asked for beforehand: pipes have none, and directories open but do not read.
    for (std::size_t got = 0, chunk = std::size_t{1} << 20;; chunk = std::min(bytes.size(), kMaxFile)) {
        bytes.resize(got + chunk);
        const std::size_t n = std::fread(bytes.data() + got, 1, chunk, file.get());
        got += n;
        if (n < chunk) {
            if (std::ferror(file.get())) throw Error(ErrorCode::io, path + ": cannot be read");
            bytes.resize(got);
            break;
        }
        if (got > kMaxFile) throw Error(ErrorCode::bad_format, path + ": larger than " + std::to_string(kMaxFile) + " bytes");
    }
    try {
        return from_memory(bytes.data(), bytes.size());
    } catch (const Error& error) {
        throw Error(error.code(), path + ": " + error.what());
    }
}

RETINAFACE_END_NAMESPACE
