// The accurate, heavy networks: include this beside retinaface.hpp. Programs that do not include it compile and link none of it.
//
//   retinaface::ResNet50Detector detector{retinaface::Weights::load("resnet50.safetensors")};
#pragma once

#include "detail/macros_begin.hpp"

#include <algorithm>
#include <array>

#include "detector.hpp"
#include "models/resnet.hpp"

RETINAFACE_BEGIN_NAMESPACE

/// ResNet-50, either form: biubug6's Resnet50 and insightface's R50.
using ResNet50Detector = BasicDetector<models::ResNet50, models::ResNet50Preactivation>;

/// A face, and what the paper's dense branch says of it.
struct DenseFace {
    Face face;
    std::array<float, models::kShapeTexture> shape_texture;  ///< coefficients of the mesh decoder
    std::array<float, models::kCamera> camera;               ///< location, point looked at, focal length
    std::array<float, models::kLight> light;                 ///< a point light's position and colour, ambient colour
};

/// The paper's network: ResNet-152, five levels (anchors from 16 pixels on, every 4 pixels), deformable convolution.
class PaperDetector : public BasicDetector<models::ResNet152Deformable> {
public:
    explicit PaperDetector(const Weights& weights, const Options& options = {}) : BasicDetector(weights, options) {}
    static Result<PaperDetector> create(const Weights& weights, const Options& options = {}) noexcept {
        return detail::as_result([&]() -> Result<PaperDetector> {
            Result<BasicDetector> made = BasicDetector::create(weights, options);
            if (!made) return made.error();
            return PaperDetector(*std::move(made));
        });
    }

    /// Faces as detect() gives them, with the dense branch's outputs, which are computed for these faces alone. Throws Error
    /// (invalid_argument) where the options ask for several looks or voting.
    std::vector<DenseFace> detect_dense(const ImageView& image) const { return dense_faces(image).value(); }
    Result<std::vector<DenseFace>> try_detect_dense(const ImageView& image) const noexcept {
        return detail::as_result([&] { return dense_faces(image); });
    }

private:
    explicit PaperDetector(BasicDetector made) noexcept : BasicDetector(std::move(made)) {}

    Result<std::vector<DenseFace>> dense_faces(const ImageView& image) const {
        std::vector<float> values;
        const Result<std::vector<Face>> faces = engine().detect_dense(image, values);
        if (!faces) return faces.error();
        std::vector<DenseFace> found((*faces).size());
        const float* next = values.data();
        const auto take = [&](auto& to) {
            std::copy_n(next, to.size(), to.begin());
            next += to.size();
        };
        for (std::size_t i = 0; i < found.size(); ++i) {
            found[i].face = (*faces)[i];
            take(found[i].shape_texture);
            take(found[i].camera);
            take(found[i].light);
        }
        return found;
    }
};

/// Whichever network of the library the weights file is for.
using AnyNetworkDetector = BasicDetector<models::MobileNet025, models::MobileNet025Light, models::Mnet12, models::ResNet50,
                                         models::ResNet50Preactivation, models::ResNet152Deformable>;

RETINAFACE_END_NAMESPACE

#include "detail/macros_end.hpp"
