// The detector: weights and options in, faces out.
#pragma once

#include <algorithm>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "camera.hpp"
#include "decode.hpp"
#include "detail/parallel.hpp"
#include "models/retinaface.hpp"
#include "nms.hpp"
#include "options.hpp"
#include "weights/archive.hpp"
#if !defined(RETINAFACE_NO_DEFAULT_WEIGHTS)
#include "weights/default_weights.hpp"
#endif

RETINAFACE_BEGIN_NAMESPACE

namespace detail {
class Engine;
}

/// Every output of the network for one image, before decoding. Anchors come level by level (strides 8, 16, 32), row-major over
/// the level's map, small anchor first. Views into the Workspace: valid until its next use.
struct RawOutputs {
    Span<const float> class_logits;  ///< [anchors][2]: background, face (no softmax)
    Span<const float> boxes;         ///< [anchors][4]: x, y, w, h deltas
    Span<const float> landmarks;     ///< [anchors][10]: x, y deltas of five points
    AnchorGrid anchors;
    InputSize input;
};

/// Memory of detect(): buffers grow to the largest image seen and stay. One thread at a time; any detector may use it.
class Workspace {
public:
    Workspace() = default;
    Workspace(Workspace&&) = default;
    Workspace& operator=(Workspace&&) = default;

private:
    friend class detail::Engine;

    struct Candidate {
        float difference;     ///< face logit - background logit
        std::uint32_t index;  ///< of the anchor
        Box box;
    };

    detail::AlignedBuffer arena_;
    detail::Upright upright_;
    detail::Resizer resizer_;
    detail::Suppressor suppressor_;
    std::vector<Candidate> candidates_;
    std::vector<Face> faces_;
    std::vector<models::Regression> regressions_;
    std::vector<float> boxes_;
    std::vector<float> landmarks_;
};

/// Result of running the self-test of a weights file.
struct SelfTest {
    bool present = false;  ///< the file has one
    bool passed = false;   ///< outputs within the tolerance
    float max_difference = 0;
    static constexpr float kTolerance = 1e-3f;
};

namespace detail {

inline void validate(const Options& options) {
    const auto fail = [](const std::string& what) { throw Error(ErrorCode::invalid_argument, "options: " + what); };
    const auto probability = [&](const char* name, float value) {
        if (!(value >= 0 && value <= 1)) fail(std::string(name) + " must be 0..1, found " + std::to_string(value));
    };
    probability("score_threshold", options.score_threshold);
    probability("nms_threshold", options.nms_threshold);
    if (options.max_faces < 0) fail("max_faces must be at least 0, found " + std::to_string(options.max_faces));
    if (options.threads < 1 || options.threads > kMaxThreads)
        fail("threads must be 1.." + std::to_string(kMaxThreads) + ", found " + std::to_string(options.threads));
    if (const int turn = static_cast<int>(options.rotation); turn != 0 && turn != 90 && turn != 180 && turn != 270)
        fail("rotation must be 0, 90, 180 or 270, found " + std::to_string(turn));
    const SizePolicy& size = options.size;
    if (size.kind() != SizePolicy::Kind::original &&
        (size.width() < 1 || size.height() < 1 || size.width() > kMaxSide || size.height() > kMaxSide))
        fail("size must be 1.." + std::to_string(kMaxSide) + " a side, found " + std::to_string(size.width()) + " x " +
             std::to_string(size.height()));
}

/// What a Detector shares with its copies.
class Engine {
public:
    Engine(std::unique_ptr<const models::Network> network, const Weights& weights, const Options& options)
        : network_(std::move(network)), options_(options), metadata_(weights.metadata()) {
        if (options.threads > 1 && options.executor == nullptr) pool_ = std::make_unique<ThreadPool>(options.threads);
        if (const Tensor* image = weights.find("selftest.image")) load_selftest(weights, *image);
    }

    const Options& options() const noexcept { return options_; }
    const models::Network& network() const noexcept { return *network_; }
    const std::string& metadata(const char* key) const { return metadata_.at(key); }

