// The weights reader: what it accepts, and every way to break a file with the message that says so.

#include <doctest/doctest.h>

#include <cmath>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "buffers.hpp"
#include "retinaface/weights/default_mesh.hpp"
#include "retinaface/weights/default_refiner.hpp"
#include "retinaface/weights/default_weights.hpp"
#include "retinaface/weights/parameters.hpp"
#include "support/trim.hpp"
#include "temporary_file.hpp"
#include "weights_files.hpp"

namespace {

using namespace retinaface_test;
using namespace retinaface;

Bytes float_bytes(const std::vector<float>& values) {
    Bytes bytes(values.size() * 4);
    if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
    return bytes;
}

Bytes operator+(Bytes a, const Bytes& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

Weights parse(const Bytes& bytes) { return Weights::from_memory(bytes.data(), bytes.size()); }

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
}

/// Two floats, two halves and three bytes.
const Bytes kData = float_bytes({1.5f, -2.0f}) + Bytes{0x00, 0x3C, 0x01, 0x00} + Bytes{7, 8, 255};

struct GoodFile {
    const char* name;
    std::string header;
    Bytes data;
    std::function<void(const Weights&)> check;
};

TEST_CASE("files the format allows are read") {
    const auto all_three = [](const Weights& w) {
        REQUIRE(w.tensors().size() == 3);
        const Tensor *a = w.find("a"), *b = w.find("b"), *c = w.find("c");
        REQUIRE((a != nullptr && b != nullptr && c != nullptr));
        CHECK(a->dtype == Tensor::Dtype::f32);
        CHECK(a->shape == std::vector<std::int64_t>{2});
        CHECK(a->values == std::vector<float>{1.5f, -2.0f});
        CHECK(a->bytes.empty());
        CHECK(b->dtype == Tensor::Dtype::f16);
        CHECK(b->shape == std::vector<std::int64_t>{2, 1});
        CHECK(b->values == std::vector<float>{1.0f, std::ldexp(1.0f, -24)});
        CHECK(c->dtype == Tensor::Dtype::u8);
        CHECK(c->bytes == Bytes{7, 8, 255});
        CHECK(c->values.empty());
        // In the order of the data, whatever the header's.
        CHECK(&w.tensors()[0] == a);
        CHECK(&w.tensors()[1] == b);
        CHECK(&w.tensors()[2] == c);
        CHECK(w.find("d") == nullptr);
    };
    const std::string a = entry("a", "F32", "[2]", "[0,8]"), b = entry("b", "F16", "[2,1]", "[8,12]"),
                      c = entry("c", "U8", "[3]", "[12,15]");
    const auto metadata = [](const char* key, const std::string& value) {
        return [=](const Weights& w) {
            CHECK(w.metadata(key) == value);
            CHECK(w.metadata().size() == 1);
        };
    };
    const auto values_of = [](std::vector<float> values) {
        return [=](const Weights& w) { CHECK(w.find("a")->values == values); };
    };
    const GoodFile files[] = {
        {"in order", "{" + a + "," + b + "," + c + "}", kData, all_three},
        {"header in another order", "{" + c + "," + a + "," + b + "}", kData, all_three},
        {"metadata last", "{" + b + "," + c + "," + a + ",\"__metadata__\":{\"k\":\"v\"}}", kData, all_three},
        {"keys of a tensor in another order",
         "{\"a\":{\"data_offsets\":[0,8],\"shape\":[2],\"dtype\":\"F32\"}," + b +
             ",\"c\":{\"shape\":[3],\"data_offsets\":[12,15],\"dtype\":\"U8\"}}",
         kData, all_three},
        {"trailing spaces", "{" + a + "," + b + "," + c + "}       ", kData, all_three},
        {"white space between tokens",
         "{ \"a\" :\n{\t\"dtype\" : \"F32\" , \"shape\" : [ 2 ] ,\r\n\"data_offsets\" : [ 0 , 8 ] } ," + b + "," + c + "\n}",
         kData, all_three},
        {"nothing", "{}", {}, [](const Weights& w) { CHECK((w.tensors().empty() && w.metadata().empty())); }},
        {"metadata alone", "{\"__metadata__\":{\"key\":\"value\"}}", {}, metadata("key", "value")},
        {"empty metadata", "{\"__metadata__\":{}}", {}, [](const Weights& w) { CHECK(w.metadata().empty()); }},
        {"empty key and value", "{\"__metadata__\":{\"\":\"\"}}", {}, metadata("", "")},
        {"escapes", R"({"__metadata__":{"k":"\"\\\/\b\f\n\r\t"}})", {}, metadata("k", "\"\\/\b\f\n\r\t")},
        {"escapes of code points", R"({"__metadata__":{"k":"\u0041\u00e9\u20AC"}})", {}, metadata("k", "A\xC3\xA9\xE2\x82\xAC")},
        {"a surrogate pair", R"({"__metadata__":{"k":"\ud83d\ude00"}})", {}, metadata("k", "\xF0\x9F\x98\x80")},
        {"the last code point", R"({"__metadata__":{"k":"\udbff\udfff"}})", {}, metadata("k", "\xF4\x8F\xBF\xBF")},
        {"UTF-8 as it is", "{\"__metadata__\":{\"k\":\"\xC3\xA9\"}}", {}, metadata("k", "\xC3\xA9")},
        {"an escaped key", R"({"__metadata__":{"\u006b":"v"}})", {}, metadata("k", "v")},
        {"an escaped zero", R"({"__metadata__":{"k":"a\u0000b"}})", {}, metadata("k", std::string("a\0b", 3))},
        {"a scalar", "{" + entry("a", "F32", "[]", "[0,4]") + "}", float_bytes({3.25f}), values_of({3.25f})},
        {"eight dimensions", "{" + entry("a", "F32", "[1,1,1,1,1,1,1,2]", "[0,8]") + "}", float_bytes({1, 2}), values_of({1, 2})},
        {"a tensor of no values", "{" + entry("z", "F32", "[0,5]", "[4,4]") + "," + entry("a", "F32", "[1]", "[0,4]") + "}",
         float_bytes({1}), values_of({1})},
        {"no values amid others", "{" + entry("a", "F32", "[1]", "[0,4]") + "," + entry("z", "U8", "[0]", "[0,0]") + "}",
         float_bytes({1}), values_of({1})},
        {"extreme finite values", "{" + entry("a", "F32", "[3]", "[0,12]") + "}", float_bytes({3.402823466e38f, 1.4e-45f, -0.0f}),
         values_of({3.402823466e38f, 1.4e-45f, -0.0f})},
        {"halves at an odd offset", "{" + entry("u", "U8", "[1]", "[0,1]") + "," + entry("a", "F16", "[2]", "[1,5]") + "}",
         Bytes{9, 0xFF, 0x7B, 0xFF, 0x83}, values_of({65504.0f, -std::ldexp(1023.0f, -24)})},
    };
    for (const GoodFile& file : files) {
        CAPTURE(std::string(file.name));
        const Bytes bytes = archive_bytes(file.header, file.data);
        const Result<Weights> result = Weights::try_from_memory(bytes.data(), bytes.size());
        REQUIRE_MESSAGE(result.has_value(), result.error().what());
        file.check(*result);

        // Wherever the bytes lie.
        for (std::size_t shift = 1; shift < 4; ++shift) {
            CAPTURE(shift);
            Bytes shifted(shift);
            shifted.insert(shifted.end(), bytes.begin(), bytes.end());
            file.check(Weights::from_memory(shifted.data() + shift, bytes.size()));
        }
    }
}

