// The self-test that travels in a weights file: an image, and every raw output that the file's author got for it.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "outputs.hpp"
#include "weights/archive.hpp"

RETINAFACE_BEGIN_NAMESPACE

/// Result of running the self-test of a weights file.
struct SelfTest {
    bool present = false;  ///< the file has one
    bool passed = false;   ///< outputs within the tolerance
    float max_difference = 0;
    static constexpr float kTolerance = 1e-3f;
};

namespace detail {

class SelfTestCase {
public:
    /// Throws Error (mismatch) for a self-test that is not whole.
    explicit SelfTestCase(const Weights& weights) {
        const Tensor* image = weights.find("selftest.image");
        if (image == nullptr) return;
        const auto fail = [](const std::string& what) { throw Error(ErrorCode::mismatch, "weights: " + what); };
        const bool sized = image->dtype == Tensor::Dtype::u8 && image->shape.size() == 3 && image->shape[2] == 3 && image->shape[0] >= 1 &&
                           image->shape[1] >= 1 && image->shape[0] <= 1024 && image->shape[1] <= 1024;
        if (!sized) fail("tensor 'selftest.image': expected U8 [H, W, 3], found " + to_string(image->shape));
        height_ = static_cast<int>(image->shape[0]);
        width_ = static_cast<int>(image->shape[1]);
        image_ = image->bytes;
        for (int i = 0; i < 3; ++i) {
            const Tensor* tensor = weights.find(kNames[i]);
            if (tensor == nullptr || tensor->dtype == Tensor::Dtype::u8)
                fail(std::string("tensor '") + kNames[i] + "': expected F32 beside selftest.image");
            outputs_[i] = tensor->values;
        }
    }

    bool present() const noexcept { return !image_.empty(); }
    ImageView image() const noexcept { return {image_.data(), width_, height_}; }

    /// Compares what a network made of image(). Throws Error (mismatch) where the counts differ.
    SelfTest compare(const RawOutputs& outputs) const {
        SelfTest result;
        result.present = true;
        const Span<const float> found[3] = {outputs.class_logits, outputs.boxes, outputs.landmarks};
        for (int i = 0; i < 3; ++i) {
            const std::vector<float>& expected = outputs_[i];
            if (expected.size() != found[i].size())
                throw Error(ErrorCode::mismatch, std::string("weights: tensor '") + kNames[i] + "': expected " +
                                                     std::to_string(found[i].size()) + " values, found " + std::to_string(expected.size()));
            for (std::size_t k = 0; k < expected.size(); ++k) {
                const float difference = std::abs(found[i][k] - expected[k]);
                if (!(difference <= result.max_difference)) result.max_difference = difference;
            }
        }
        result.passed = result.max_difference <= SelfTest::kTolerance;
        return result;
    }

private:
    static constexpr const char* kNames[3] = {"selftest.class", "selftest.box", "selftest.landmark"};

    std::vector<std::uint8_t> image_;
    std::vector<float> outputs_[3];
    int width_ = 0;
    int height_ = 0;
};

}  // namespace detail
RETINAFACE_END_NAMESPACE
