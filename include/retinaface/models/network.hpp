// A network that is loaded: what the stages around it know of it, whatever its architecture.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "../anchors.hpp"
#include "../passes/layout.hpp"
#include "../profile.hpp"
#include "heads.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace models {

/// Parameters loaded and packed for one instruction set. Immutable; threads share it.
class Network {
public:
    virtual ~Network() = default;
    Network(const Network&) = delete;
    Network& operator=(const Network&) = delete;

    const Profile& profile() const noexcept { return profile_; }
    Isa isa() const noexcept { return isa_; }
    const AnchorLayout& anchors() const noexcept { return anchors_; }
    const HeadLayout& head() const noexcept { return head_; }

    /// Lays the network out for an input and a number of threads, unless `plan` is that already.
    void plan(const layers::Shape& image, int threads, passes::Plan& plan) const {
        const bool same = plan.network == id_ && plan.image.height == image.height && plan.image.width == image.width;
        if (same && plan.threads == threads && !plan.operations.empty()) return;  // empty: moved from
        plan.network = 0;                                                         // should it throw
        passes::Layout layout(plan, id_, image, threads);
        lay_out(layout);
        layout.place();
    }

    bool laid_out(const passes::Plan& plan) const noexcept { return plan.network == id_; }

    /// Rows of deltas (HeadLayout) of `cells` neighbouring cells of a level, of which `features` are the first's.
    virtual void deltas(int level, const float* features, int cells, float* dst) const = 0;
    /// Likewise head().dense_size() values a cell of the dense branch; writes nothing where the network has none.
    virtual void dense(int level, const float* features, int cells, float* dst) const = 0;
    /// What the mesh head makes of a cell's features; false where the weights have none.
    virtual bool mesh(int level, const float* features, MeshCorrection& correction) const = 0;

protected:
    Network(const Profile& profile, Isa isa, const AnchorLayout& anchors, const HeadLayout& head)
        : profile_(profile), isa_(isa), anchors_(anchors), head_(head), id_(next_id()) {}

    virtual void lay_out(passes::Layout& layout) const = 0;

private:
    /// Addresses come again, these do not: a plan names its network by one.
    static std::uint64_t next_id() {
        static std::atomic<std::uint64_t> last{0};
        return ++last;
    }

    const Profile& profile_;
    const Isa isa_;
    const AnchorLayout& anchors_;
    const HeadLayout head_;
    const std::uint64_t id_;
};

}  // namespace models
RETINAFACE_END_NAMESPACE