TEST_CASE("half precision is read exactly, all 65536 of it") {
    std::size_t wrong = 0, refused = 0;
    for (std::uint32_t bits = 0; bits < 65536; ++bits) {
        const int exponent = static_cast<int>(bits >> 10 & 31), mantissa = static_cast<int>(bits & 1023);
        const double sign = bits >> 15 != 0 ? -1 : 1;
        const double value = exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
        const float found = detail::half_to_float(static_cast<std::uint16_t>(bits));
        if (exponent == 31) {
            refused += detail::is_finite(found) ? 0 : 1;
            continue;
        }
        if (!same_bits(found, static_cast<float>(sign * value))) ++wrong;
    }
    CHECK(wrong == 0);
    CHECK(refused == 2048);
}

struct BrokenFile {
    const char* name;
    Bytes bytes;
    const char* fragment;
};

std::vector<BrokenFile> broken_files() {
    const auto raw = [](const std::string& text) { return Bytes(text.begin(), text.end()); };
    const auto header = [](const std::string& text, const Bytes& data = {}) { return archive_bytes(text, data); };
    const Bytes eight = float_bytes({1, 2});
    const auto tensor = [&](const std::string& dtype, const std::string& shape, const std::string& offsets, const Bytes& data) {
        return archive_bytes("{" + entry("a", dtype, shape, offsets) + "}", data);
    };
    const auto value = [&](const std::string& text) { return archive_bytes("{\"__metadata__\":{\"k\":\"" + text + "\"}}"); };
    const std::string a = entry("a", "F32", "[2]", "[0,8]");
    const float infinity = std::numeric_limits<float>::infinity();
    Bytes long_length = archive_bytes("{}");
    for (int i = 0; i < 8; ++i) long_length[static_cast<std::size_t>(i)] = 0xFF;
    Bytes past_end = archive_bytes("{}");
    past_end[0] = 3;
    return {
        {"empty", {}, "expected at least 8 bytes, found 0"},
        {"seven bytes", Bytes(7), "expected at least 8 bytes, found 7"},
        {"a text", raw("Once upon a time there was a file."),
         "bytes, at most 1048576 are accepted (not a safetensors file, or damaged?)"},
        {"a header length of 2^64 - 1", long_length, "header of 18446744073709551615 bytes, at most"},
        {"a header over the limit", header("{}" + std::string(std::size_t{1} << 20, ' ')),
         "header of 1048578 bytes, at most 1048576"},
        {"a header past the end", past_end, "header of 3 bytes runs past the end: 2 bytes follow (truncated or damaged?)"},
        {"no header", header(""), "header: expected '{' as its first byte"},
        {"an array", header("[]"), "header: expected '{' as its first byte"},
        {"a leading space", header(" {}"), "header: expected '{' as its first byte"},
        {"an open brace", header("{"), "byte 1: expected a string for a key of the header"},
        {"a key alone", header("{\"a\""), "expected ':' behind key 'a' of the header"},
        {"a number for a tensor", header("{\"a\":1}"), "expected '{' at the start of tensor 'a'"},
        {"an array for a tensor", header("{\"a\":[]}"), "byte 5: expected '{' at the start of tensor 'a'"},
        {"an unquoted key", header("{a:1}"), "byte 1: expected a string for a key of the header"},
        {"text behind", header("{} x"), "byte 3: text behind the JSON object"},
        {"a second object", header("{}{}"), "byte 2: text behind the JSON object"},
        {"a line behind", header("{}\n "), "text behind the JSON object"},
        {"a zero behind", header(std::string("{}\0\0\0", 5)), "text behind the JSON object"},
        {"a trailing comma", header("{" + a + ",}", eight), "expected a string for a key of the header"},
        {"a missing comma", header("{" + a + a + "}", eight), "expected '}' at the end of the header"},
        {"an unclosed object", header("{" + a, eight), "expected '}' at the end of the header"},
        {"an unterminated key", header("{\"a"), "unterminated string in a key of the header"},
        {"an unterminated escape", header("{\"__metadata__\":{\"k\":\"\\"), "bad escape in a string of metadata 'k'"},
        {"a control character", value("a\tb"), "control character in a string of metadata 'k'"},
        {"a zero in a string", value(std::string(1, '\0')), "byte 23: control character in a string of metadata 'k'"},
        {"an unknown escape", value("\\q"), "bad escape in a string of metadata 'k'"},
        {"too few hex digits", value("\\u12"), "bad \\u escape in metadata 'k'"},
        {"no hex digit", value("\\u12G4"), "byte 26: bad \\u escape in metadata 'k'"},
        {"a high surrogate alone", value("\\ud800"), "lone surrogate in metadata 'k'"},
        {"a high surrogate before text", value("\\ud800abcdef"), "byte 28: lone surrogate in metadata 'k'"},
        {"two high surrogates", value("\\ud800\\ud800"), "byte 34: lone surrogate in metadata 'k'"},
        {"the last control character", value("ab\x1F"), "byte 25: control character in a string of metadata 'k'"},
        {"the last high surrogate alone", value("xyz\\udbff"), "lone surrogate in metadata 'k'"},
        {"a high surrogate before a code point past the low ones", value("--\\ud800\\ue000"),
         "byte 36: lone surrogate in metadata 'k'"},
        {"a low surrogate", value("x\\udc00"), "byte 29: lone surrogate in metadata 'k'"},
        {"a tensor twice", header("{" + a + "," + a + "}", eight), "duplicate key 'a' in the header"},
        {"a tensor twice by escape", header("{" + a + ",\"\\u0061\":" + a.substr(4) + "}", eight),
         "duplicate key 'a' in the header"},
        {"metadata twice", header("{\"__metadata__\":{},\"__metadata__\":{}}"), "duplicate key '__metadata__' in the header"},
        {"a metadata key twice", header("{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}}"), "duplicate key 'k' in __metadata__"},
        {"dtype twice", header("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", eight),
         "duplicate key 'dtype' in tensor 'a'"},
        {"a number as metadata", header("{\"__metadata__\":{\"k\":1}}"), "expected a string for metadata 'k'"},
        {"null as metadata", header("{\"__metadata__\":{\"key\":null}}"), "expected a string for metadata 'key'"},
        {"a string for metadata", header("{\"__metadata__\":\"x\"}"), "expected '{' at the start of __metadata__"},
        {"an object in metadata", header("{\"__metadata__\":{\"deep\":{}}}"), "expected a string for metadata 'deep'"},
        {"a tensor without a name", header("{\"\":{}}"), "header: a tensor without a name"},
        {"an unknown key", header("{\"a\":{\"strides\":[1]}}"), "tensor 'a': unknown key 'strides'"},
        {"no dtype", header("{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", eight), "tensor 'a': has no dtype"},
        {"no shape", header("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", eight), "tensor 'a': has no shape"},
        {"no offsets", header("{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", eight), "tensor 'a': has no data_offsets"},
        {"F64", tensor("F64", "[1]", "[0,8]", eight), "dtype must be F32, F16 or U8, found F64"},
        {"a number for a dtype", header("{\"a\":{\"dtype\":32}}"), "expected a string for dtype of tensor 'a'"},
        {"a string for a shape", tensor("F32", "\"2\"", "[0,8]", eight), "expected '[' at the start of shape of tensor 'a'"},
        {"a negative dimension", tensor("F32", "[-2]", "[0,8]", eight), "expected a non-negative integer in shape of tensor 'a'"},
        {"a fraction", tensor("F32", "[2.0]", "[0,8]", eight), "expected ']' at the end of shape of tensor 'a'"},
        {"an exponent", tensor("F32", "[2e0]", "[0, 8]", eight), "byte 30: expected ']' at the end of shape of tensor 'a'"},
        {"a leading zero", tensor("F32", "[02]", "[0,8]", eight), "leading zero in shape of tensor 'a'"},
        {"a number past 2^53", tensor("F32", "[99999999999999999999]", "[0,8]", eight),
         "number too large in shape of tensor 'a'"},
        {"nine dimensions", tensor("F32", "[2,1,1,1,1,1,1,1,1]", "[0,8]", eight), "more than 8 numbers in shape of tensor 'a'"},
        {"a comma before the bracket", tensor("F32", "[2,]", "[0,8]", eight),
         "byte 31: expected a non-negative integer in shape"},
        {"a nested shape", tensor("F32", "[[2]]", "[0,8]", eight), "byte 29: expected a non-negative integer in shape"},
        {"an unclosed shape", header("{\"a\":{\"shape\":[2"), "expected ']' at the end of shape of tensor 'a'"},
        {"one offset", tensor("F32", "[2]", "[8]", eight), "data_offsets must be 2 numbers, found 1"},
        {"no offset", tensor("F32", "[2]", "[]", eight), "data_offsets must be 2 numbers, found 0"},
        {"three offsets", tensor("F32", "[2]", "[0,8,8]", eight), "more than 2 numbers in data_offsets of tensor 'a'"},
        {"offsets backwards", tensor("F32", "[2]", "[8,0]", eight), "data_offsets run backwards: [8, 0]"},
        {"too few bytes for the shape", tensor("F32", "[3]", "[0,8]", eight),
         "shape [3] of F32 takes 12 bytes, data_offsets span 8"},
        {"too many bytes for the shape", tensor("F16", "[3]", "[0,8]", eight),
         "shape [3] of F16 takes 6 bytes, data_offsets span 8"},
        {"a shape over the limit", tensor("F32", "[1073741824,1073741824]", "[0,8]", eight),
         "shape [1073741824, 1073741824] is too large"},
        {"a shape that overflows", tensor("U8", "[4294967296,4294967296]", "[0,0]", {}),
         "shape [4294967296, 4294967296] is too large"},
        {"overlapping tensors", header("{" + a + "," + entry("b", "F32", "[1]", "[4,8]") + "}", eight),
         "tensor 'b': overlaps the tensor before it (starts at 4, expected 8)"},
        {"the same bytes twice", header("{" + a + "," + entry("c", "F32", "[2]", "[0,8]") + "}", eight),
         "overlaps the tensor before it (starts at 0, expected 8)"},
        {"a gap", header("{" + entry("a", "F32", "[1]", "[0,4]") + "," + entry("b", "F32", "[1]", "[8,12]") + "}", Bytes(12)),
         "tensor 'b': gap of 4 bytes before it"},
        {"a gap at the start", tensor("F32", "[1]", "[4,8]", eight), "tensor 'a': gap of 4 bytes before it"},
        {"data cut short", tensor("F32", "[2]", "[0,8]", Bytes(7)), "tensor 'a': ends at byte 8 of 7 (truncated?)"},
        {"a byte too many", tensor("F32", "[2]", "[0,8]", Bytes(9)), "1 bytes behind the last tensor"},
        {"data without tensors", header("{}", eight), "8 bytes behind the last tensor"},
        {"NaN", tensor("F32", "[2]", "[0,8]", float_bytes({1, std::nanf("")})), "tensor 'a': value 1 is not finite"},
        {"infinity", tensor("F32", "[2]", "[0,8]", float_bytes({infinity, 1})), "tensor 'a': value 0 is not finite"},
        {"an infinite half", tensor("F16", "[3]", "[0,6]", Bytes{0, 0, 0, 0, 0x00, 0xFC}), "tensor 'a': value 2 is not finite"},
        {"a half that is no number", tensor("F16", "[4]", "[0,8]", Bytes{0, 0, 0, 0, 0, 0, 0x01, 0x7C}),
         "tensor 'a': value 3 is not finite"},
    };
}

