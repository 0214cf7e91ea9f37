// 68 landmarks of a face by a small network, from the crop that five points align. What MeshEstimator's refinement rests on.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "../align.hpp"
#include "../detail/parallel.hpp"
#include "../layers/fused.hpp"
#include "../passes/layout.hpp"
#include "../passes/run.hpp"
#include "../weights/parameters.hpp"
#include "kernels.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace models {

/// The network: depthwise-separable blocks from 112 x 112 to 7 x 7, then all 7 x 7 x 8 values to 68 points. 9.6 M multiply-adds.
class Landmarks68 {
public:
    static constexpr int kSide = 112, kGrid = 7, kFeatures = 8, kPoints = 68, kOutputs = 2 * kPoints;

    explicit Landmarks68(detail::Parameters& parameters) {
        body_.load([&](std::size_t i) { return parameters.root()["layer" + std::to_string(i)]; }, layers::kRelu);
        const layers::Scope fc = parameters.root()["fc"];
        constexpr int kInputs = kGrid * kGrid * kFeatures;
        const std::vector<float> weight = fc.take("weight", {+kOutputs, kInputs});
        bias_ = fc.take("bias", {+kOutputs});
        weights_.reserve(static_cast<std::size_t>(kInputs) * kOutputs);
        for (std::ptrdiff_t o = 0; o < kOutputs; ++o)
            for (std::ptrdiff_t i = 0; i < kInputs; ++i)
                weights_.data()[kernels::panel_place(kInputs, kOutputs, i, o)] =
                    weight[static_cast<std::size_t>(o * kInputs + i)];
    }

    template <class Pass>
    auto forward(Pass& pass) const {
        return pass(body_, pass.image());
    }

    /// From the features, [kGrid][kGrid][kFeatures], to x and y of each point.
    void points(const kernels::GraphConv& kernels, const float* features, float* out) const {
        kernels::ChebDenseArgs a{};
        a.t[0] = features;
        a.terms = 1;
        a.channels_in = kGrid * kGrid * kFeatures;
        a.weights = weights_.data();
        a.bias = bias_.data();
        a.y = out;
        a.channels_out = kOutputs;
        a.pixels = 1;
        kernels.dense(a);
    }

private:
    layers::Fused<layers::Stem<3, 2, 16>, layers::Separable<16, 32, 2>, layers::Separable<32, 64>, layers::Separable<64, 64, 2>,
                  layers::Separable<64, 96>, layers::Separable<96, 96>, layers::Separable<96, 128, 2>,
                  layers::Separable<128, 128>, layers::Separable<128, kFeatures>>
        body_;
    detail::AlignedBuffer weights_;  ///< in panels
    std::vector<float> bias_;
};

}  // namespace models

/// Finds a face's 68 landmarks (iBUG's order) where five points say that it is. One thread at a time; allocates nothing for a face of a size
/// seen.
class LandmarkRefiner {
public:
    static constexpr int kPoints = models::Landmarks68::kPoints, kSide = models::Landmarks68::kSide;
    /// Where the five points lie in the crop of kSide x kSide: ArcFace's template around (56, 72), shrunk by 0.72 and moved to (56, 60), so
    /// that the whole face with its jaw is in it.
    static constexpr std::array<Point, 5> kTemplate = {
        Point{43.2521f, 45.3813f}, {68.6229f, 45.2410f}, {56.0181f, 59.8104f}, {45.5955f, 74.6632f}, {66.6055f, 74.5470f}};
    /// Pixels of the crop that an output of 1 is.
    static constexpr float kUnit = 10;

    /// `weights`: a file of format retinaface-refiner-2 (tools/mesh/train_refiner.py). Throws Error (mismatch): another format, a tensor
    /// that is missing, of another shape or one too many; (unsupported): no such instruction set.
    explicit LandmarkRefiner(const Weights& weights, Isa isa = Isa::automatic)
        : kernels_(kernels::find<kernels::GraphConv>(kernels::checked(isa))),
          aligner_({kSide, kSide, kTemplate}, isa),
          network_(std::make_unique<Planned>(weights, kernels::checked(isa))) {}
    /// The same, noexcept: an error is the Result's.
    static Result<LandmarkRefiner> create(const Weights& weights, Isa isa = Isa::automatic) noexcept {
        return detail::as_result([&] { return LandmarkRefiner(weights, isa); });
    }

    /// In pixels of `image` turned by `rotation`, as `five` are. Throws Error (invalid_argument): an image or a rotation that is no valid
    /// one; points that are not finite, coincide, or lie 1e9 pixels away. (Beside the image it sees black, and finds what it makes of that.)
    std::array<Point, kPoints> locate(const ImageView& image, const std::array<Point, 5>& five,
                                      Rotation rotation = Rotation::none) {
        // The aligner's pixels have their centres at whole numbers, a Point's at halves.
        const Similarity to_crop = estimate_similarity(five, kTemplate);
        const AlignedCrop crop = aligner_.warp(image, with_whole_centres(to_crop), rotation);
        alignas(64) float out[models::Landmarks68::kOutputs];
        network_->run(crop.image, kernels_, out);
        const Similarity back = to_crop.inverse();
        std::array<Point, kPoints> points;
        for (std::size_t i = 0; i < points.size(); ++i)
            points[i] =
                back(Point{network_->mean[2 * i] + kUnit * out[2 * i], network_->mean[2 * i + 1] + kUnit * out[2 * i + 1]});
        return points;
    }
    Result<std::array<Point, kPoints>> try_locate(const ImageView& image, const std::array<Point, 5>& five,
                                                  Rotation rotation = Rotation::none) noexcept {
        return detail::as_result([&] { return locate(image, five, rotation); });
    }

private:
    static Similarity with_whole_centres(Similarity s) {
        s.dx += 0.5 * (s.a - s.b) - 0.5;
        s.dy += 0.5 * (s.a + s.b) - 0.5;
        return s;
    }

    /// The network and its plan, which points to it.
    struct Planned {
        models::Landmarks68 network;
        std::vector<float> mean;  ///< [68][2], pixels of the crop
        passes::Plan plan;
        passes::Value features;
        passes::Progress progress;
        detail::AlignedArray<std::byte> arena;

        Planned(const Weights& weights, Isa isa) : Planned(detail::Parameters(checked(weights), isa)) {}

        void run(const ImageView& crop, const kernels::GraphConv& kernels, float* out) {
            constexpr float kMean = 127.5f;
            const layers::Pixels image{crop, kSide, kSide, {kMean, kMean, kMean}, false};
            passes::run(plan, image, arena.data(), {nullptr, 1}, progress);
            network.points(kernels, plan.map(features.id, arena.data()).data, out);
        }

    private:
        explicit Planned(detail::Parameters&& parameters)
            : network(parameters), mean(parameters.root().take("mean", {kPoints, 2})) {
            parameters.finish().value();
            passes::Layout layout(plan, 1, {kSide, kSide, 3}, 1);
            features = network.forward(layout);
            layout.place();
            arena = detail::AlignedArray<std::byte>(plan.size);
        }

        static const Weights& checked(const Weights& weights) {
            const std::string* const format = weights.find_metadata("format");
            if (format == nullptr || *format != detail::kRefinerFormat)
                detail::raise(Error(ErrorCode::mismatch, std::string("refiner: expected format ") + detail::kRefinerFormat +
                                                             ", found " + (format == nullptr ? "none" : *format)));
            return weights;
        }
    };

    kernels::GraphConv kernels_;
    Aligner aligner_;
    std::unique_ptr<Planned> network_;
};

RETINAFACE_END_NAMESPACE
