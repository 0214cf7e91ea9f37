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
#include "voting.hpp"
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
        std::uint32_t index;  ///< of the anchor; of points_ where passes are merged
        Box box;
    };

    detail::AlignedBuffer arena_;
    detail::Upright upright_;
    detail::Resizer resizer_;
    detail::Mirror mirror_;
    detail::Suppressor suppressor_;
    detail::Voter voter_;
    std::vector<Candidate> candidates_;
    std::vector<std::array<Point, 5>> points_;  ///< landmarks of candidates, where the next pass takes the memory they come from
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
    probability("voting_threshold", options.voting_threshold);
    if (options.voting != Voting::none && options.voting != Voting::paper && options.voting != Voting::insightface)
        fail("unknown voting " + std::to_string(static_cast<int>(options.voting)));
    if (options.max_faces < 0) fail("max_faces must be at least 0, found " + std::to_string(options.max_faces));
    if (options.threads < 1 || options.threads > kMaxThreads)
        fail("threads must be 1.." + std::to_string(kMaxThreads) + ", found " + std::to_string(options.threads));
    if (const int turn = static_cast<int>(options.rotation); turn != 0 && turn != 90 && turn != 180 && turn != 270)
        fail("rotation must be 0, 90, 180 or 270, found " + std::to_string(turn));
    const SizePolicy& size = options.size;
    const int least_height = size.kind() == SizePolicy::Kind::shortest_side ? 0 : 1;
    if (size.kind() != SizePolicy::Kind::original &&
        (size.width() < 1 || size.height() < least_height || size.width() > kMaxSide || size.height() > kMaxSide))
        fail("size must be 1.." + std::to_string(kMaxSide) + " a side, found " + std::to_string(size.width()) + " x " +
             std::to_string(size.height()));

    const float least = options.min_face, most = options.max_face;
    if (!(least >= 0 && least <= kMaxSide && most >= 0 && most <= kMaxSide) || (most > 0 && least > most))
        fail("min_face and max_face must be 0.." + std::to_string(kMaxSide) + " in this order, found " + std::to_string(least) +
             " and " + std::to_string(most));
    const bool looks_once = options.scales.size() == 1 && options.scales[0] == 1.0f && size.kind() == SizePolicy::Kind::original;
    if ((least > 0 || most > 0) && !looks_once) fail("min_face and max_face choose the scales: leave size and scales alone");
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
        const ImageView picture = upright(image, w);
        const Profile& profile = network_->profile();
        const Passes passes = make_passes(picture.width, picture.height, options_, profile.size_multiple, profile.inclusive);
        if (passes.count == 1 && options_.voting == Voting::none) {
            const Frame frame = run(resized(picture, passes.inputs[0], w), passes.inputs[0], w);
            return faces(frame, w, frame.plan.logits, [&](int anchor) { return regression(frame, anchor); });
        }

        std::size_t anchors = 0;
        for (std::size_t i = 0; i < passes.count; ++i) anchors += static_cast<std::size_t>(anchor_grid(passes.inputs[i]).size());
        reserve(anchors, w);
        w.candidates_.clear();
        w.points_.clear();
        ImageView sized;
        for (std::size_t i = 0; i < passes.count; ++i) {
            const InputSize& input = passes.inputs[i];
            if (!input.transform.mirrored) sized = resized(picture, input, w);  // and its mirrored twin follows
            const Frame frame = run(input.transform.mirrored ? w.mirror_.mirror(sized) : sized, input, w);
            collect_with_points(frame, w, frame.plan.logits, [&](int anchor) { return regression(frame, anchor); });
        }
        return merged(w);
    }

    /// The image as the network sees it, but for its size: turned upright, packed colours.
    ImageView upright(const ImageView& image, Workspace& w) const {
        return w.upright_.convert(image, options_.rotation, parallel(), use_vectors(network_->table().isa));
    }

    /// `image` stands upright.
    RawOutputs forward(const ImageView& image, const SizePolicy& policy, Workspace& w) const {
        const InputSize input = input_size(image.width, image.height, policy, network_->profile().size_multiple);
        const Frame frame = run(resized(image, input, w), input, w);
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
        const auto deltas = [&](int anchor) {
            const auto i = static_cast<std::size_t>(anchor);
            return Deltas{outputs.boxes.data() + 4 * i, outputs.landmarks.data() + 10 * i, {}};
        };
        reserve(static_cast<std::size_t>(frame.anchors.size()), w);
        if (options_.voting == Voting::none) return faces(frame, w, outputs.class_logits.data(), deltas);
        w.candidates_.clear();
        w.points_.clear();
        collect_with_points(frame, w, outputs.class_logits.data(), deltas);
        return merged(w);
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

    Parallel parallel() const noexcept {
        return {options_.executor != nullptr ? options_.executor : pool_.get(), options_.threads};
    }

    AnchorGrid anchor_grid(const InputSize& input) const noexcept {
        return {input.padded_height, input.padded_width, network_->profile().first_centre};
    }

    /// The image at the size the network sees it.
    static ImageView resized(const ImageView& image, const InputSize& input, Workspace& w) {
        const bool same = input.width == image.width && input.height == image.height;
        return same ? image : w.resizer_.resize(image, input.width, input.height);
    }

    /// `image` has the size of `input`, without its padding.
    Frame run(const ImageView& image, const InputSize& input, Workspace& w) const {
        retinaface::validate(image);
        const Profile& profile = network_->profile();
        Frame frame;
        frame.input = input;
        frame.anchors = anchor_grid(input);

        layers::Pixels pixels;
        pixels.image = image;
        pixels.height = frame.input.padded_height;
        pixels.width = frame.input.padded_width;
        const bool image_rgb = image.format == PixelFormat::rgb8 || image.format == PixelFormat::rgba8;
        pixels.swapped = image_rgb != profile.rgb && image.format != PixelFormat::gray8;
        for (int c = 0; c < 3; ++c) pixels.mean[c] = profile.mean[pixels.swapped ? 2 - c : c];

        w.arena_.reserve(network_->plan(pixels, parallel().threads(), nullptr).size);
        frame.plan = network_->plan(pixels, parallel().threads(), w.arena_.data());
        reserve(static_cast<std::size_t>(frame.anchors.size()), w);
        network_->run(pixels, frame.plan, parallel());
        return frame;
    }

    /// Room for every anchor, so that no frame of this size allocates later. Untouched memory costs nothing.
    void reserve(std::size_t anchors, Workspace& w) const {
        w.candidates_.reserve(anchors);
        w.suppressor_.reserve(anchors);
        w.faces_.reserve(anchors);
        if (options_.voting != Voting::none || several_passes()) w.points_.reserve(anchors);
        if (options_.voting != Voting::none) w.voter_.reserve(anchors);
    }
    bool several_passes() const noexcept { return options_.scales.size() > 1 || options_.flip || options_.min_face > 0 || options_.max_face > 0; }

    Deltas regression(const Frame& frame, int anchor) const {
        Deltas deltas;
        const int cell = anchor / kAnchorsPerCell, level = frame.anchors.level(cell);
        network_->regression(frame.plan, level, cell - frame.anchors.cells_before(level), 1, &deltas.storage);
        deltas.box = nullptr;
        deltas.landmarks = nullptr;
        return deltas;
    }

    /// Calls use(anchor, logit difference, box, deltas) for every anchor that passes the score threshold.
    template <class DeltasOf, class Use>
    void select(const Frame& frame, const float* logits, DeltasOf deltas_of, Use use) const {
        const Profile& profile = network_->profile();
        const float threshold = logit(options_.score_threshold);
        for (int i = 0; i < frame.anchors.size(); ++i) {
            const float difference = logits[2 * i + 1] - logits[2 * i];
            if (!(profile.keep_equal_score ? difference >= threshold : difference > threshold)) continue;
            const Deltas deltas = deltas_of(i);
            const float* delta = deltas.box != nullptr ? deltas.box : deltas.storage.box[i % kAnchorsPerCell];
            const Box box = decode_box(profile, frame.anchors[i], delta, frame.input);
            if (is_usable(box)) use(i, difference, box, deltas);
        }
    }

    std::array<Point, 5> landmarks(const Frame& frame, int anchor, const Deltas& deltas) const {
        const float* delta = deltas.landmarks != nullptr ? deltas.landmarks : deltas.storage.landmark[anchor % kAnchorsPerCell];
        return decode_landmarks(network_->profile(), frame.anchors[anchor], delta, frame.input.transform);
    }

    /// Sorts candidates by logit difference, descending (of equal ones the lower index comes first), and suppresses. Fills faces_,
    /// taking their landmarks from points_of(candidate).
    template <class PointsOf>
    void suppress(Workspace& w, float iou_threshold, bool equal, std::size_t most, PointsOf points_of) const {
        std::sort(w.candidates_.begin(), w.candidates_.end(), [](const Workspace::Candidate& a, const Workspace::Candidate& b) {
            return a.difference != b.difference ? a.difference > b.difference : a.index < b.index;
        });
        const Span<const std::uint32_t> kept =
            w.suppressor_.run(w.candidates_.size(), [&](std::size_t i) { return w.candidates_[i].box; }, iou_threshold, equal, most);
        w.faces_.clear();
        for (const std::uint32_t k : kept) {
            const Workspace::Candidate& candidate = w.candidates_[k];
            w.faces_.push_back({probability(candidate.difference), candidate.box, points_of(candidate)});
        }
    }

    /// The faces of one look, whose landmarks are decoded for survivors only.
    template <class DeltasOf>
    Span<const Face> faces(const Frame& frame, Workspace& w, const float* logits, DeltasOf deltas_of) const {
        w.candidates_.clear();
        select(frame, logits, deltas_of, [&](int anchor, float difference, const Box& box, const Deltas&) {
            w.candidates_.push_back({difference, static_cast<std::uint32_t>(anchor), box});
        });
        suppress(w, options_.nms_threshold, network_->profile().suppress_equal_iou, static_cast<std::size_t>(options_.max_faces),
                 [&](const Workspace::Candidate& candidate) {
                     const int anchor = static_cast<int>(candidate.index);
                     return landmarks(frame, anchor, deltas_of(anchor));
                 });
        return {w.faces_.data(), w.faces_.size()};
    }

    /// Adds a look's candidates to those of others.
    template <class DeltasOf>
    void collect_with_points(const Frame& frame, Workspace& w, const float* logits, DeltasOf deltas_of) const {
        select(frame, logits, deltas_of, [&](int anchor, float difference, const Box& box, const Deltas& deltas) {
            w.candidates_.push_back({difference, static_cast<std::uint32_t>(w.points_.size()), box});
            w.points_.push_back(landmarks(frame, anchor, deltas));
        });
    }

    /// The faces of all candidates collected.
    Span<const Face> merged(Workspace& w) const {
        const bool clusters = options_.voting == Voting::insightface;
        const auto most = static_cast<std::size_t>(options_.max_faces);
        const auto points_of = [&](const Workspace::Candidate& candidate) { return w.points_[candidate.index]; };
        suppress(w, clusters ? options_.voting_threshold : options_.nms_threshold, clusters || network_->profile().suppress_equal_iou,
                 clusters ? 0 : most, points_of);
        const auto face_at = [&](std::size_t i) {
            const Workspace::Candidate& candidate = w.candidates_[i];
            return Face{probability(candidate.difference), candidate.box, points_of(candidate)};
        };
        w.voter_.run(options_.voting, options_.voting_threshold, w.candidates_.size(), face_at, w.suppressor_, w.faces_);
        if (most > 0 && w.faces_.size() > most) w.faces_.resize(most);
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

    /// The faces of several images, of any sizes and formats: those that detect() gives for each.
    std::vector<std::vector<Face>> detect(Span<const ImageView> images) const { return engine_->detect(images); }
    Result<std::vector<std::vector<Face>>> try_detect(Span<const ImageView> images) const noexcept {
        return detail::as_result([&] { return detect(images); });
    }

    /// Every raw output, by the same kernels and plan as detect(), at the size the options say (once: whatever `scales` and `flip`).
    RawOutputs forward(const ImageView& image, Workspace& workspace) const {
        return engine_->forward(engine_->upright(image, workspace), engine_->options().size, workspace);
    }
    /// The faces in raw outputs: exactly those detect() gives where it looks once. `outputs` may lie in `workspace`.
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
/// The paper's light variant.
using LightDetector = BasicDetector<models::MobileNet025Light>;
/// Whichever of these the weights file is for.
using AnyDetector = BasicDetector<models::MobileNet025, models::MobileNet025Light>;

RETINAFACE_END_NAMESPACE
