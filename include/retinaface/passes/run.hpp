// The pass that computes: executes a plan.
#pragma once

#include <atomic>
#include <memory>

#include "../detail/parallel.hpp"
#include "../layers/stem.hpp"
#include "plan.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace passes {

/// Which chunks of a plan are done. Kept from run to run.
class Progress {
public:
    /// Before a run of `count` chunks; allocates where they are more than ever before.
    void start(std::size_t count) {
        if (shared_ == nullptr || count > count_) {
            shared_ = std::make_unique<Shared>(count);
            count_ = count;
            run_ = 0;
        }
        if (++run_ == 0) {
            for (std::size_t i = 0; i < count_; ++i) shared_->done[i].store(0, std::memory_order_relaxed);
            run_ = 1;
        }
        shared_->next.store(0, std::memory_order_relaxed);
    }

    int take() noexcept { return shared_->next.fetch_add(1, std::memory_order_relaxed); }
    void finish(int chunk) noexcept { shared_->done[static_cast<std::size_t>(chunk)].store(run_, std::memory_order_release); }
    /// Returns when the chunk, which another thread has taken, is done.
    void wait(int chunk) const noexcept {
        const std::atomic<std::uint32_t>& done = shared_->done[static_cast<std::size_t>(chunk)];
        for (int spins = 0; done.load(std::memory_order_acquire) != run_; ++spins) {
            if (spins < kSpins)
                detail::pause();
            else
                std::this_thread::yield();
        }
    }

private:
    static constexpr int kSpins = 4000;

    struct Shared {
        std::unique_ptr<std::atomic<std::uint32_t>[]> done;  ///< by chunk: the last run that did it
        std::atomic<int> next{0};

        explicit Shared(std::size_t count) : done(new std::atomic<std::uint32_t>[count]) {
            for (std::size_t i = 0; i < count; ++i) done[i].store(0, std::memory_order_relaxed);
        }
    };

    std::unique_ptr<Shared> shared_;
    std::size_t count_ = 0;
    std::uint32_t run_ = 0;
};

inline void run_units(const Plan& plan, const Plan::Operation& operation, int begin, int end, const layers::Pixels& image,
                      std::byte* arena, int thread) {
    layers::Io io;
    io.image = &image;
    if (operation.in > 0) io.in = plan.map(operation.in, arena);
    io.add = plan.map(operation.add, arena);
    io.addition = operation.addition;
    io.out = plan.map(operation.out[0], arena);
    io.second = plan.map(operation.out[1], arena);
    io.activation = operation.activations[0];
    io.second_activation = operation.activations[1];
    std::byte* const scratch = arena + plan.scratch_offset + plan.scratch * static_cast<std::size_t>(thread);
    operation.run(operation.layer, io, begin, end, reinterpret_cast<float*>(scratch));
}

/// Fills the plan's values for an image of its size. `arena` has plan.size bytes on a 64-byte boundary.
///
/// Threads take chunks in order and wait for what a chunk needs, instead of for each other after every operation: the chunks before it that
/// make its input, and whatever still reads the memory that it writes. A chunk needs earlier ones only, so that any executor, even one that
/// runs its tasks one after the other, comes to an end.
inline void run(const Plan& plan, const layers::Pixels& image, std::byte* arena, const detail::Parallel& parallel,
                Progress& progress) {
    if (plan.chunks.empty()) {
        for (const Plan::Operation& operation : plan.operations)
            run_units(plan, operation, 0, operation.work.units, image, arena, 0);
        return;
    }
    const int count = static_cast<int>(plan.chunks.size());
    progress.start(plan.chunks.size());
    parallel.each_thread([&](int thread) {
        int complete = 0;  // chunks before this one are known to be done
        for (int i = progress.take(); i < count; i = progress.take()) {
            const Plan::Chunk& chunk = plan.chunks[static_cast<std::size_t>(i)];
            for (; complete < chunk.after; ++complete) progress.wait(complete);
            for (const layers::Rows& inputs : chunk.inputs)
                for (int k = std::max(inputs.begin, complete); k < inputs.end; ++k) progress.wait(k);
            run_units(plan, plan.operations[static_cast<std::size_t>(chunk.operation)], chunk.begin, chunk.end, image, arena,
                      thread);
            progress.finish(i);
        }
    });
}

}  // namespace passes
RETINAFACE_END_NAMESPACE
