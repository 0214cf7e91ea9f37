// Weights files: a strict reader of the safetensors container. Format and names: weights/README.md.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "../error.hpp"
#include "../span.hpp"
#include "hash.hpp"

namespace retinaface::embedded {
struct EmbeddedFile;
}

RETINAFACE_BEGIN_NAMESPACE

/// One tensor, decoded: F32 and F16 into `values`, U8 into `bytes` (of a file that Weights::open() has, large ones stay there).
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

namespace detail {

struct FileCloser {
    void operator()(std::FILE* file) const { std::fclose(file); }
};

/// A file whose bytes are read when they are asked for. Threads may share one.
class FileBytes {
public:
    explicit FileBytes(const std::string& path) : file_(std::fopen(path.c_str(), "rb")) {
        if (file_ == nullptr || std::fseek(file_.get(), 0, SEEK_END) != 0) return;
        const long size = std::ftell(file_.get());
        // Directories have sizes of their own, and cannot be read.
        char byte;
        if (size > 0 && read(static_cast<std::size_t>(size) - 1, &byte, 1)) size_ = static_cast<std::size_t>(size);
    }

    /// 0 where it cannot be read, is empty, or has no size (a pipe).
    std::size_t size() const noexcept { return size_; }

    /// False where the file has changed or cannot be read.
    bool read(std::size_t offset, void* dst, std::size_t size) noexcept {
        const std::lock_guard<std::mutex> lock(mutex_);
        return std::fseek(file_.get(), static_cast<long>(offset), SEEK_SET) == 0 && std::fread(dst, 1, size, file_.get()) == size;
    }

private:
    std::mutex mutex_;
    std::unique_ptr<std::FILE, FileCloser> file_;
    std::size_t size_ = 0;
};

struct TensorEntry;

}  // namespace detail

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

    /// Reads a file. Throws Error (io, bad_format, damaged).
    static Weights load(const std::string& path) { return read_file(path).value(); }
    static Result<Weights> try_load(const std::string& path) noexcept {
        return detail::as_result([&] { return read_file(path); });
    }

    /// As load(), but tensors of kLarge bytes or more are left in the file, which stays open; a detector reads them one by one as it packs
    /// them, so that no second copy of a large network is ever held. The file must not change meanwhile. What has no size (a pipe) is
    /// loaded. Throws Error (io, bad_format, damaged).
    static Weights open(const std::string& path) { return open_file(path).value(); }
    static Result<Weights> try_open(const std::string& path) noexcept {
        return detail::as_result([&] { return open_file(path); });
    }
    static constexpr std::size_t kLarge = std::size_t{1} << 16;

    /// Parses `size` bytes of a weights file; they are not kept. Throws Error (bad_format, damaged).
    static Weights from_memory(const void* data, std::size_t size) { return read(data, size, Check::hash).value(); }
    static Result<Weights> try_from_memory(const void* data, std::size_t size) noexcept {
        return detail::as_result([&] { return read(data, size, Check::hash); });
    }

    /// Reads a file compiled into the program (weights/embedded.hpp), whose hash was checked when the program was built. Throws Error
    /// (bad_format).
    static Weights from_embedded(const embedded::EmbeddedFile& file) { return read_embedded(file).value(); }
    static Result<Weights> try_from_embedded(const embedded::EmbeddedFile& file) noexcept {
        return detail::as_result([&] { return read_embedded(file); });
    }

    /// Tensors made in the program; taken as they are: `shape` and `values` (or `bytes`, of U8) belong together.
    static Weights from_tensors(std::map<std::string, std::string> metadata, std::vector<Tensor> tensors) {
        Weights weights;
        weights.metadata_ = std::move(metadata);
        weights.tensors_ = std::move(tensors);
        return weights;
    }

    const std::map<std::string, std::string>& metadata() const noexcept { return metadata_; }
    /// The value of a metadata key; throws Error (bad_format) where the file has none.
    const std::string& metadata(const std::string& key) const {
        const std::string* const value = find_metadata(key);
        if (value == nullptr) detail::raise(Error(ErrorCode::bad_format, "weights: metadata has no key '" + key + "'"));
        return *value;
    }
    /// nullptr where there is none.
    const std::string* find_metadata(const std::string& key) const noexcept {
        const auto found = metadata_.find(key);
        return found == metadata_.end() ? nullptr : &found->second;
    }

    /// Whether the file carries a hash of all its bytes (it fits then). Files of format retinaface-weights-1 carry none: damage to them
    /// goes unseen; so does damage to files of formats that are not the library's.
    bool has_hash() const noexcept { return has_hash_; }

    /// Tensors in the order of their data.
    const std::vector<Tensor>& tensors() const noexcept { return tensors_; }
    /// nullptr where there is none of that name.
    const Tensor* find(const std::string& name) const noexcept {
        for (const Tensor& tensor : tensors_)
            if (tensor.name == name) return &tensor;
        return nullptr;
    }

    /// Values of one of these F32 or F16 tensors, wherever they are. Throws Error (io, bad_format).
    std::vector<float> values(const Tensor& tensor) const { return read_values(tensor).value(); }
    Result<std::vector<float>> try_values(const Tensor& tensor) const noexcept {
        return detail::as_result([&] { return read_values(tensor); });
    }

