// The detector: weights and options in, faces out. The order of the stages (stages/), nothing else.
#pragma once

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "detail/validate_options.hpp"
#include "models/mnet12.hpp"
#include "models/mobilenet.hpp"
#include "models/retinaface.hpp"
#include "self_test.hpp"
#include "workspace.hpp"
#if !defined(RETINAFACE_NO_DEFAULT_WEIGHTS)
#include "weights/default_weights.hpp"
#endif

RETINAFACE_BEGIN_NAMESPACE
namespace detail {

/// Workspaces that nobody uses at the moment. No lock, which a fork() could leave locked in the child for ever.
class IdleWorkspaces {
public:
    IdleWorkspaces() = default;
    ~IdleWorkspaces() { trim(); }
    IdleWorkspaces(const IdleWorkspaces&) = delete;
    IdleWorkspaces& operator=(const IdleWorkspaces&) = delete;

    std::unique_ptr<Workspace> borrow() {
        for (std::atomic<Workspace*>& place : places_)
            if (Workspace* const workspace = place.exchange(nullptr, std::memory_order_acquire))
                return std::unique_ptr<Workspace>(workspace);
        return std::make_unique<Workspace>();
    }
    void give_back(std::unique_ptr<Workspace> workspace) noexcept {
        for (std::atomic<Workspace*>& place : places_) {
            Workspace* free = nullptr;
            if (place.compare_exchange_strong(free, workspace.get(), std::memory_order_acq_rel)) return (void)workspace.release();
        }
    }
    void trim() noexcept {
        for (std::atomic<Workspace*>& place : places_) delete place.exchange(nullptr, std::memory_order_acquire);
    }

private:
    std::array<std::atomic<Workspace*>, kMaxThreads> places_{};
};

/// What a Detector shares with its copies.
class Engine {
public:
    /// `pool` may be nullptr.
    Engine(std::unique_ptr<const models::Network> network, const Weights& weights, std::vector<SelfTestCase> self_test,
           const Options& options, std::unique_ptr<ThreadPool> pool)
        : network_(std::move(network)),
          options_(options),
          metadata_(weights.metadata()),
          self_test_(std::move(self_test)),
          yuv_(network_->isa()),
          pool_(std::move(pool)) {}

    const Options& options() const noexcept { return options_; }
    const models::Network& network() const noexcept { return *network_; }
    const std::string& metadata(const char* key) const { return metadata_.at(key); }

    Result<Span<const Face>> detect(const ImageView& image, Workspace& w) const { return detect(image, w, parallel()); }

    /// The same with threads other than all that the options allow.
    Result<Span<const Face>> detect(const ImageView& image, Workspace& w, const Parallel& parallel) const {
        w.found_ = 0;
        w.looked_once_ = false;
        if (const Result<void> checked = check(image); !checked) return checked.error();
        const ImageView picture = upright(image, w, parallel);
        const Profile& profile = network_->profile();
        const Result<Looks> made = make_looks(picture.width, picture.height, options_, profile.size_multiple, profile.inclusive);
        if (!made) return made.error();
        const Looks& looks = *made;
        if (looks.count == 1 && options_.voting == Voting::none) {
            const stages::Outputs outputs = infer(picture, looks.inputs[0], w, parallel);
            const Span<const Face> faces = w.after_.faces(outputs, profile, options_, OnDemand{*this, outputs, w});
            w.found_ = faces.size();
            w.looked_once_ = true;
            return clipped(faces, outputs.input, w);
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
            const stages::Outputs outputs = infer(picture, looks.inputs[i], w, parallel);
            w.after_.collect(outputs, profile, options_, OnDemand{*this, outputs, w});
        }
        const Span<const Face> faces = w.after_.merged(profile, options_);
        w.found_ = faces.size();
        return clipped(faces, looks.inputs[0], w);
    }

    /// What the mesh head says of the faces that lie in a workspace.
    Span<const MeshCorrection> mesh_corrections(Workspace& w) const {
        w.corrections_.assign(w.found_, MeshCorrection());
        // A workspace that was moved from has no anchors.
        if (w.looked_once_ && w.after_.anchors().size() == w.found_)
            for (std::size_t i = 0; i < w.found_; ++i)
                if (!w.inference_.mesh(*network_, w.after_.anchors()[i], w.corrections_[i])) break;
        return w.corrections_;
    }