TEST_CASE("every broken file is refused with a message of its own") {
    const std::vector<BrokenFile> files = broken_files();
    std::set<std::string> messages;
    for (const BrokenFile& file : files) {
        CAPTURE(std::string(file.name));
        // Memory that ends where the file does.
        const Bytes exact(file.bytes.begin(), file.bytes.end());
        const Result<Weights> result = Weights::try_from_memory(exact.data(), exact.size());
        REQUIRE_FALSE(result.has_value());
        const std::string message = result.error().what();
        CAPTURE(message);
        CHECK(result.error().code() == ErrorCode::bad_format);
        CHECK(message.rfind("weights: ", 0) == 0);
        CHECK(message.find(file.fragment) != std::string::npos);
        CHECK(message.find('\n') == std::string::npos);
        messages.insert(message);

        // The same of a file that is opened.
        const TemporaryFile on_disk(file.bytes);
        const Result<Weights> opened = Weights::try_open(on_disk.path.string());
        REQUIRE_FALSE(opened.has_value());
        CHECK(opened.error().code() == result.error().code());
        CHECK(opened.error().what() == on_disk.path.string() + ": " + message);
    }
    CHECK(files.size() >= 45);
    CHECK(messages.size() >= 60);  // some ways to break a file are one mistake
    CHECK_THROWS_AS(Weights::from_memory(nullptr, 100), Error);
}

