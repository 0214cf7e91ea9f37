// Weights of wide networks made at test time: files of 100 to 280 MB that nobody has to store. Values are a hash of the tensor's name, the
// seed and the index, so that the independent model (tools/oracle/heavy_networks.py --hashed) makes the same ones.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "retinaface/weights/archive.hpp"

namespace retinaface_test {

/// FNV-1a.
inline std::uint64_t name_hash(const std::string& name) {
    std::uint64_t hash = 0xCBF29CE484222325u;
    for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
    return hash;
}

/// A multiple of 2^-23 in [-1, 1): splitmix64's output function.
inline float hashed_value(std::uint64_t name, std::uint64_t index) {
    std::uint64_t z = name + (index + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    return static_cast<float>(static_cast<std::int64_t>(z >> 40) - (std::int64_t{1} << 23)) / 8388608.0f;
}

struct TensorShape {
    std::string name;
    std::vector<int> shape;
};

/// By how much the values of a tensor are scaled; powers of 2, so that no rounding can differ. A convolution keeps the size of what it
/// reads, about; sums of many blocks stay sane; offsets reach some pixels.
inline float hashed_scale(const std::string& name, const std::vector<int>& shape) {
    const auto ends = [&](const char* text) {
        return name.size() >= std::strlen(text) && name.compare(name.size() - std::strlen(text), std::string::npos, text) == 0;
    };
    const bool offset = name.find(".offset.") != std::string::npos;
    if (ends(".bias")) return offset ? 4.0f : 0.25f;
    const int fan_in = shape[1] * shape[2] * shape[3];
    float scale = 1;
    while (scale * scale * static_cast<float>(fan_in) > 8) scale /= 2;  // the variance of a value is a third
    if (name == "backbone.conv0.weight") scale /= 64;
    if (name.compare(0, 9, "backbone.") == 0 && ends(".conv3.weight")) scale /= 4;
    if (offset) scale /= 4;
    return scale;
}

/// The bytes of a weights file with these tensors.
inline std::vector<std::uint8_t> hashed_weights_file(const std::string& architecture, const std::string& profile,
                                                     const std::vector<TensorShape>& tensors) {
    std::string header = "{\"__metadata__\":{\"format\":\"retinaface-weights-1\",\"architecture\":\"" + architecture +
                         "\",\"profile\":\"" + profile + "\",\"version\":\"1\",\"source\":\"hashed\",\"licence\":\"CC0-1.0\"}";
    std::size_t size = 0;
    for (const TensorShape& tensor : tensors) {
        std::size_t count = 1;
        std::string shape;
        for (const int side : tensor.shape)
            count *= static_cast<std::size_t>(side), shape += (shape.empty() ? "" : ",") + std::to_string(side);
        header += ",\"" + tensor.name + "\":{\"dtype\":\"F32\",\"shape\":[" + shape + "],\"data_offsets\":[" +
                  std::to_string(size) + "," + std::to_string(size + 4 * count) + "]}";
        size += 4 * count;
    }
    header += "}";
    std::vector<std::uint8_t> bytes(8 + header.size() + size);
    for (std::size_t i = 0; i < 8; ++i)
        bytes[i] = static_cast<std::uint8_t>(static_cast<std::uint64_t>(header.size()) >> (8 * i));
    std::memcpy(bytes.data() + 8, header.data(), header.size());
    std::uint8_t* out = bytes.data() + 8 + header.size();
    for (const TensorShape& tensor : tensors) {
        std::size_t count = 1;
        for (const int side : tensor.shape) count *= static_cast<std::size_t>(side);
        const std::uint64_t name = name_hash(tensor.name);
        const float scale = hashed_scale(tensor.name, tensor.shape);
        const bool norm = tensor.shape.size() == 4 && tensor.shape[1] == 1;  // a BatchNorm's gain: around 1
        for (std::size_t i = 0; i < count; ++i) {
            float value = hashed_value(name, i) * scale;
            if (norm)
                value = tensor.name == "backbone.input.weight" ? 1.0f / 64 + hashed_value(name, i) / 256
                                                               : 0.75f + hashed_value(name, i) / 4;
            std::memcpy(out, &value, sizeof value);
            out += sizeof value;
        }
    }
    return bytes;
}

}  // namespace retinaface_test