    /// Every output for the image, turned upright, at a size.
    Result<RawOutputs> forward(const ImageView& image, const SizePolicy& policy, Workspace& w) const {
        w.found_ = 0;
        if (const Result<void> checked = check(image); !checked) return checked.error();
        return forward_upright(upright(image, w, parallel()), policy, w);
    }

    Result<Span<const Face>> decode(const RawOutputs& raw, Workspace& w) const {
        w.found_ = 0;
        const auto rows = static_cast<std::size_t>(raw.anchors.size());
        if (raw.class_logits.size() != 2 * rows || raw.boxes.size() != 4 * rows || raw.landmarks.size() != 10 * rows)
            return Error(ErrorCode::invalid_argument,
                         "decode: " + std::to_string(rows) + " anchors have 2 logits, 4 and 10 deltas each, found " +
                             std::to_string(raw.class_logits.size()) + ", " + std::to_string(raw.boxes.size()) + " and " +
                             std::to_string(raw.landmarks.size()) + " values");
        const Profile& profile = network_->profile();
        const stages::Outputs outputs{raw.input, raw.anchors, raw.class_logits.data()};
        const auto deltas = [&](int anchor) {
            const auto i = static_cast<std::size_t>(anchor);
            return stages::Deltas{raw.boxes.data() + 4 * i, raw.landmarks.data() + 10 * i};
        };
        w.after_.reserve(rows, options_);
        if (options_.voting == Voting::none) return clipped(w.after_.faces(outputs, profile, options_, deltas), raw.input, w);
        w.after_.clear();
        w.after_.collect(outputs, profile, options_, deltas);
        return clipped(w.after_.merged(profile, options_), raw.input, w);
    }

    /// `corrections`: null, or where mesh_corrections() of the faces go.
    Result<std::vector<Face>> detect(const ImageView& image, std::vector<MeshCorrection>* corrections = nullptr) const {
        std::unique_ptr<Workspace> workspace = idle_.borrow();
        Result<std::vector<Face>> found = copied(detect(image, *workspace), *workspace, corrections);
        idle_.give_back(std::move(workspace));
        return found;
    }

    /// Pictures side by side scale better than threads within one: as many as there are threads at a time, and what is left over
    /// one by one on all of them.
    Result<std::vector<std::vector<Face>>> detect(Span<const ImageView> images,
                                                  std::vector<std::vector<MeshCorrection>>* corrections = nullptr) const {
        std::vector<std::vector<Face>> all(images.size());
        if (corrections != nullptr) corrections->assign(images.size(), {});
        const auto corrections_of = [&](std::size_t i) { return corrections == nullptr ? nullptr : corrections->data() + i; };
        std::size_t i = 0;
        if (const auto threads = static_cast<std::size_t>(parallel().threads()); threads > 1 && images.size() >= threads) {
            i = images.size() / threads * threads;
            if (const Result<void> done = detect_side_by_side({images.data(), i}, all.data(), corrections_of(0)); !done)
                return done.error();
        }
        for (; i < images.size(); ++i) {
            Result<std::vector<Face>> found = detect(images[i], corrections_of(i));
            if (!found) return found.error();
            all[i] = *std::move(found);
        }
        return all;
    }

    /// Faces, and of each the dense branch's outputs, computed for faces alone: `dense` [faces][head().dense_values()].
    Result<std::vector<Face>> detect_dense(const ImageView& image, std::vector<float>& dense) const {
        if (options_.voting != Voting::none || options_.flip || options_.scales.size() > 1 || options_.min_face > 0 ||
            options_.max_face > 0)
            return Error(ErrorCode::invalid_argument, "detect_dense: expected options with one look and no voting");
        std::unique_ptr<Workspace> workspace = idle_.borrow();
        Workspace& w = *workspace;
        const Result<Span<const Face>> found = detect(image, w);
        if (!found) {
            idle_.give_back(std::move(workspace));
            return found.error();
        }
        const auto values = static_cast<std::size_t>(network_->head().dense_values());
        dense.resize((*found).size() * values);
        for (std::size_t i = 0; i < (*found).size(); ++i)
            w.inference_.dense(*network_, w.after_.anchors()[i], dense.data() + i * values);
        Result<std::vector<Face>> copy = copied(found, w, nullptr);
        idle_.give_back(std::move(workspace));
        return copy;
    }

