// The detector: weights and options in, faces out. The order of the stages (stages/), nothing else.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "detail/validate_options.hpp"
#include "models/mobilenet.hpp"
#include "models/retinaface.hpp"
#include "self_test.hpp"
#include "workspace.hpp"
#if !defined(RETINAFACE_NO_DEFAULT_WEIGHTS)
#include "weights/default_weights.hpp"
#endif

RETINAFACE_BEGIN_NAMESPACE
namespace detail {

/// What a Detector shares with its copies.
class Engine {
public:
    Engine(std::unique_ptr<const models::Network> network, const Weights& weights, const Options& options)
        : network_(std::move(network)), options_(options), metadata_(weights.metadata()), self_test_(weights), yuv_(network_->isa()) {
        if (options.threads > 1 && options.executor == nullptr) pool_ = std::make_unique<ThreadPool>(options.threads);
    }

    const Options& options() const noexcept { return options_; }
    const models::Network& network() const noexcept { return *network_; }
    const std::string& metadata(const char* key) const { return metadata_.at(key); }

    Span<const Face> detect(const ImageView& image, Workspace& w) const {
        const ImageView picture = upright(image, w);
        const Profile& profile = network_->profile();
        const Looks looks = make_looks(picture.width, picture.height, options_, profile.size_multiple, profile.inclusive);
        if (looks.count == 1 && options_.voting == Voting::none) {
            const stages::Outputs outputs = infer(picture, looks.inputs[0], w);
            return clipped(w.after_.faces(outputs, profile, options_, OnDemand{*this, outputs, w}), outputs.input, w);
        }

        std::size_t anchors = 0;
        for (std::size_t i = 0; i < looks.count; ++i) {
            const InputSize& input = looks.inputs[i];
            const AnchorGrid grid(network_->anchors(), input.padded_height, input.padded_width, profile.first_centre);
            anchors += static_cast<std::size_t>(grid.size());
        }
        w.after_.reserve(anchors, options_);
        w.after_.clear();
        for (std::size_t i = 0; i < looks.count; ++i) {
            const stages::Outputs outputs = infer(picture, looks.inputs[i], w);
            w.after_.collect(outputs, profile, options_, OnDemand{*this, outputs, w});
        }
        return clipped(w.after_.merged(profile, options_), looks.inputs[0], w);
    }

    /// Every output for the image, turned upright, at a size.
    RawOutputs forward(const ImageView& image, const SizePolicy& policy, Workspace& w) const {
        return forward_upright(upright(image, w), policy, w);
    }

    Span<const Face> decode(const RawOutputs& raw, Workspace& w) const {
        const Profile& profile = network_->profile();
        const stages::Outputs outputs{raw.input, raw.anchors, raw.class_logits.data()};
        const auto deltas = [&](int anchor) {
            const auto i = static_cast<std::size_t>(anchor);
            return stages::Deltas{raw.boxes.data() + 4 * i, raw.landmarks.data() + 10 * i};
        };
        w.after_.reserve(static_cast<std::size_t>(raw.anchors.size()), options_);
        if (options_.voting == Voting::none) return clipped(w.after_.faces(outputs, profile, options_, deltas), raw.input, w);
        w.after_.clear();
        w.after_.collect(outputs, profile, options_, deltas);
        return clipped(w.after_.merged(profile, options_), raw.input, w);
    }

    std::vector<Face> detect(const ImageView& image) const {
        std::unique_ptr<Workspace> workspace = borrow();
        const Span<const Face> found = detect(image, *workspace);
        std::vector<Face> copy(found.begin(), found.end());
        give_back(std::move(workspace));
        return copy;
    }

    std::vector<std::vector<Face>> detect(Span<const ImageView> images) const {
        std::vector<std::vector<Face>> found;
        found.reserve(images.size());
        for (const ImageView& image : images) found.push_back(detect(image));
        return found;
    }

    SelfTest self_test() const {
        if (!self_test_.present()) return {};
        Workspace workspace;
        return self_test_.compare(forward_upright(self_test_.image(), SizePolicy::original(), workspace));
    }

private:
    /// Deltas of the anchors that are asked for, computed then.
    struct OnDemand {
        const Engine& engine;
        const stages::Outputs& outputs;
        Workspace& workspace;
        stages::Deltas operator()(int anchor) const {
            return workspace.inference_.deltas(*engine.network_, outputs.anchors, anchor);
        }
    };

