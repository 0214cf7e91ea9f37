// The self-test that travels in a weights file: images, and every raw output that the file's author got for them.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "outputs.hpp"
#include "weights/archive.hpp"

RETINAFACE_BEGIN_NAMESPACE

/// Result of running the self-test of a weights file.
struct SelfTest {
    bool present = false;  ///< the file has one
    bool passed = false;   ///< every output of every image within the tolerance
    float max_difference = 0;
    static constexpr float kTolerance = 1e-3f;
};

namespace detail {

/// One image of it.
class SelfTestCase {
public:
    /// The cases of a file. Error (mismatch) for one that is not whole, and for a tensor that is of none.
    static Result<std::vector<SelfTestCase>> all(const Weights& weights) {
        std::vector<SelfTestCase> cases;
        for (std::string suffix; weights.find(kImage + suffix) != nullptr; suffix = "." + std::to_string(cases.size() + 1)) {
            Result<SelfTestCase> one = load(weights, suffix);
            if (!one) return one.error();
            cases.push_back(*std::move(one));
        }
        const auto known = [&](const std::string& tensor) {
            return std::any_of(cases.begin(), cases.end(), [&](const SelfTestCase& one) { return one.has(tensor); });
        };
        for (const Tensor& tensor : weights.tensors())
            if (tensor.name.rfind("selftest.", 0) == 0 && !known(tensor.name))
                return Error(ErrorCode::mismatch, "weights: tensor '" + tensor.name + "' is of no self-test: expected " + kImage +
                                                      (cases.empty() ? "" : "." + std::to_string(cases.size() + 1)) +
                                                      " beside it, found none");
        return cases;
    }

    ImageView image() const noexcept { return {image_.data(), width_, height_}; }

    /// The largest difference from what a network made of image(); `mesh` is what its mesh head said of each level's last cell. Error
    /// (mismatch) where the counts differ.
    Result<float> compare(const RawOutputs& outputs, Span<const float> mesh) const {
        float most = 0;
        const Span<const float> found[kOutputs] = {outputs.class_logits, outputs.boxes, outputs.landmarks, mesh};
        for (std::size_t i = 0; i < kOutputs; ++i) {
            const std::vector<float>& expected = outputs_[i];
            if (i == kMesh && expected.empty()) continue;  // files of before have none
            if (expected.size() != found[i].size())
                return Error(ErrorCode::mismatch, "weights: tensor '" + name(i, suffix_) + "': expected " +
                                                      std::to_string(found[i].size()) + " values, found " +
                                                      std::to_string(expected.size()));
            for (std::size_t k = 0; k < expected.size(); ++k) {
                const float difference = std::abs(found[i][k] - expected[k]);
                if (!(difference <= most)) most = difference;
            }
        }
        return most;
    }

private:
    static constexpr std::size_t kMesh = 3, kOutputs = 4;
    static constexpr const char* kImage = "selftest.image";

    /// Whether a tensor is one of this case's.
    bool has(const std::string& tensor) const {
        bool found = tensor == kImage + suffix_;
        for (std::size_t i = 0; i < kOutputs; ++i) found = found || tensor == name(i, suffix_);
        return found;
    }

    static std::string name(std::size_t output, const std::string& suffix) {
        static constexpr const char* kNames[kOutputs] = {"selftest.class", "selftest.box", "selftest.landmark", "selftest.mesh"};
        return kNames[output] + suffix;
    }

    /// `suffix` is empty, ".2", ".3" and so on.
    static Result<SelfTestCase> load(const Weights& weights, const std::string& suffix) {
        const auto fail = [](const std::string& what) { return Error(ErrorCode::mismatch, "weights: " + what); };
        const Tensor& image = *weights.find(kImage + suffix);
        const bool sized = image.dtype == Tensor::Dtype::u8 && image.shape.size() == 3 && image.shape[2] == 3 &&
                           image.shape[0] >= 1 && image.shape[1] >= 1 && image.shape[0] <= 1024 && image.shape[1] <= 1024;
        if (!sized) return fail("tensor '" + image.name + "': expected U8 [H, W, 3], found " + to_string(image.shape));
        SelfTestCase test;
        test.suffix_ = suffix;
        test.height_ = static_cast<int>(image.shape[0]);
        test.width_ = static_cast<int>(image.shape[1]);
        test.image_ = image.bytes;
        for (std::size_t i = 0; i < kOutputs; ++i) {
            const Tensor* tensor = weights.find(name(i, suffix));
            if (i == kMesh && tensor == nullptr) continue;
            if (tensor == nullptr || tensor->dtype == Tensor::Dtype::u8)
                return fail("tensor '" + name(i, suffix) + "': expected F32 beside " + image.name);
            test.outputs_[i] = tensor->values;
        }
        return test;
    }

    std::string suffix_;
    std::vector<std::uint8_t> image_;
    std::vector<float> outputs_[kOutputs];
    int width_ = 0;
    int height_ = 0;
};

}  // namespace detail
RETINAFACE_END_NAMESPACE