    Result<SelfTest> self_test() const {
        SelfTest result;
        Workspace workspace;
        for (const SelfTestCase& one : self_test_) {
            const Result<RawOutputs> outputs = forward_upright(one.image(), SizePolicy::original(), workspace);
            if (!outputs) return outputs.error();
            const Result<float> difference = one.compare(*outputs, mesh_of_last_cells((*outputs).anchors, workspace));
            if (!difference) return difference.error();
            if (!(*difference <= result.max_difference)) result.max_difference = *difference;
        }
        result.present = !self_test_.empty();
        result.passed = result.present && result.max_difference <= SelfTest::kTolerance;
        return result;
    }

    void trim() const noexcept { idle_.trim(); }

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

    Result<std::vector<Face>> copied(const Result<Span<const Face>>& found, Workspace& w,
                                     std::vector<MeshCorrection>* corrections) const {
        if (!found) return found.error();
        if (corrections != nullptr) {
            const Span<const MeshCorrection> all = mesh_corrections(w);
            corrections->assign(all.begin(), all.end());
        }
        return std::vector<Face>((*found).begin(), (*found).end());
    }

    /// One picture a thread at a time, each with its own workspace. The error is that of the first picture that has one.
    Result<void> detect_side_by_side(Span<const ImageView> images, std::vector<Face>* faces,
                                     std::vector<MeshCorrection>* corrections) const {
        std::vector<Result<void>> looked(images.size());
        std::atomic<std::size_t> next{0};
        std::atomic<bool> failed{false};  // pictures are taken in order: those before a failed one are being looked at
        parallel().each_thread([&](int) {
            std::unique_ptr<Workspace> workspace;
            for (std::size_t i; !failed.load(std::memory_order_relaxed) && (i = next.fetch_add(1)) < images.size();) {
                looked[i] = as_result([&]() -> Result<void> {  // tasks do not throw
                    if (workspace == nullptr) workspace = idle_.borrow();
                    Result<std::vector<Face>> found = copied(detect(images[i], *workspace, Parallel(nullptr, 1)), *workspace,
                                                             corrections == nullptr ? nullptr : corrections + i);
                    if (!found) return found.error();
                    faces[i] = *std::move(found);
                    return {};
                });
                if (!looked[i]) failed.store(true, std::memory_order_relaxed);
            }
            if (workspace != nullptr) idle_.give_back(std::move(workspace));
        });
        for (const Result<void>& one : looked) {
            if (one) continue;
            if (one.error().code() == ErrorCode::out_of_memory) raise_out_of_memory();  // as one by one
            return one.error();
        }
        return {};
    }

    /// What the mesh head said of the last cell of each level in the workspace's run, one after the other; empty where there is none.
    std::vector<float> mesh_of_last_cells(const AnchorGrid& anchors, Workspace& w) const {
        std::vector<float> all;
        for (int level = 0; level < anchors.levels(); ++level) {
            const int last = (anchors.cells_before(level + 1) - 1) * anchors.per_cell();
            MeshCorrection one;
            if (!w.inference_.mesh(*network_, static_cast<std::uint32_t>(last), one)) return {};
            all.insert(all.end(), one.shape.begin(), one.shape.end());
            all.insert(all.end(), one.camera.begin(), one.camera.end());
        }
        return all;
    }

    Parallel parallel() const noexcept {
        return {options_.executor != nullptr ? options_.executor : pool_.get(), options_.threads};
    }