/// A small file with all of the format in it.
Bytes small_file() {
    return archive_bytes("{\"__metadata__\":{\"k\":\"a\\n\\u20ac\\ud83d\\ude00\"}," + entry("a", "F32", "[2]", "[0,8]") + "," +
                             entry("b", "F16", "[2,1]", "[8,12]") + "," + entry("c", "U8", "[3]", "[12,15]") + "} ",
                         kData);
}

TEST_CASE("every beginning of a file is refused") {
    const Bytes file = small_file();
    REQUIRE(parse(file).tensors().size() == 3);
    for (std::size_t size = 0; size < file.size(); ++size) {
        CAPTURE(size);
        const Bytes part(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size));
        const Result<Weights> result = Weights::try_from_memory(part.data(), part.size());
        REQUIRE_FALSE(result.has_value());
        CHECK(result.error().code() == ErrorCode::bad_format);
    }
    // The same with a length that fits, so that the header itself is cut.
    const std::size_t header = file.size() - 8 - kData.size();
    for (std::size_t size = 0; size + 2 < header; ++size) {  // without its closing brace
        CAPTURE(size);
        const Bytes cut =
            archive_bytes(std::string(file.begin() + 8, file.begin() + 8 + static_cast<std::ptrdiff_t>(size)), kData);
        CHECK_FALSE(Weights::try_from_memory(cut.data(), cut.size()).has_value());
    }
}

