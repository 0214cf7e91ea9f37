// RetinaFace: backbone, feature pyramid, context modules, heads.
#pragma once

#include "../anchors.hpp"
#include "../profile.hpp"
#include "context.hpp"
#include "fpn.hpp"
#include "heads.hpp"
#include "mobilenet.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace models {

/// A network whose parameters are loaded and packed for one kernel set. Immutable; threads share it.
class Network {
public:
    /// Where everything lies in the arena of one input size. Made anew for each frame: it is arithmetic only.
    struct Plan {
        Map c3, c4, c5;              ///< backbone outputs
        Map sum4, sum3;              ///< lateral + upsampled
        Map p3, p4, p5;              ///< pyramid
        Map features[kLevels];       ///< context modules' outputs
        float* other4 = nullptr;     ///< second buffer of stage 2
        float* other5 = nullptr;     ///< second buffer of stage 3
        float* intermediate[2] = {}; ///< of the context modules
        float* logits = nullptr;     ///< [cells][4]
        float* scratch = nullptr;
        std::size_t scratch_size = 0;  ///< floats a band
        std::size_t size = 0;          ///< floats of the arena
    };

    virtual ~Network() = default;

    const Profile& profile() const noexcept { return profile_; }
    const kernels::KernelTable& table() const noexcept { return table_; }

    /// The plan of an input, placed in `arena` (which may be null while only the size is wanted).
    virtual Plan plan(const layers::Pixels& input, int threads, float* arena) const = 0;
    /// Runs everything up to features and class logits.
    virtual void run(const layers::Pixels& input, const Plan& plan, const detail::Parallel& parallel) const = 0;
    /// Deltas of `cells` neighbouring cells of a level, from `first` on.
    virtual void regression(const Plan& plan, int level, int first, int cells, Regression* dst) const = 0;

protected:
    Network(const Profile& profile, const kernels::KernelTable& table) : profile_(profile), table_(table) {}

private:
    const Profile& profile_;
    const kernels::KernelTable& table_;
};

template <class Backbone>
class RetinaFace final : public Network {
    static constexpr int kChannels = 64;

public:
    RetinaFace(const Weights& weights, const Profile& profile, const kernels::KernelTable& table) : Network(profile, table) {
        layers::Parameters parameters(weights);
        const auto block = [](int first) {
            return [first](std::size_t i) { return "backbone.block" + std::to_string(first + static_cast<int>(i)); };
        };
        const auto stem_and_blocks = [&](std::size_t i) {
            return i == 0 ? std::string("backbone.conv0") : block(Backbone::kFirstBlock[0])(i - 1);
        };
        stage1_.load(parameters, stem_and_blocks, table);
        stage2_.load(parameters, block(Backbone::kFirstBlock[1]), table);
        stage3_.load(parameters, block(Backbone::kFirstBlock[2]), table);
        fpn_.load(parameters, "fpn", table);
        for (int level = 0; level < kLevels; ++level) {
            const std::string p = ".p" + std::to_string(3 + level);
            context_[level].load(parameters, "context" + p, table);
            heads_[level].load(parameters, "head" + p, table);
        }
        parameters.finish();
    }