    Span<const Face> detect(const ImageView& image, Workspace& w) const {
        Frame frame = run(upright(image, w), options_.size, w);
        return faces(frame, w, frame.plan.logits, [&](int anchor) { return regression(frame, anchor); });
    }

    /// The image as the network sees it, but for its size: turned upright, packed colours.
    ImageView upright(const ImageView& image, Workspace& w) const { return w.upright_.convert(image, options_.rotation); }

    /// `image` stands upright.
    RawOutputs forward(const ImageView& image, const SizePolicy& policy, Workspace& w) const {
        const Frame frame = run(image, policy, w);
        const auto cells = static_cast<std::size_t>(frame.anchors.cells());
        w.regressions_.resize(cells);
        w.boxes_.resize(cells * 8);
        w.landmarks_.resize(cells * 20);
        for (int level = 0; level < kLevels; ++level)
            network_->regression(frame.plan, level, 0, frame.plan.features[level].pixels(),
                                 w.regressions_.data() + frame.anchors.cells_before(level));
        for (std::size_t i = 0; i < cells; ++i) {
            std::copy_n(w.regressions_[i].box[0], 8, w.boxes_.data() + 8 * i);
            std::copy_n(w.regressions_[i].landmark[0], 20, w.landmarks_.data() + 20 * i);
        }
        return {{frame.plan.logits, cells * 4}, {w.boxes_.data(), cells * 8}, {w.landmarks_.data(), cells * 20}, frame.anchors, frame.input};
    }

    Span<const Face> decode(const RawOutputs& outputs, Workspace& w) const {
        const Frame frame{outputs.input, outputs.anchors, {}};
        reserve(frame, w);
        return faces(frame, w, outputs.class_logits.data(), [&](int anchor) {
            const auto i = static_cast<std::size_t>(anchor);
            return Deltas{outputs.boxes.data() + 4 * i, outputs.landmarks.data() + 10 * i, {}};
        });
    }

    std::vector<Face> detect(const ImageView& image) const {
        std::unique_ptr<Workspace> workspace = borrow();
        const Span<const Face> found = detect(image, *workspace);
        std::vector<Face> copy(found.begin(), found.end());
        give_back(std::move(workspace));
        return copy;
    }