TEST_CASE("any byte changed gives an error or a file, never harm") {
    const Bytes file = small_file();
    int accepted = 0, refused = 0;
    for (std::size_t i = 0; i < file.size(); ++i) {
        for (int value = 0; value < 256; value += trimmed() ? 37 : 1) {
            Bytes changed = file;
            changed[i] = static_cast<std::uint8_t>(value);
            const Result<Weights> result = Weights::try_from_memory(changed.data(), changed.size());
            (result.has_value() ? accepted : refused) += 1;
            if (result.has_value())
                for (const Tensor& tensor : (*result).tensors())
                    for (const float v : tensor.values) REQUIRE(std::isfinite(v));
        }
    }
    CHECK(accepted > 0);
    CHECK(refused > accepted);
}

TEST_CASE("files are read, and what cannot be is named") {
    const TemporaryFile good(small_file()), empty({}), broken(archive_bytes("{}", Bytes(3)));
    CHECK(Weights::load(good.path.string()).find("b")->values.size() == 2);

    // Larger than one read.
    const std::size_t count = (std::size_t{3} << 20) / 4 + 1;
    const TemporaryFile large(
        archive_bytes("{" + entry("a", "F32", "[" + std::to_string(count) + "]", "[0," + std::to_string(4 * count) + "]") + "}",
                      Bytes(4 * count)));
    CHECK(Weights::load(large.path.string()).find("a")->values.size() == count);

    struct BadPath {
        std::string path;
        ErrorCode code;
        const char* fragment;
    };
    const BadPath cases[] = {
        {good.path.string() + ".missing", ErrorCode::io, ".missing: cannot be opened"},
        {std::filesystem::temp_directory_path().string(), ErrorCode::io, ": cannot be read"},
        {empty.path.string(), ErrorCode::bad_format, ": weights: expected at least 8 bytes, found 0"},
        {broken.path.string(), ErrorCode::bad_format, ": weights: 3 bytes behind the last tensor"},
    };
    for (const BadPath& bad : cases) {
        CAPTURE(bad.path);
        const Result<Weights> result = Weights::try_load(bad.path);
        REQUIRE_FALSE(result.has_value());
        CHECK(result.error().code() == bad.code);
        const std::string message = result.error().what();
        CAPTURE(message);
        CHECK(message.rfind(bad.path, 0) == 0);
        CHECK(message.find(bad.fragment) != std::string::npos);
        CHECK_THROWS_AS(Weights::load(bad.path), Error);
        const Result<Weights> opened = Weights::try_open(bad.path);
        REQUIRE_FALSE(opened.has_value());
        CHECK(opened.error().code() == bad.code);
        CHECK(std::string(opened.error().what()) == message);
    }
}