private:
    enum class Check { hash, container };
    static Result<Weights> read(const void* data, std::size_t size, Check check);
    static Result<Weights> read_file(const std::string& path);
    static Result<Weights> read_embedded(const embedded::EmbeddedFile& file);
    static Result<Weights> open_file(const std::string& path);
    Result<std::vector<float>> read_values(const Tensor& tensor) const;
    /// Length of the header of a file that begins with these 8 bytes.
    static Result<std::size_t> header_size(const unsigned char* bytes, std::size_t size);
    /// Metadata, and the tensors in order, from the file's head (8 bytes and header).
    Result<std::list<detail::TensorEntry>> parse(const unsigned char* head, std::size_t header, std::size_t data_size,
                                                 bool hashed);

    std::map<std::string, std::string> metadata_;
    std::vector<Tensor> tensors_;
    bool has_hash_ = false;
    std::shared_ptr<detail::FileBytes> file_;
    std::vector<std::size_t> left_;  ///< by tensor: where in the file its values are; 0: in the tensor
};

namespace detail {

inline Error bad_weights(const std::string& what) { return {ErrorCode::bad_format, "weights: " + what}; }

/// The part of JSON that a safetensors header uses: objects, strings, arrays of non-negative integers. The first mistake is kept and ends
/// the text: what is read after it is empty.
class HeaderParser {
public:
    HeaderParser(const char* text, std::size_t size) : text_(text), size_(size) {}

    bool failed() const noexcept { return !mistake_.empty(); }
    Error error() const { return bad_weights(mistake_); }
    /// Notes a mistake.
    void refuse(const std::string& what) {
        if (!failed()) mistake_ = what;
        pos_ = size_;
    }

    /// Calls `member(key)` for each member of an object; the callee consumes the value. Duplicate keys are refused.
    template <class Member>
    void object(const std::string& what, Member member) {
        expect('{', "at the start of " + what);
        std::set<std::string> keys;
        if (accept('}')) return;
        do {
            const std::string key = string("a key of " + what);
            expect(':', "behind key '" + key + "' of " + what);
            if (failed()) return;
            if (!keys.insert(key).second) return refuse("header: duplicate key '" + key + "' in " + what);
            member(key);
        } while (accept(','));
        expect('}', "at the end of " + what);
    }

    std::string string(const std::string& what) {
        skip_space();
        if (at_end() || text_[pos_] != '"') return fail("expected a string for " + what), std::string();
        ++pos_;
        std::string out;
        for (;;) {
            if (at_end()) return fail("unterminated string in " + what), std::string();
            const unsigned char c = static_cast<unsigned char>(text_[pos_++]);
            if (c == '"') return out;
            if (c < 0x20) return fail("control character in a string of " + what), std::string();
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
            if (out.size() == most) return fail("more than " + std::to_string(most) + " numbers in " + what), out;
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
    void fail(const std::string& what) { refuse("header: byte " + std::to_string(pos_) + ": " + what); }
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
            if (value > (std::int64_t{1} << 53)) return fail("number too large in " + what), 0;
        }
        if (pos_ == start) return fail("expected a non-negative integer in " + what), 0;
        if (text_[start] == '0' && pos_ - start > 1) return fail("leading zero in " + what), 0;
        return value;
    }