    /// The image as the network sees it, but for its size.
    ImageView upright(const ImageView& image, Workspace& w, const Parallel& parallel) const {
        w.rotation_ = options_.rotation == Rotation::automatic ? find_rotation(image, w, parallel) : options_.rotation;
        return w.before_.upright(image, w.rotation_, parallel, yuv_);
    }

    /// The turn after which a small look finds most: of equal ones the first.
    Rotation find_rotation(const ImageView& image, Workspace& w, const Parallel& parallel) const {
        const ImageView picture = w.before_.upright(image, Rotation::none, parallel, yuv_);
        const Profile& profile = network_->profile();
        const auto size_of = [&](const ImageView& view) {  // of kTurnSide at most, which is no error
            const Result<InputSize> size =
                input_size(view.width, view.height, SizePolicy::longest_side(kTurnSide), profile.size_multiple);
            return *size;
        };
        const ImageView look = w.before_.look(picture, size_of(picture));
        Rotation best = Rotation::none;
        float most = 0;
        for (const Rotation turn : {Rotation::none, Rotation::clockwise_90, Rotation::clockwise_180, Rotation::clockwise_270}) {
            const ImageView turned = w.before_.turned(look, turn, parallel, yuv_);
            const stages::Outputs outputs = infer(turned, size_of(turned), w, parallel);
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
    stages::Outputs infer(const ImageView& image, const InputSize& input, Workspace& w, const Parallel& parallel) const {
        const ImageView look = w.before_.padded(w.before_.look(image, input), input, network_->profile());
        const stages::Outputs outputs = w.inference_.run(*network_, look, input, parallel);
        w.after_.reserve(static_cast<std::size_t>(outputs.anchors.size()), options_);
        return outputs;
    }

    Result<RawOutputs> forward_upright(const ImageView& image, const SizePolicy& policy, Workspace& w) const {
        const Result<InputSize> input = input_size(image.width, image.height, policy, network_->profile().size_multiple);
        if (!input) return input.error();
        const stages::Outputs outputs = infer(image, *input, w, parallel());
        w.inference_.all_deltas(*network_, outputs.anchors, w.boxes_, w.landmarks_);
        const auto anchors = static_cast<std::size_t>(outputs.anchors.size());
        return RawOutputs{{outputs.class_logits, 2 * anchors}, w.boxes_, w.landmarks_, outputs.anchors, outputs.input};
    }

    std::unique_ptr<const models::Network> network_;
    Options options_;
    std::map<std::string, std::string> metadata_;
    std::vector<SelfTestCase> self_test_;
    YuvKernels yuv_;
    std::unique_ptr<ThreadPool> pool_;
    mutable IdleWorkspaces idle_;
};

}  // namespace detail

/// Finds faces with one of the networks listed: which ones a program compiles is the program's choice, which one runs is the
/// weights file's. Immutable: threads may share one, and copies share everything. Throws Error; the try_ forms return Result.
template <class... Architectures>
class BasicDetector {
public:
    /// Packs the weights (which are not kept) for the kernels chosen. Throws Error: invalid_argument (options), mismatch (weights),
    /// unsupported (architecture or instruction set), no_threads.
    explicit BasicDetector(const Weights& weights, const Options& options = {})
        : engine_(make_engine(weights, options).value()) {}
    static Result<BasicDetector> create(const Weights& weights, const Options& options = {}) noexcept {
        return detail::as_result([&] { return made(weights, options); });
    }

#if !defined(RETINAFACE_NO_DEFAULT_WEIGHTS)
    /// With the weights that come with the library (MobileNet-0.25; weights/MODEL_CARD.md).
    explicit BasicDetector(const Options& options = {})
        : BasicDetector(Weights::from_embedded(embedded::kDefaultWeights), options) {}
    static Result<BasicDetector> create(const Options& options = {}) noexcept {
        return detail::as_result([&]() -> Result<BasicDetector> {
            const Result<Weights> weights = Weights::try_from_embedded(embedded::kDefaultWeights);
            if (!weights) return weights.error();
            return made(*weights, options);
        });
    }
#endif

    /// Faces of an image, best first. Allocates the result only, from the second image of a size on.
    std::vector<Face> detect(const ImageView& image) const { return engine_->detect(image).value(); }
    Result<std::vector<Face>> try_detect(const ImageView& image) const noexcept {
        return detail::as_result([&] { return engine_->detect(image); });
    }