TEST_CASE("what is opened leaves large tensors in the file and has their values all the same") {
    const std::size_t count = Weights::kLarge / 4, size = 4 * count;
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<float>(i) / 7;
    const auto file = [&](const std::vector<float>& of_large) {
        const std::string end = std::to_string(size + 8);
        return archive_bytes("{" + entry("large", "F32", "[" + std::to_string(count) + "]", "[0," + std::to_string(size) + "]") +
                                 "," + entry("small", "F32", "[2]", "[" + std::to_string(size) + "," + end + "]") + "}",
                             float_bytes(of_large) + float_bytes({1, 2}));
    };
    const TemporaryFile good(file(values));
    const Weights opened = Weights::open(good.path.string()), copy = opened;
    REQUIRE(opened.find("large") != nullptr);
    CHECK(opened.find("large")->values.empty());
    CHECK(opened.values(*opened.find("large")) == values);
    CHECK(copy.values(*copy.find("large")) == values);
    CHECK(opened.find("small")->values == std::vector<float>{1, 2});
    CHECK(opened.values(*opened.find("small")) == std::vector<float>{1, 2});
    const Weights loaded = Weights::load(good.path.string());
    CHECK(loaded.values(*loaded.find("large")) == values);
    {
        detail::Parameters parameters(opened, Isa::reference);
        CHECK(parameters.root().take("large", {static_cast<std::int64_t>(count)}) == values);
    }

    values[5] = std::numeric_limits<float>::infinity();
    const TemporaryFile infinite(file(values));
    const Weights with_infinity = Weights::open(infinite.path.string());
    const Error not_finite = with_infinity.try_values(*with_infinity.find("large")).error();
    CHECK(not_finite.code() == ErrorCode::bad_format);
    CHECK(not_finite.what() == std::string("weights: tensor 'large': value 5 is not finite"));

    // A file that changes: an error that says so, from whoever reads it then.
    std::filesystem::resize_file(good.path, 100);
    CHECK(opened.try_values(*opened.find("large")).error().code() == ErrorCode::io);
    detail::Parameters parameters(opened, Isa::reference);
    CHECK(parameters.root().take("large", {static_cast<std::int64_t>(count)}) == std::vector<float>(count));
    CHECK(parameters.finish().error().what() == std::string("weights: tensor 'large' cannot be read: has the file changed?"));
}

