// Splitting the work of one frame: an executor of our own, and bands of rows.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "../executor.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace detail {

RETINAFACE_INLINE void pause() noexcept {
#if RETINAFACE_X86_64
    __builtin_ia32_pause();
#elif RETINAFACE_AARCH64
    asm volatile("yield");
#endif
}

/// `threads` - 1 workers beside the caller. Workers spin between the steps of a frame, because a frame has dozens of short steps,
/// and sleep soon after its end. A second run() at the same time does its work on the calling thread.
class ThreadPool final : public Executor {
public:
    explicit ThreadPool(int threads) {
        try {
            for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
        } catch (...) {
            stop();
            throw;
        }
    }
    ~ThreadPool() override { stop(); }
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    void run(int count, TaskRef task) override {
        if (count <= 1 || workers_.empty() || busy_.exchange(true, std::memory_order_acquire)) {
            for (int i = 0; i < count; ++i) task(i);
            return;
        }
        task_ = &task;
        count_ = count;
        next_.store(0, std::memory_order_relaxed);
        pending_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
        {
            // The lock orders the new generation before a worker's decision to sleep.
            std::lock_guard<std::mutex> lock(mutex_);
            generation_.fetch_add(1, std::memory_order_release);
        }
        if (sleeping_.load(std::memory_order_acquire) > 0) wake_.notify_all();
        drain();
        // Workers hold `task` until they have all looked at this generation.
        for (int spins = 0; pending_.load(std::memory_order_acquire) != 0; ++spins) {
            if (spins < kSpins)
                pause();
            else
                std::this_thread::yield();
        }
        busy_.store(false, std::memory_order_release);
    }

private:
    static constexpr int kSpins = 4000;

    void drain() {
        for (int i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < count_;) (*task_)(i);
    }

    void work() {
        std::uint32_t seen = 0;
        for (;;) {
            for (int spins = 0; generation_.load(std::memory_order_acquire) == seen; ++spins) {
                if (spins < kSpins) {
                    pause();
                    continue;
                }
                std::unique_lock<std::mutex> lock(mutex_);
                sleeping_.fetch_add(1, std::memory_order_release);
                wake_.wait(lock, [&] { return generation_.load(std::memory_order_acquire) != seen; });
                sleeping_.fetch_sub(1, std::memory_order_release);
            }
            ++seen;
            if (stopping_.load(std::memory_order_acquire)) return;
            drain();
            pending_.fetch_sub(1, std::memory_order_acq_rel);
        }
    }

    void stop() {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            stopping_.store(true, std::memory_order_release);
            generation_.fetch_add(1, std::memory_order_release);
        }
        wake_.notify_all();
        for (std::thread& worker : workers_) worker.join();
    }

    std::vector<std::thread> workers_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::atomic<std::uint32_t> generation_{0};
    std::atomic<int> sleeping_{0};
    std::atomic<int> pending_{0};
    std::atomic<int> next_{0};
    std::atomic<bool> busy_{false};
    std::atomic<bool> stopping_{false};
    const TaskRef* task_ = nullptr;
    int count_ = 0;
};

/// Splits work over threads.
class Parallel {
public:
    Parallel(Executor* executor, int threads) noexcept : executor_(executor), threads_(executor == nullptr ? 1 : threads) {}

    int threads() const noexcept { return threads_; }

    /// body(thread) for each of threads(), at the same time where the executor can.
    template <class Body>
    void each_thread(Body&& body) const {
        if (threads_ <= 1)
            body(0);
        else
            executor_->run(threads_, body);
    }

    /// body(begin, end, band) over [0, count), each band a multiple of `grain` long but the last; band < threads().
    template <class Body>
    void bands(int count, int grain, Body&& body) const {
        const int units = (count + grain - 1) / grain;
        const int bands = units < threads_ ? units : threads_;
        const auto band = [&](int i) {
            const auto edge = [&](int k) {
                const int at = static_cast<int>(std::int64_t{units} * k / bands) * grain;
                return at < count ? at : count;
            };
            body(edge(i), edge(i + 1), i);
        };
        if (bands <= 1) {
            if (bands == 1) band(0);
        } else {
            executor_->run(bands, band);
        }
    }

private:
    Executor* executor_;
    int threads_;
};

}  // namespace detail
RETINAFACE_END_NAMESPACE