    Parallel parallel() const noexcept {
        return {options_.executor != nullptr ? options_.executor : pool_.get(), options_.threads};
    }

    /// The image as the network sees it, but for its size.
    ImageView upright(const ImageView& image, Workspace& w) const {
        w.rotation_ = options_.rotation == Rotation::automatic ? find_rotation(image, w) : options_.rotation;
        return w.before_.upright(image, w.rotation_, parallel(), yuv_);
    }

    /// The turn after which a small look finds most: of equal ones the first.
    Rotation find_rotation(const ImageView& image, Workspace& w) const {
        const ImageView picture = w.before_.upright(image, Rotation::none, parallel(), yuv_);
        const Profile& profile = network_->profile();
        const InputSize small = input_size(picture.width, picture.height, SizePolicy::longest_side(kTurnSide), profile.size_multiple);
        const ImageView look = w.before_.look(picture, small);
        Rotation best = Rotation::none;
        float most = 0;
        for (const Rotation turn : {Rotation::none, Rotation::clockwise_90, Rotation::clockwise_180, Rotation::clockwise_270}) {
            const ImageView turned = w.before_.turned(look, turn, parallel(), yuv_);
            const InputSize whole = input_size(turned.width, turned.height, SizePolicy::original(), profile.size_multiple);
            const stages::Outputs outputs = infer(turned, whole, w);
            float sum = 0;
            for (const Face& face : w.after_.faces(outputs, profile, options_, OnDemand{*this, outputs, w})) sum += face.score;
            if (sum > most) {
                most = sum;
                best = turn;
            }
        }
        return best;
    }

    /// Where the options say so, boxes end at the edges of the picture whose look `input` is one of.
    Span<const Face> clipped(Span<const Face> found, const InputSize& input, Workspace& w) const {
        return options_.clip ? w.after_.clipped(input) : found;
    }

    /// One look at an upright image.
    stages::Outputs infer(const ImageView& image, const InputSize& input, Workspace& w) const {
        const stages::Outputs outputs = w.inference_.run(*network_, w.before_.look(image, input), input, parallel());
        w.after_.reserve(static_cast<std::size_t>(outputs.anchors.size()), options_);
        return outputs;
    }

    RawOutputs forward_upright(const ImageView& image, const SizePolicy& policy, Workspace& w) const {
        const InputSize input = input_size(image.width, image.height, policy, network_->profile().size_multiple);
        const stages::Outputs outputs = infer(image, input, w);
        w.inference_.all_deltas(*network_, outputs.anchors, w.boxes_, w.landmarks_);
        const auto anchors = static_cast<std::size_t>(outputs.anchors.size());
        return {{outputs.class_logits, 2 * anchors}, w.boxes_, w.landmarks_, outputs.anchors, outputs.input};
    }

    std::unique_ptr<Workspace> borrow() const {
        std::lock_guard<std::mutex> lock(mutex_);
        if (idle_.empty()) return std::make_unique<Workspace>();
        std::unique_ptr<Workspace> workspace = std::move(idle_.back());
        idle_.pop_back();
        return workspace;
    }
    void give_back(std::unique_ptr<Workspace> workspace) const {
        std::lock_guard<std::mutex> lock(mutex_);
        if (idle_.size() < kMaxThreads) idle_.push_back(std::move(workspace));
    }

    std::unique_ptr<const models::Network> network_;
    Options options_;
    std::map<std::string, std::string> metadata_;
    SelfTestCase self_test_;
    YuvKernels yuv_;
    std::unique_ptr<ThreadPool> pool_;
    mutable std::mutex mutex_;
    mutable std::vector<std::unique_ptr<Workspace>> idle_;
};

}  // namespace detail

/// Finds faces with one of the networks listed: which ones a program compiles is the program's choice, which one runs is the
/// weights file's. Immutable: threads may share one, and copies share everything. Throws Error; the try_ forms return Result.
template <class... Architectures>
class BasicDetector {
public:
    /// Packs the weights (which are not kept) for the kernels chosen. Throws Error: invalid_argument (options), mismatch (weights),
    /// unsupported (architecture or instruction set).
    explicit BasicDetector(const Weights& weights, const Options& options = {}) : engine_(make_engine(weights, options)) {}

#if !defined(RETINAFACE_NO_DEFAULT_WEIGHTS)
    /// With the weights that come with the library (MobileNet-0.25; weights/MODEL_CARD.md).
    explicit BasicDetector(const Options& options = {}) : BasicDetector(Weights::from_embedded(embedded::kDefaultWeights), options) {}
#endif