TEST_CASE("the hash is BLAKE2b") {
    // RFC 7693's, with a digest of 128 bits: what Python's hashlib.blake2b(data, digest_size=16) says of the bytes 0, 7, 14, ...
    struct Sum {
        std::size_t size;
        const char* digits;
    };
    for (const Sum sum : {Sum{0, "cae66941d9efbd404e4d88758ea67670"}, Sum{1, "7025e075d5e2f6cde3cc051a31f07660"},
                          Sum{127, "40efb3ed1b6eb973c5f774422adb0230"}, Sum{128, "06e5bcee475a6bf6d9b8a07c6f4ae80a"},
                          Sum{129, "2ec7e7bf8a8265ffd68aadd70ecd2b7e"}, Sum{256, "dbb08d79105462394550aa4d4e10133f"},
                          Sum{257, "6510946411e0caf5e4de75adf990b58d"}, Sum{1000, "8095a6f38992fefe1c12ac8ec5e70791"}}) {
        Bytes bytes(sum.size);
        for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(7 * i);
        for (const std::size_t first : {std::size_t{0}, sum.size / 3, sum.size}) {
            CAPTURE(sum.size);
            CAPTURE(first);
            detail::Blake2b128 hash;
            hash.add(bytes.data(), first);
            hash.add(bytes.data() + first, bytes.size() - first);
            const auto digits = hash.digits();
            CHECK(std::string(digits.begin(), digits.end()) == sum.digits);
        }
    }
}

TEST_CASE("any bit that flips in a file with a hash is an error that says damaged") {
    Bytes good;
    SUBCASE("a detector's") { good = read_file(source_file("weights/retinaface_mobilenet025.safetensors")); }
    SUBCASE("a mesh decoder's") { good = bytes_of(embedded::kDefaultMesh); }
    SUBCASE("a landmark refiner's") { good = bytes_of(embedded::kDefaultRefiner); }
    REQUIRE(parse(good).has_hash());
    std::size_t header = 0;
    for (std::size_t i = 0; i < 8; ++i) header |= std::size_t{good[i]} << (8 * i);
    Bytes changed = good;
    Random random(7);
    const auto flip = [&](std::size_t bit) {
        changed[bit / 8] ^= static_cast<std::uint8_t>(1u << (bit % 8));
        const Result<Weights> result = Weights::try_from_memory(changed.data(), changed.size());
        changed[bit / 8] = good[bit / 8];
        CAPTURE(bit);
        REQUIRE_FALSE(result.has_value());
        CHECK(std::string(result.error().what()).find("damaged") != std::string::npos);
        CHECK((result.error().code() == ErrorCode::damaged || bit < 64));
    };
    // The length of the header, and where the hash and the format are said; then anywhere in the header, and anywhere.
    for (std::size_t bit = 0; bit < 8 * (8 + 128); ++bit) flip(bit);
    for (int i = 0; i < (trimmed() ? 50 : 500); ++i)
        flip(8 * 8 + static_cast<std::size_t>(random.below(static_cast<int>(8 * header))));
    for (int i = 0; i < (trimmed() ? 50 : 2000); ++i)
        flip(static_cast<std::size_t>(random.below(static_cast<int>(8 * good.size()))));
    CHECK(parse(changed).has_hash());

    // Cut short or longer.
    changed.push_back(0);
    CHECK(Weights::try_from_memory(changed.data(), changed.size()).error().code() == ErrorCode::damaged);
    changed.resize(good.size() - 1);
    CHECK(Weights::try_from_memory(changed.data(), changed.size()).error().code() == ErrorCode::damaged);
}

