// Weights files made in memory: what the tests of the reader and of the detector start from.
#pragma once

#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "retinaface/weights/archive.hpp"
#include "seeded_networks.hpp"
#include "support/shared_files.hpp"

namespace retinaface_test {

using Bytes = std::vector<std::uint8_t>;

inline Bytes read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// 8 bytes of length, the header, the data.
inline Bytes archive_bytes(const std::string& header, const Bytes& data = {}) {
    Bytes bytes;
    for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<std::uint8_t>(static_cast<std::uint64_t>(header.size()) >> (8 * i)));
    bytes.insert(bytes.end(), header.begin(), header.end());
    bytes.insert(bytes.end(), data.begin(), data.end());
    return bytes;
}

/// Contents of a weights file, to be changed and written again (F16 becomes F32, which changes no value).
struct EditableWeights {
    std::map<std::string, std::string> metadata;
    std::vector<retinaface::Tensor> tensors;

    explicit EditableWeights(const retinaface::Weights& weights) : metadata(weights.metadata()), tensors(weights.tensors()) {
        // What is changed does not fit the hash.
        if (metadata.erase("hash") != 0) metadata["format"] = "retinaface-weights-1";
    }

    retinaface::Tensor& tensor(const std::string& name) {
        for (retinaface::Tensor& tensor : tensors)
            if (tensor.name == name) return tensor;
        throw std::runtime_error("no tensor " + name);
    }
    void remove(const std::string& name) {
        for (std::size_t i = tensors.size(); i-- > 0;)
            if (tensors[i].name == name) tensors.erase(tensors.begin() + static_cast<std::ptrdiff_t>(i));
    }
    void remove_selftest() {
        for (const char* kind : {"image", "class", "box", "landmark", "mesh"})
            for (const char* index : {"", ".2", ".3"}) remove(std::string("selftest.") + kind + index);
    }

    Bytes bytes() const {
        std::string header = "{\"__metadata__\":{";
        for (const auto& entry : metadata)
            header += (header.back() == '{' ? "\"" : ",\"") + entry.first + "\":\"" + entry.second + "\"";
        header += "}";
        Bytes data;
        for (const retinaface::Tensor& tensor : tensors) {
            const bool u8 = tensor.dtype == retinaface::Tensor::Dtype::u8;
            const std::size_t begin = data.size();
            if (u8) {
                data.insert(data.end(), tensor.bytes.begin(), tensor.bytes.end());
            } else {
                data.resize(begin + tensor.values.size() * sizeof(float));
                if (!tensor.values.empty())
                    std::memcpy(data.data() + begin, tensor.values.data(), tensor.values.size() * sizeof(float));
            }
            header += ",\"" + tensor.name + "\":{\"dtype\":\"" + (u8 ? "U8" : "F32") +
                      "\",\"shape\":" + retinaface::to_string(tensor.shape) + ",\"data_offsets\":[" + std::to_string(begin) +
                      "," + std::to_string(data.size()) + "]}";
        }
        return archive_bytes(header + "}", data);
    }
    retinaface::Weights weights() const {
        const Bytes all = bytes();
        return retinaface::Weights::from_memory(all.data(), all.size());
    }
};

/// A seeded network of the repository.
inline const retinaface::Weights& seeded_weights(bool light = false) {
    static const retinaface::Weights kFull = retinaface::Weights::load(source_file("tests/data/seeded_mobilenet025.safetensors"));
    static const retinaface::Weights kLight =
        retinaface::Weights::load(source_file("tests/data/seeded_mobilenet025_light.safetensors"));
    return light ? kLight : kFull;
}

/// The seeded network under another profile (its self-test left out, which is the first profile's).
inline retinaface::Weights seeded_weights_as(const std::string& profile) {
    EditableWeights edit(seeded_weights());
    edit.metadata["profile"] = profile;
    edit.remove_selftest();
    return edit.weights();
}

/// Seeded weights of mnet12: those of MobileNet-0.25 where the networks are alike, a hash where they are not.
inline const retinaface::Weights& seeded_mnet12() {
    static const retinaface::Weights kWeights = [] {
        EditableWeights edit(seeded_weights());
        edit.metadata["architecture"] = edit.metadata["profile"] = "mnet12";
        edit.remove_selftest();
        const auto put = [&](const std::string& name, const std::vector<int>& shape) {
            edit.remove(name);
            retinaface::Tensor tensor;
            tensor.name = name;
            std::size_t count = 1;
            for (const int side : shape) {
                tensor.shape.push_back(side);
                count *= static_cast<std::size_t>(side);
            }
            const float scale = hashed_scale(name, shape);
            for (std::size_t i = 0; i < count; ++i) tensor.values.push_back(hashed_value(name_hash(name), i) * scale);
            edit.tensors.push_back(std::move(tensor));
        };
        const auto put_convolution = [&](const std::string& name, int out, int in, int side) {
            put(name + ".weight", {out, in, side, side});
            put(name + ".bias", {out});
        };
        for (const char* part : {"depthwise", "pointwise"})
            for (const char* kind : {"weight", "bias"}) edit.remove(std::string("backbone.block1.") + part + "." + kind);
        put_convolution("backbone.conv0", 16, 3, 3);
        put_convolution("backbone.conv1", 32, 16, 1);
        put_convolution("backbone.block2.depthwise", 32, 1, 3);
        put_convolution("backbone.block2.pointwise", 32, 32, 1);
        put_convolution("backbone.last0", 256, 256, 1);
        return edit.weights();
    }();
    return kWeights;
}

}  // namespace retinaface_test