    unsigned hex4(const std::string& what) {
        unsigned value = 0;
        for (int i = 0; i < 4; ++i) {
            const char c = at_end() ? '\0' : text_[pos_];
            const int digit = c >= '0' && c <= '9'   ? c - '0'
                              : c >= 'a' && c <= 'f' ? c - 'a' + 10
                              : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                     : -1;
            if (digit < 0) return fail("bad \\u escape in " + what), 0;
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
            default: return fail("bad escape in a string of " + what);
        }
        unsigned code = hex4(what);
        if (code >= 0xD800 && code < 0xDC00) {
            if (pos_ + 2 > size_ || text_[pos_] != '\\' || text_[pos_ + 1] != 'u') return fail("lone surrogate in " + what);
            pos_ += 2;
            const unsigned low = hex4(what);
            if (low < 0xDC00 || low > 0xDFFF) return fail("lone surrogate in " + what);
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        } else if (code >= 0xDC00 && code < 0xE000) {
            return fail("lone surrogate in " + what);
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
    std::string mistake_;
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
    TensorEntry entry;
    if (name.empty()) return parser.refuse("header: a tensor without a name"), entry;
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
                parser.refuse(what + ": dtype must be F32, F16 or U8, found " + dtype);
            has_dtype = true;
        } else if (key == "shape") {
            entry.tensor.shape = parser.integers("shape of " + what, 8);
            has_shape = true;
        } else if (key == "data_offsets") {
            const auto offsets = parser.integers("data_offsets of " + what, 2);
            if (offsets.size() != 2)
                return parser.refuse(what + ": data_offsets must be 2 numbers, found " + std::to_string(offsets.size()));
            entry.begin = offsets[0];
            entry.end = offsets[1];
            has_offsets = true;
        } else {
            parser.refuse(what + ": unknown key '" + key + "'");
        }
    });
    if (parser.failed()) return entry;
    if (!has_dtype) return parser.refuse(what + ": has no dtype"), entry;
    if (!has_shape) return parser.refuse(what + ": has no shape"), entry;
    if (!has_offsets) return parser.refuse(what + ": has no data_offsets"), entry;
    if (entry.end < entry.begin)
        return parser.refuse(what + ": data_offsets run backwards: [" + std::to_string(entry.begin) + ", " +
                             std::to_string(entry.end) + "]"),
               entry;

    const std::int64_t element = entry.tensor.dtype == Tensor::Dtype::f32 ? 4 : entry.tensor.dtype == Tensor::Dtype::f16 ? 2 : 1;
    std::int64_t bytes = element;
    for (const std::int64_t dimension : entry.tensor.shape) {
        if (dimension != 0 && bytes > static_cast<std::int64_t>(Weights::kMaxFile) / dimension)
            return parser.refuse(what + ": shape " + to_string(entry.tensor.shape) + " is too large"), entry;
        bytes *= dimension;
    }
    if (bytes != entry.end - entry.begin)
        parser.refuse(what + ": shape " + to_string(entry.tensor.shape) + " of " + to_string(entry.tensor.dtype) + " takes " +
                      std::to_string(bytes) + " bytes, data_offsets span " + std::to_string(entry.end - entry.begin));
    return entry;
}