    SelfTest self_test() const {
        SelfTest result;
        if (selftest_image_.empty()) return result;
        result.present = true;
        Workspace workspace;
        const RawOutputs outputs = forward({selftest_image_.data(), selftest_width_, selftest_height_}, SizePolicy::original(), workspace);
        const Span<const float> found[3] = {outputs.class_logits, outputs.boxes, outputs.landmarks};
        for (int i = 0; i < 3; ++i) {
            const std::vector<float>& expected = selftest_outputs_[i];
            if (expected.size() != found[i].size())
                throw Error(ErrorCode::mismatch, std::string("weights: tensor '") + kSelftestNames[i] + "': expected " +
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
    static constexpr const char* kSelftestNames[3] = {"selftest.class", "selftest.box", "selftest.landmark"};

    /// One image on its way through the network.
    struct Frame {
        InputSize input;
        AnchorGrid anchors;
        models::Network::Plan plan;
    };

    /// Box and landmark deltas of one anchor.
    struct Deltas {
        const float* box;
        const float* landmarks;
        models::Regression storage;  ///< of the cell, where they are computed on demand
    };

    Frame run(const ImageView& image, const SizePolicy& policy, Workspace& w) const {
        retinaface::validate(image);
        const Profile& profile = network_->profile();
        Frame frame;
        frame.input = input_size(image.width, image.height, policy, profile.size_multiple);
        frame.anchors = AnchorGrid(frame.input.padded_height, frame.input.padded_width, anchor_offset(profile));

        layers::Pixels pixels;
        const bool same = frame.input.width == image.width && frame.input.height == image.height;
        pixels.image = same ? image : w.resizer_.resize(image, frame.input.width, frame.input.height);
        pixels.height = frame.input.padded_height;
        pixels.width = frame.input.padded_width;
        const bool image_rgb = image.format == PixelFormat::rgb8 || image.format == PixelFormat::rgba8;
        pixels.swapped = image_rgb != profile.rgb && image.format != PixelFormat::gray8;
        for (int c = 0; c < 3; ++c) pixels.mean[c] = profile.mean[pixels.swapped ? 2 - c : c];

        Executor* const executor = options_.executor != nullptr ? options_.executor : pool_.get();
        const Parallel parallel(executor, options_.threads);
        w.arena_.reserve(network_->plan(pixels, parallel.threads(), nullptr).size);
        frame.plan = network_->plan(pixels, parallel.threads(), w.arena_.data());
        reserve(frame, w);
        network_->run(pixels, frame.plan, parallel);
        return frame;
    }

    /// Room for every anchor, so that no frame of this size allocates later. Untouched memory costs nothing.
    static void reserve(const Frame& frame, Workspace& w) {
        const auto anchors = static_cast<std::size_t>(frame.anchors.size());
        w.candidates_.reserve(anchors);
        w.suppressor_.reserve(anchors);
        w.faces_.reserve(anchors);
    }

    Deltas regression(const Frame& frame, int anchor) const {
        Deltas deltas;
        const int cell = anchor / kAnchorsPerCell, level = frame.anchors.level(cell);
        network_->regression(frame.plan, level, cell - frame.anchors.cells_before(level), 1, &deltas.storage);
        deltas.box = nullptr;
        deltas.landmarks = nullptr;
        return deltas;
    }

    /// Selects, decodes and suppresses. Candidates are ordered by logit difference, descending; of equal ones the lower anchor
    /// index comes first.
    template <class DeltasOf>
    Span<const Face> faces(const Frame& frame, Workspace& w, const float* logits, DeltasOf deltas_of) const {
        const Profile& profile = network_->profile();
        const float threshold = logit(options_.score_threshold);
        const auto box_of = [](const Deltas& d, int anchor) { return d.box != nullptr ? d.box : d.storage.box[anchor % kAnchorsPerCell]; };
        const auto landmarks_of = [](const Deltas& d, int anchor) {
            return d.landmarks != nullptr ? d.landmarks : d.storage.landmark[anchor % kAnchorsPerCell];
        };

        w.candidates_.clear();
        for (int i = 0; i < frame.anchors.size(); ++i) {
            const float difference = logits[2 * i + 1] - logits[2 * i];
            if (!(profile.keep_equal_score ? difference >= threshold : difference > threshold)) continue;
            const Deltas deltas = deltas_of(i);
            const Box box = decode_box(profile, frame.anchors[i], box_of(deltas, i), frame.input);
            if (is_usable(box)) w.candidates_.push_back({difference, static_cast<std::uint32_t>(i), box});
        }
        std::sort(w.candidates_.begin(), w.candidates_.end(), [](const Workspace::Candidate& a, const Workspace::Candidate& b) {
            return a.difference != b.difference ? a.difference > b.difference : a.index < b.index;
        });
        const Span<const std::uint32_t> kept =
            w.suppressor_.run(w.candidates_.size(), [&](std::size_t i) { return w.candidates_[i].box; }, options_.nms_threshold,
                              profile.suppress_equal_iou, static_cast<std::size_t>(options_.max_faces));
        w.faces_.clear();
        for (const std::uint32_t k : kept) {
            const Workspace::Candidate& candidate = w.candidates_[k];
            const int anchor = static_cast<int>(candidate.index);
            const Deltas deltas = deltas_of(anchor);
            w.faces_.push_back({probability(candidate.difference), candidate.box,
                                decode_landmarks(profile, frame.anchors[anchor], landmarks_of(deltas, anchor), frame.input.transform)});
        }
        return {w.faces_.data(), w.faces_.size()};
    }

    void load_selftest(const Weights& weights, const Tensor& image) {
        const auto fail = [](const std::string& what) { throw Error(ErrorCode::mismatch, "weights: " + what); };
        const bool sized = image.dtype == Tensor::Dtype::u8 && image.shape.size() == 3 && image.shape[2] == 3 && image.shape[0] >= 1 &&
                           image.shape[1] >= 1 && image.shape[0] <= 1024 && image.shape[1] <= 1024;
        if (!sized) fail("tensor 'selftest.image': expected U8 [H, W, 3], found " + to_string(image.shape));
        selftest_height_ = static_cast<int>(image.shape[0]);
        selftest_width_ = static_cast<int>(image.shape[1]);
        selftest_image_ = image.bytes;
        for (int i = 0; i < 3; ++i) {
            const Tensor* tensor = weights.find(kSelftestNames[i]);
            if (tensor == nullptr || tensor->dtype == Tensor::Dtype::u8)
                fail(std::string("tensor '") + kSelftestNames[i] + "': expected F32 beside selftest.image");
            selftest_outputs_[i] = tensor->values;
        }
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
    std::unique_ptr<ThreadPool> pool_;
    std::vector<std::uint8_t> selftest_image_;
    std::vector<float> selftest_outputs_[3];
    int selftest_width_ = 0;
    int selftest_height_ = 0;
    mutable std::mutex mutex_;
    mutable std::vector<std::unique_ptr<Workspace>> idle_;
};

}  // namespace detail

/// Finds faces with one of the networks listed: which ones a program compiles is the program's choice, which one runs is the
/// weights file's. Immutable: threads may share one, and copies share everything. Throws Error; the try_ forms return Result.
template <class... Backbones>
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

    /// Every raw output, by the same kernels and plan as detect(), at the size the options say.
    RawOutputs forward(const ImageView& image, Workspace& workspace) const {
        return engine_->forward(engine_->upright(image, workspace), engine_->options().size, workspace);
    }
    /// The faces in raw outputs: exactly those detect() gives. `outputs` may lie in `workspace`.
    Span<const Face> decode(const RawOutputs& outputs, Workspace& workspace) const { return engine_->decode(outputs, workspace); }

    /// Runs the self-test that came with the weights.
    SelfTest self_test() const { return engine_->self_test(); }

    /// The instruction set that runs.
    Isa isa() const noexcept { return engine_->network().table().isa; }
    const Options& options() const noexcept { return engine_->options(); }
    const Profile& profile() const noexcept { return engine_->network().profile(); }
    const std::string& architecture() const { return engine_->metadata("architecture"); }

private:
    static std::shared_ptr<const detail::Engine> make_engine(const Weights& weights, const Options& options) {
        detail::validate(options);
        const kernels::KernelTable* table = kernels::select(options.isa);
        if (table == nullptr)
            throw Error(ErrorCode::unsupported,
                        std::string("options: isa ") + to_string(options.isa) + " is not in this build or not on this CPU");
        if (weights.metadata("format") != "retinaface-weights-1")
            throw Error(ErrorCode::mismatch, "weights: format must be retinaface-weights-1, found '" + weights.metadata("format") + "'");
        const Profile& profile = find_profile(weights.metadata("profile"));
        const std::string& architecture = weights.metadata("architecture");
        std::unique_ptr<const models::Network> network;
        const auto try_backbone = [&](auto* backbone) {
            using Backbone = std::remove_pointer_t<decltype(backbone)>;
            if (network == nullptr && architecture == Backbone::kArchitecture)
                network = std::make_unique<models::RetinaFace<Backbone>>(weights, profile, *table);
        };
        (try_backbone(static_cast<Backbones*>(nullptr)), ...);
        if (network == nullptr) {
            std::string known;
            ((known += (known.empty() ? "" : ", ") + std::string(Backbones::kArchitecture)), ...);
            throw Error(ErrorCode::unsupported,
                        "weights: architecture '" + architecture + "' is not one this detector was compiled for (" + known + ")");
        }
        return std::make_shared<const detail::Engine>(std::move(network), weights, options);
    }

    std::shared_ptr<const detail::Engine> engine_;
};

/// The default: MobileNet-0.25.
using Detector = BasicDetector<models::MobileNet025>;

RETINAFACE_END_NAMESPACE