    /// The same into a workspace: the view is valid until the workspace's next use. Allocates nothing at a size already seen.
    Span<const Face> detect(const ImageView& image, Workspace& workspace) const {
        return engine_->detect(image, workspace).value();
    }
    Result<Span<const Face>> try_detect(const ImageView& image, Workspace& workspace) const noexcept {
        return detail::as_result([&] { return engine_->detect(image, workspace); });
    }

    /// What the mesh head says of the faces that the last detect() with this workspace found, one a face, for MeshEstimator::estimate().
    /// Allocates where they are more than ever before. Nothing (`known` is false) where the weights have no such head, faces are of several looks or voted for, or another detector's.
    Span<const MeshCorrection> mesh_corrections(Workspace& workspace) const { return engine_->mesh_corrections(workspace); }
    Result<Span<const MeshCorrection>> try_mesh_corrections(Workspace& workspace) const noexcept {
        return detail::as_result([&]() -> Result<Span<const MeshCorrection>> { return engine_->mesh_corrections(workspace); });
    }

    /// The faces of several images, of any sizes and formats: those that detect() gives for each. With Options::threads = n > 1 every
    /// n images are looked at side by side, one thread and one workspace each, which is faster than one after the other; the last
    /// size() % n of them (all, where they are fewer than n) one after the other on n threads. An error is that of the first image
    /// that has one.
    std::vector<std::vector<Face>> detect(Span<const ImageView> images) const { return engine_->detect(images).value(); }
    Result<std::vector<std::vector<Face>>> try_detect(Span<const ImageView> images) const noexcept {
        return detail::as_result([&] { return engine_->detect(images); });
    }

    /// As these two without a workspace; `corrections` becomes what the mesh head says of the faces, as mesh_corrections().
    std::vector<Face> detect(const ImageView& image, std::vector<MeshCorrection>& corrections) const {
        return engine_->detect(image, &corrections).value();
    }
    std::vector<std::vector<Face>> detect(Span<const ImageView> images,
                                          std::vector<std::vector<MeshCorrection>>& corrections) const {
        return engine_->detect(images, &corrections).value();
    }
    Result<std::vector<Face>> try_detect(const ImageView& image, std::vector<MeshCorrection>& corrections) const noexcept {
        return detail::as_result([&] { return engine_->detect(image, &corrections); });
    }
    Result<std::vector<std::vector<Face>>> try_detect(Span<const ImageView> images,
                                                      std::vector<std::vector<MeshCorrection>>& corrections) const noexcept {
        return detail::as_result([&] { return engine_->detect(images, &corrections); });
    }

    /// Every raw output, by the same kernels and plan as detect(), at the size the options say (once: whatever `scales` and `flip`).
    RawOutputs forward(const ImageView& image, Workspace& workspace) const {
        return engine_->forward(image, engine_->options().size, workspace).value();
    }
    Result<RawOutputs> try_forward(const ImageView& image, Workspace& workspace) const noexcept {
        return detail::as_result([&] { return engine_->forward(image, engine_->options().size, workspace); });
    }

    /// The faces in raw outputs: exactly those detect() gives where it looks once. `outputs` may lie in `workspace`. Throws Error
    /// (invalid_argument) where the spans have not as many values as the anchors call for.
    Span<const Face> decode(const RawOutputs& outputs, Workspace& workspace) const {
        return engine_->decode(outputs, workspace).value();
    }
    Result<Span<const Face>> try_decode(const RawOutputs& outputs, Workspace& workspace) const noexcept {
        return detail::as_result([&] { return engine_->decode(outputs, workspace); });
    }

    /// Runs the self-test that came with the weights. Throws Error (mismatch) where it is not one of this network.
    SelfTest self_test() const { return engine_->self_test().value(); }
    Result<SelfTest> try_self_test() const noexcept {
        return detail::as_result([&] { return engine_->self_test(); });
    }