/// Error (bad_format) where a value is not finite.
inline Result<void> decode_tensor(Tensor& tensor, const unsigned char* data, std::size_t bytes) {
    if (tensor.dtype == Tensor::Dtype::u8) {
        tensor.bytes.assign(data, data + bytes);
        return {};
    }
    const bool half = tensor.dtype == Tensor::Dtype::f16;
    const std::size_t count = bytes / (half ? 2 : 4);
    tensor.values.resize(count);
    for (std::size_t i = 0; i < count; ++i) {
        std::uint32_t bits = 0;  // little-endian on any machine
        for (std::size_t b = 0; b < (half ? 2u : 4u); ++b)
            bits |= static_cast<std::uint32_t>(data[i * (half ? 2 : 4) + b]) << (8 * b);
        float value;
        if (half)
            value = half_to_float(static_cast<std::uint16_t>(bits));
        else
            std::memcpy(&value, &bits, sizeof value);
        if (!is_finite(value)) return bad_weights("tensor '" + tensor.name + "': value " + std::to_string(i) + " is not finite");
        tensor.values[i] = value;
    }
    return {};
}

/// What metadata call `format`: of detectors, mesh decoders and landmark refiners.
inline constexpr const char *kWeightsFormat = "retinaface-weights-2", *kMeshFormat = "retinaface-mesh-2",
                            *kRefinerFormat = "retinaface-refiner-2";
/// Of detectors before files carried a hash.
inline constexpr const char* kUnhashedFormat = "retinaface-weights-1";
inline constexpr const char* kHashedFormats[] = {kWeightsFormat, kMeshFormat, kRefinerFormat};

inline Error lacks_hash(const std::string& format) {
    return {ErrorCode::damaged, "weights: damaged: a file of format " + format + " without its hash"};
}

/// Holds a file against the hash that it carries: `"hash":"blake2b-128:..."` in its metadata, made over all bytes of the file with zeros
/// for the digits. Files of `kHashedFormats` have one. Both are looked for in the text, before it is parsed: a bit that flips in one of
/// them cannot hide the other. False: it carries none.
/// `bytes` is the file's head, 8 + `header` bytes; `add_rest(sum)` adds what follows.
template <class AddRest>
Result<bool> check_hash(const unsigned char* bytes, std::size_t header, AddRest add_rest) {
    const std::string key = "\"hash\":\"blake2b-128:";
    const char* const text = reinterpret_cast<const char*>(bytes) + 8;
    const char* const end = text + header;
    const auto find = [&](const std::string& what) { return std::search(text, end, what.begin(), what.end()); };
    const auto damaged = [](const std::string& what) { return Error(ErrorCode::damaged, "weights: damaged: " + what); };

    const char* const hash = find(key);
    if (hash == end) {
        for (const std::string format : kHashedFormats)
            if (find("\"format\":\"" + format + "\"") != end) return lacks_hash(format);
        return false;
    }
    const char* const digits = hash + key.size();
    if (static_cast<std::size_t>(end - digits) < Blake2b128::kDigits) return damaged("the hash is cut short");
    const auto before = static_cast<std::size_t>(digits - reinterpret_cast<const char*>(bytes));
    const std::string zeros(Blake2b128::kDigits, '0');
    Blake2b128 sum;
    sum.add(bytes, before);
    sum.add(zeros.data(), zeros.size());
    sum.add(bytes + before + zeros.size(), 8 + header - before - zeros.size());
    if (const Result<void> added = add_rest(sum); !added) return added.error();
    const std::array<char, Blake2b128::kDigits> found = sum.digits();
    if (!std::equal(found.begin(), found.end(), digits))
        return damaged("the hash of its bytes is " + std::string(found.begin(), found.end()) + ", not the one it carries");
    return true;
}

}  // namespace detail

inline Result<std::size_t> Weights::header_size(const unsigned char* bytes, std::size_t size) {
    const auto bad = [](const std::string& what) { return detail::bad_weights(what); };
    if (bytes == nullptr || size < 8)
        return bad("expected at least 8 bytes, found " + std::to_string(bytes == nullptr ? 0 : size));
    if (size > kMaxFile) return bad("larger than " + std::to_string(kMaxFile) + " bytes");
    std::uint64_t header = 0;
    for (int i = 0; i < 8; ++i) header |= static_cast<std::uint64_t>(bytes[i]) << (8 * i);
    if (header > kMaxHeader)
        return bad("header of " + std::to_string(header) + " bytes, at most " + std::to_string(kMaxHeader) +
                   " are accepted (not a safetensors file, or damaged?)");
    if (header > size - 8)
        return bad("header of " + std::to_string(header) + " bytes runs past the end: " + std::to_string(size - 8) +
                   " bytes follow (truncated or damaged?)");
    return static_cast<std::size_t>(header);
}