TEST_CASE("a file of the first format has no hash and is read") {
    const EditableWeights old(seeded_weights());
    REQUIRE(old.metadata.at("format") == "retinaface-weights-1");
    CHECK_FALSE(old.weights().has_hash());
    CHECK(seeded_weights().has_hash());

    EditableWeights second = old;
    second.metadata["format"] = "retinaface-weights-2";
    const Bytes bytes = second.bytes();
    const Result<Weights> result = Weights::try_from_memory(bytes.data(), bytes.size());
    REQUIRE_FALSE(result.has_value());
    CHECK(result.error().code() == ErrorCode::damaged);
}

TEST_CASE("the embedded weights are the shipped file") {
    const embedded::EmbeddedFile& file = embedded::kDefaultWeights;
    const Bytes bytes = bytes_of(file);
    CHECK(bytes == read_file(source_file("weights/retinaface_mobilenet025.safetensors")));
    CHECK(parse(bytes).has_hash());
    CHECK(Weights::from_embedded(file).has_hash());
    CHECK(Weights::try_from_embedded({file.bytes, file.size - 1}).error().code() == ErrorCode::bad_format);
    CHECK(Weights::try_from_embedded({file.bytes, 7}).error().code() == ErrorCode::bad_format);
    CHECK(Weights::try_from_embedded({}).error().code() == ErrorCode::bad_format);
}

TEST_CASE("metadata that is missing is named") {
    const Weights weights = parse(small_file());
    CHECK(weights.metadata("k") == "a\n\xE2\x82\xAC\xF0\x9F\x98\x80");
    CHECK_THROWS_WITH_AS(weights.metadata("profile"), "weights: metadata has no key 'profile'", Error);
    CHECK(weights.find_metadata("profile") == nullptr);
    CHECK(*weights.find_metadata("k") == weights.metadata("k"));
}

TEST_CASE("parameters are taken once, with the shape expected, and none is left") {
    const Weights weights = parse(small_file());
    {
        detail::Parameters parameters(weights, Isa::reference);
        CHECK(parameters.root().take("a", {2}) == std::vector<float>{1.5f, -2.0f});
        CHECK(parameters.root().take("b", {2, 1}).size() == 2);
    }
    struct Mistake {
        const char* name;
        std::initializer_list<std::int64_t> shape;
        const char* message;
    };
    const Mistake mistakes[] = {{"b", {2}, "weights: tensor 'b': expected shape [2], found [2, 1]"},
                                {"c", {3}, "weights: tensor 'c': expected F32 or F16, found U8"},
                                {"d", {4, 1}, "weights: tensor 'd' is missing, expected shape [4, 1]"}};
    for (const Mistake& mistake : mistakes) {
        detail::Parameters parameters(weights, Isa::reference);
        const std::vector<float>& zeros = parameters.root().take(mistake.name, mistake.shape);
        for (const float value : zeros) CHECK(value == 0);
        CHECK(zeros.size() > 0);
        parameters.root().take("e", {1});  // the first mistake counts
        CHECK(parameters.finish().error().what() == std::string(mistake.message));
        CHECK(parameters.finish().error().code() == ErrorCode::mismatch);
    }
    EditableWeights edit(weights);
    edit.metadata = {{"architecture", "test"}};
    edit.remove("c");
    const Weights two = edit.weights();
    detail::Parameters parameters(two, Isa::reference);
    parameters.root().take("a", {2});
    CHECK(parameters.finish().error().what() == std::string("weights: tensor 'b' does not belong to architecture test"));
    parameters.root().take("b", {2, 1});
    CHECK(parameters.finish().has_value());

    edit.tensors[1].name = "selftest.b";  // belongs to every file
    const Weights with_selftest = edit.weights();
    detail::Parameters others(with_selftest, Isa::reference);
    others.root().take("a", {2});
    CHECK(others.finish().has_value());
}

}  // namespace