    /// Gives back the memory that detect(image) keeps for its next calls: one workspace for each thread that was in it at a time
    /// (a batch: n). A caller's own workspaces have a trim() of theirs. Other threads may be detecting meanwhile.
    void trim() const noexcept { engine_->trim(); }

    /// The instruction set that runs.
    Isa isa() const noexcept { return engine_->network().isa(); }
    const Options& options() const noexcept { return engine_->options(); }
    const Profile& profile() const noexcept { return engine_->network().profile(); }
    const std::string& architecture() const { return engine_->metadata("architecture"); }

protected:
    const detail::Engine& engine() const noexcept { return *engine_; }

private:
    explicit BasicDetector(std::shared_ptr<const detail::Engine> engine) noexcept : engine_(std::move(engine)) {}

    static Result<BasicDetector> made(const Weights& weights, const Options& options) {
        Result<std::shared_ptr<const detail::Engine>> engine = make_engine(weights, options);
        if (!engine) return engine.error();
        return BasicDetector(*std::move(engine));
    }

    static Result<std::shared_ptr<const detail::Engine>> make_engine(const Weights& weights, const Options& options) {
        if (const Result<void> checked = detail::check(options); !checked) return checked.error();
        if (!available(options.isa))
            return Error(ErrorCode::unsupported,
                         std::string("options: isa ") + to_string(options.isa) + " is not in this build or not on this CPU");
        const std::string* const format = weights.find_metadata("format");
        if (format != nullptr && *format != detail::kUnhashedFormat && *format != detail::kWeightsFormat)
            return Error(ErrorCode::mismatch, "weights: format must be retinaface-weights-1 or -2, found '" + *format + "'");
        for (const char* key : {"format", "profile", "architecture"})
            if (weights.find_metadata(key) == nullptr)
                return Error(ErrorCode::bad_format, std::string("weights: metadata has no key '") + key + "'");
        const Result<const Profile*> profile = detail::profile_of(weights.metadata("profile"));
        if (!profile) return profile.error();
        if (const Result<layers::Activation> checked = models::check_activation(weights); !checked) return checked.error();
        const std::string& architecture = weights.metadata("architecture");
        std::unique_ptr<const models::Network> network;
        detail::Parameters parameters(weights, resolved(options.isa));
        const auto try_one = [&](auto* candidate) {
            using Architecture = std::remove_pointer_t<decltype(candidate)>;
            if (network == nullptr && architecture == Architecture::kName)
                network = std::make_unique<models::RetinaFace<Architecture>>(parameters, **profile);
        };
        (try_one(static_cast<Architectures*>(nullptr)), ...);
        if (network == nullptr) {
            std::string known;
            ((known += (known.empty() ? "" : ", ") + std::string(Architectures::kName)), ...);
            return Error(ErrorCode::unsupported, "weights: architecture '" + architecture +
                                                     "' is not one this detector was compiled for (" + known + ")");
        }
        if (const Result<void> checked = parameters.finish(); !checked) return checked.error();
        Result<std::vector<detail::SelfTestCase>> self_test = detail::SelfTestCase::all(weights);
        if (!self_test) return self_test.error();
        std::unique_ptr<detail::ThreadPool> pool;
        if (options.threads > 1 && options.executor == nullptr) {
            Result<std::unique_ptr<detail::ThreadPool>> started = detail::ThreadPool::create(options.threads);
            if (!started) return started.error();
            pool = *std::move(started);
        }
        std::shared_ptr<const detail::Engine> engine =
            std::make_shared<const detail::Engine>(std::move(network), weights, *std::move(self_test), options, std::move(pool));
        return Result<std::shared_ptr<const detail::Engine>>(std::move(engine));
    }

    std::shared_ptr<const detail::Engine> engine_;
};

/// The default: MobileNet-0.25.
using Detector = BasicDetector<models::MobileNet025>;
/// The paper's light variant.
using LightDetector = BasicDetector<models::MobileNet025Light>;
/// Whichever of these the weights file is for.
using AnyDetector = BasicDetector<models::MobileNet025, models::MobileNet025Light, models::Mnet12>;

RETINAFACE_END_NAMESPACE