inline Result<std::list<detail::TensorEntry>> Weights::parse(const unsigned char* head, std::size_t header, std::size_t data_size,
                                                             bool hashed) {
    const auto bad = [](const std::string& what) { return detail::bad_weights(what); };
    std::list<detail::TensorEntry> entries;
    detail::HeaderParser parser(reinterpret_cast<const char*>(head + 8), header);
    if (header == 0 || head[8] != '{') return bad("header: expected '{' as its first byte (damaged?)");
    parser.object("the header", [&](const std::string& key) {
        if (key == "__metadata__")
            parser.object("__metadata__",
                          [&](const std::string& name) { metadata_[name] = parser.string("metadata '" + name + "'"); });
        else
            entries.push_back(detail::parse_tensor_entry(parser, key));
    });
    parser.end();
    if (parser.failed()) return parser.error();
    const std::string* const format = find_metadata("format");
    has_hash_ = format != nullptr && std::find(std::begin(detail::kHashedFormats), std::end(detail::kHashedFormats), *format) !=
                                         std::end(detail::kHashedFormats);
    if (has_hash_ && !hashed) return detail::lacks_hash(*format);

    entries.sort([](const detail::TensorEntry& a, const detail::TensorEntry& b) {
        return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
    });
    std::int64_t position = 0;
    for (const detail::TensorEntry& entry : entries) {
        const std::string what = "tensor '" + entry.tensor.name + "'";
        if (entry.begin < position)
            return bad(what + ": overlaps the tensor before it (starts at " + std::to_string(entry.begin) + ", expected " +
                       std::to_string(position) + ")");
        if (entry.begin > position) return bad(what + ": gap of " + std::to_string(entry.begin - position) + " bytes before it");
        if (static_cast<std::uint64_t>(entry.end) > data_size)
            return bad(what + ": ends at byte " + std::to_string(entry.end) + " of " + std::to_string(data_size) +
                       " (truncated?)");
        position = entry.end;
    }
    if (static_cast<std::uint64_t>(position) != data_size)
        return bad(std::to_string(data_size - static_cast<std::uint64_t>(position)) + " bytes behind the last tensor");

    return entries;
}

inline Result<Weights> Weights::read(const void* data, std::size_t size, Check check) {
    const auto* const bytes = static_cast<const unsigned char*>(data);
    const Result<std::size_t> header = header_size(bytes, size);
    if (!header) return header.error();
    const std::size_t data_size = size - 8 - *header;
    const unsigned char* const buffer = bytes + 8 + *header;
    const auto add_rest = [&](detail::Blake2b128& sum) -> Result<void> {
        sum.add(buffer, data_size);
        return {};
    };
    const Result<bool> hashed = check == Check::hash ? detail::check_hash(bytes, *header, add_rest) : Result<bool>(true);
    if (!hashed) return hashed.error();

    Weights weights;
    Result<std::list<detail::TensorEntry>> entries = weights.parse(bytes, *header, data_size, *hashed);
    if (!entries) return entries.error();
    weights.tensors_.reserve((*entries).size());
    for (detail::TensorEntry& entry : *entries) {
        const Result<void> decoded =
            detail::decode_tensor(entry.tensor, buffer + entry.begin, static_cast<std::size_t>(entry.end - entry.begin));
        if (!decoded) return decoded.error();
        weights.tensors_.push_back(std::move(entry.tensor));
    }
    return weights;
}