    Plan plan(const layers::Pixels& input, int threads, float* arena) const override {
        detail::ArenaLayout layout;
        const auto place = [&](std::size_t count) {
            const std::size_t offset = layout.take(count);
            return arena == nullptr ? nullptr : arena + offset;
        };
        const auto map = [&](const Map& like, int stride, int channels) {
            return Map{nullptr, layers::strided(like.height, stride), layers::strided(like.width, stride), channels};
        };
        const auto placed = [&](Map m) {
            m.data = place(m.size());
            return m;
        };
        const Map image{nullptr, input.height, input.width, 3};

        Plan p;
        p.c3 = placed(map(image, Backbone::Stage1::kStride, Backbone::Stage1::kChannelsOut));
        p.c4 = placed(map(p.c3, Backbone::Stage2::kStride, Backbone::Stage2::kChannelsOut));
        p.c5 = map(p.c4, Backbone::Stage3::kStride, Backbone::Stage3::kChannelsOut);
        p.sum3 = map(p.c3, 1, kChannels);
        p.sum4 = placed(map(p.c4, 1, kChannels));
        p.p4 = placed(p.sum4);
        p.p5 = placed(map(p.c5, 1, kChannels));
        // Buffers whose lives do not overlap share memory: stages 2 and 3 are done before sum3 is made, c3 and c4 before p3 and the
        // context modules' intermediate maps, the sums before the features.
        const std::size_t shared = layout.take(std::max(p.sum3.size(), p.c4.size() + 2 * p.c5.size() + 32));
        if (arena != nullptr) {
            p.sum3.data = p.other4 = arena + shared;
            p.c5.data = p.other4 + (p.c4.size() + 15) / 16 * 16;
            p.other5 = p.c5.data + (p.c5.size() + 15) / 16 * 16;
        }
        p.p3 = p.sum3;
        p.p3.data = p.c3.data;
        p.features[0] = p.sum3;
        p.features[1] = p.sum4;
        p.features[2] = placed(p.p5);
        for (float*& intermediate : p.intermediate) intermediate = place(ContextModule<kChannels>::intermediate(p.c3.pixels()));
        p.logits = place(4 * static_cast<std::size_t>(p.p3.pixels() + p.p4.pixels() + p.p5.pixels()));

        p.scratch_size = std::max({stage1_.scratch(table(), input), stage2_.scratch(table(), p.c3), stage3_.scratch(table(), p.c4),
                                   ContextModule<kChannels>::scratch(table()), FeaturePyramid64::scratch(table())});
        p.scratch_size = (p.scratch_size + 15) / 16 * 16;
        p.scratch = place(p.scratch_size * static_cast<std::size_t>(threads));
        p.size = layout.size();
        return p;
    }

    void run(const layers::Pixels& input, const Plan& p, const detail::Parallel& parallel) const override {
        const Context context{table(), parallel, profile().slope, p.scratch, p.scratch_size};
        layers::run(context, stage1_, input, p.c3);
        stage2_.run(context, p.c3, p.c4.data, p.other4);
        stage3_.run(context, p.c4, p.c5.data, p.other5);

        fpn_.top(context, p.c5, p.p5);
        fpn_.level4(context, p.c4, p.p5, p.sum4, p.p4);
        fpn_.level3(context, p.c3, p.p4, p.sum3, p.p3);

        const Map* const pyramid[kLevels] = {&p.p3, &p.p4, &p.p5};
        float* logits = p.logits;
        for (int level = 0; level < kLevels; ++level) {
            context_[level].run(context, *pyramid[level], p.features[level], p.intermediate[0], p.intermediate[1]);
            const Map& features = p.features[level];
            parallel.bands(features.height, 1, [&](int begin, int end, int) {
                heads_[level].logits(table(), features.row(begin), (end - begin) * features.width, logits + 4 * begin * features.width);
            });
            logits += 4 * features.pixels();
        }
    }

    void regression(const Plan& p, int level, int first, int cells, Regression* dst) const override {
        heads_[level].regression(table(), p.features[level].data + static_cast<std::ptrdiff_t>(first) * kChannels, cells, dst);
    }

    const auto& stage1() const { return stage1_; }
    const auto& stage2() const { return stage2_; }
    const auto& stage3() const { return stage3_; }
    const auto& pyramid() const { return fpn_; }
    const auto& context(int level) const { return context_[level]; }
    const auto& heads(int level) const { return heads_[level]; }

private:
    using FeaturePyramid64 = FeaturePyramid<kChannels, Backbone::Stage1::kChannelsOut, Backbone::Stage2::kChannelsOut,
                                            Backbone::Stage3::kChannelsOut>;

    typename Backbone::Stage1 stage1_;
    typename Backbone::Stage2 stage2_;
    typename Backbone::Stage3 stage3_;
    FeaturePyramid64 fpn_;
    ContextModule<kChannels> context_[kLevels];
    Heads<kChannels> heads_[kLevels];
};

}  // namespace models
RETINAFACE_END_NAMESPACE