    static Result<BasicDetector> create(const Weights& weights, const Options& options = {}) noexcept {
        return detail::as_result([&] { return BasicDetector(weights, options); });
    }

    /// Faces of an image, best first. Allocates the result only, from the second image of a size on.
    std::vector<Face> detect(const ImageView& image) const { return engine_->detect(image); }
    Result<std::vector<Face>> try_detect(const ImageView& image) const noexcept {
        return detail::as_result([&] { return detect(image); });
    }

    /// The same into a workspace: the view is valid until the workspace's next use. Allocates nothing at a size already seen.
    Span<const Face> detect(const ImageView& image, Workspace& workspace) const { return engine_->detect(image, workspace); }
    Result<Span<const Face>> try_detect(const ImageView& image, Workspace& workspace) const noexcept {
        return detail::as_result([&] { return detect(image, workspace); });
    }

    /// The faces of several images, of any sizes and formats: those that detect() gives for each.
    std::vector<std::vector<Face>> detect(Span<const ImageView> images) const { return engine_->detect(images); }
    Result<std::vector<std::vector<Face>>> try_detect(Span<const ImageView> images) const noexcept {
        return detail::as_result([&] { return detect(images); });
    }

    /// Every raw output, by the same kernels and plan as detect(), at the size the options say (once: whatever `scales` and `flip`).
    RawOutputs forward(const ImageView& image, Workspace& workspace) const {
        return engine_->forward(image, engine_->options().size, workspace);
    }
    /// The faces in raw outputs: exactly those detect() gives where it looks once. `outputs` may lie in `workspace`.
    Span<const Face> decode(const RawOutputs& outputs, Workspace& workspace) const { return engine_->decode(outputs, workspace); }

    /// Runs the self-test that came with the weights.
    SelfTest self_test() const { return engine_->self_test(); }

    /// The instruction set that runs.
    Isa isa() const noexcept { return engine_->network().isa(); }
    const Options& options() const noexcept { return engine_->options(); }
    const Profile& profile() const noexcept { return engine_->network().profile(); }
    const std::string& architecture() const { return engine_->metadata("architecture"); }

private:
    static std::shared_ptr<const detail::Engine> make_engine(const Weights& weights, const Options& options) {
        detail::validate(options);
        if (!available(options.isa))
            throw Error(ErrorCode::unsupported,
                        std::string("options: isa ") + to_string(options.isa) + " is not in this build or not on this CPU");
        if (weights.metadata("format") != "retinaface-weights-1")
            throw Error(ErrorCode::mismatch, "weights: format must be retinaface-weights-1, found '" + weights.metadata("format") + "'");
        const Profile& profile = find_profile(weights.metadata("profile"));
        const std::string& architecture = weights.metadata("architecture");
        std::unique_ptr<const models::Network> network;
        const auto try_one = [&](auto* candidate) {
            using Architecture = std::remove_pointer_t<decltype(candidate)>;
            if (network == nullptr && architecture == Architecture::kName)
                network = std::make_unique<models::RetinaFace<Architecture>>(weights, profile, resolved(options.isa));
        };
        (try_one(static_cast<Architectures*>(nullptr)), ...);
        if (network == nullptr) {
            std::string known;
            ((known += (known.empty() ? "" : ", ") + std::string(Architectures::kName)), ...);
            throw Error(ErrorCode::unsupported,
                        "weights: architecture '" + architecture + "' is not one this detector was compiled for (" + known + ")");
        }
        return std::make_shared<const detail::Engine>(std::move(network), weights, options);
    }

    std::shared_ptr<const detail::Engine> engine_;
};

/// The default: MobileNet-0.25.
using Detector = BasicDetector<models::MobileNet025>;
/// The paper's light variant.
using LightDetector = BasicDetector<models::MobileNet025Light>;
/// Whichever of these the weights file is for.
using AnyDetector = BasicDetector<models::MobileNet025, models::MobileNet025Light>;

RETINAFACE_END_NAMESPACE