inline Result<Weights> Weights::open_file(const std::string& path) {
    const auto file = std::make_shared<detail::FileBytes>(path);
    const std::size_t size = file->size();
    if (size < 8 || size > kMaxFile) return read_file(path);
    const auto unread = [] { return Error(ErrorCode::io, "cannot be read, or has changed"); };
    const auto opened = [&]() -> Result<Weights> {
        std::vector<unsigned char> head(8);
        if (!file->read(0, head.data(), 8)) return unread();
        const Result<std::size_t> header = header_size(head.data(), size);
        if (!header) return header.error();
        const std::size_t begin = 8 + *header;
        head.resize(begin);
        if (!file->read(0, head.data(), begin)) return unread();
        std::vector<unsigned char> bytes;
        const auto add_rest = [&](detail::Blake2b128& sum) -> Result<void> {
            bytes.resize(std::size_t{1} << 20);
            for (std::size_t at = begin; at < size; at += bytes.size()) {
                const std::size_t count = std::min(bytes.size(), size - at);
                if (!file->read(at, bytes.data(), count)) return unread();
                sum.add(bytes.data(), count);
            }
            return {};
        };
        const Result<bool> hashed = detail::check_hash(head.data(), *header, add_rest);
        if (!hashed) return hashed.error();

        Weights weights;
        Result<std::list<detail::TensorEntry>> entries = weights.parse(head.data(), *header, size - begin, *hashed);
        if (!entries) return entries.error();
        for (detail::TensorEntry& entry : *entries) {
            const std::size_t at = begin + static_cast<std::size_t>(entry.begin);
            const auto count = static_cast<std::size_t>(entry.end - entry.begin);
            // The self-test's tensors are read where they are.
            const bool leave =
                count >= kLarge && entry.tensor.dtype != Tensor::Dtype::u8 && entry.tensor.name.rfind("selftest.", 0) != 0;
            if (!leave) {
                bytes.resize(count);
                if (!file->read(at, bytes.data(), count)) return unread();
                if (const Result<void> decoded = detail::decode_tensor(entry.tensor, bytes.data(), count); !decoded)
                    return decoded.error();
            }
            weights.tensors_.push_back(std::move(entry.tensor));
            weights.left_.push_back(leave ? at : 0);
        }
        weights.file_ = file;
        return weights;
    };
    Result<Weights> weights = opened();
    if (!weights) return Error(weights.error().code(), path + ": " + weights.error().what());
    return weights;
}

inline Result<std::vector<float>> Weights::read_values(const Tensor& tensor) const {
    const auto index = static_cast<std::size_t>(&tensor - tensors_.data());
    if (left_.empty() || left_[index] == 0) return tensor.values;
    std::size_t count = tensor.dtype == Tensor::Dtype::f16 ? 2 : 4;
    for (const std::int64_t side : tensor.shape) count *= static_cast<std::size_t>(side);
    std::vector<unsigned char> bytes(count);
    if (!file_->read(left_[index], bytes.data(), count))
        return Error(ErrorCode::io, "weights: tensor '" + tensor.name + "' cannot be read: has the file changed?");
    Tensor decoded;
    decoded.name = tensor.name;
    decoded.dtype = tensor.dtype;
    if (const Result<void> done = detail::decode_tensor(decoded, bytes.data(), count); !done) return done.error();
    return std::move(decoded.values);
}

inline Result<Weights> Weights::read_file(const std::string& path) {
    const std::unique_ptr<std::FILE, detail::FileCloser> file(std::fopen(path.c_str(), "rb"));
    if (!file) return Error(ErrorCode::io, path + ": cannot be opened");
    std::vector<unsigned char> bytes;
    // Sizes are not asked for beforehand: pipes have none, and directories open but do not read.
    for (std::size_t got = 0, chunk = std::size_t{1} << 20;; chunk = std::min(bytes.size(), kMaxFile)) {
        bytes.resize(got + chunk);
        const std::size_t n = std::fread(bytes.data() + got, 1, chunk, file.get());
        got += n;
        if (n < chunk) {
            if (std::ferror(file.get())) return Error(ErrorCode::io, path + ": cannot be read");
            bytes.resize(got);
            break;
        }
        if (got > kMaxFile) return Error(ErrorCode::bad_format, path + ": larger than " + std::to_string(kMaxFile) + " bytes");
    }
    Result<Weights> weights = read(bytes.data(), bytes.size(), Check::hash);
    if (!weights) return Error(weights.error().code(), path + ": " + weights.error().what());
    return weights;
}

RETINAFACE_END_NAMESPACE
