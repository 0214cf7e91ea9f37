// Splitting the work of one frame: an executor of our own, and bands of rows.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

#include "../error.hpp"
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

/// How many fork()s lie between this process and the one that called this first: workers of an earlier one are not here. Throws
/// std::bad_alloc.
inline unsigned forks() {
#if defined(__unix__) || defined(__APPLE__)
    static std::atomic<unsigned> count{0};
    static const bool watching = [] {
        if (pthread_atfork(nullptr, nullptr, [] { count.fetch_add(1, std::memory_order_relaxed); }) != 0) raise_out_of_memory();
        return true;
    }();
    (void)watching;
    return count.load(std::memory_order_relaxed);
#else
    return 0;
#endif
}

/// `threads` - 1 workers beside the caller. Workers spin between the steps of a frame, because a frame has dozens of short steps,
/// and sleep soon after its end. A second run() at the same time does its work on the calling thread. In a fork()ed child, where
/// threads do not follow, the first run() starts workers anew, or does its work on the calling thread where that fails.
class ThreadPool final : public Executor {
public:
    /// Throws std::bad_alloc, and Error (no_threads) where the system gives fewer threads.
    explicit ThreadPool(int threads) : ThreadPool(threads, make_crew(threads).value()) {}
    static Result<std::unique_ptr<ThreadPool>> create(int threads) {
        Result<std::unique_ptr<Crew>> crew = make_crew(threads);
        if (!crew) return crew.error();
        return std::unique_ptr<ThreadPool>(new ThreadPool(threads, *std::move(crew)));
    }
    ~ThreadPool() override {
        Crew* const crew = crew_.load(std::memory_order_acquire);
        if (crew->forks == forks())
            delete crew;
        else
            abandon(crew);
    }
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    void run(int count, TaskRef task) override {
        Crew* crew = crew_.load(std::memory_order_acquire);
        if (crew->forks != forks()) crew = renewed(crew);
        if (count > 1 && crew != nullptr && crew->run(count, task)) return;
        for (int i = 0; i < count; ++i) task(i);
    }

private:
    static constexpr int kSpins = 4000;

    struct Crew;
    ThreadPool(int threads, std::unique_ptr<Crew> crew) noexcept : threads_(threads), crew_(crew.release()) {}

    /// The workers of one process, and what they share with run().
    struct Crew {
        ~Crew() {
            {
                std::lock_guard<std::mutex> lock(mutex);
                stopping.store(true, std::memory_order_release);
                generation.fetch_add(1, std::memory_order_release);
            }
            wake.notify_all();
            for (std::thread& worker : workers) worker.join();
        }

        /// False, and nothing done, where it has no workers or another run() has them.
        bool run(int tasks, const TaskRef& work_item) {
            if (workers.empty() || busy.exchange(true, std::memory_order_acquire)) return false;
            task = &work_item;
            count = tasks;
            next.store(0, std::memory_order_relaxed);
            pending.store(static_cast<int>(workers.size()), std::memory_order_relaxed);
            {
                // The lock orders the new generation before a worker's decision to sleep.
                std::lock_guard<std::mutex> lock(mutex);
                generation.fetch_add(1, std::memory_order_release);
            }
            if (sleeping.load(std::memory_order_acquire) > 0) wake.notify_all();
            drain();
            // Workers hold `task` until they have all looked at this generation.
            for (int spins = 0; pending.load(std::memory_order_acquire) != 0; ++spins) {
                if (spins < kSpins)
                    pause();
                else
                    std::this_thread::yield();
            }
            busy.store(false, std::memory_order_release);
            return true;
        }

        void drain() {
            for (int i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;) (*task)(i);
        }

        void work() {
            std::uint32_t seen = 0;
            for (;;) {
                for (int spins = 0; generation.load(std::memory_order_acquire) == seen; ++spins) {
                    if (spins < kSpins) {
                        pause();
                        continue;
                    }
                    std::unique_lock<std::mutex> lock(mutex);
                    sleeping.fetch_add(1, std::memory_order_release);
                    wake.wait(lock, [&] { return generation.load(std::memory_order_acquire) != seen; });
                    sleeping.fetch_sub(1, std::memory_order_release);
                }
                ++seen;
                if (stopping.load(std::memory_order_acquire)) return;
                drain();
                pending.fetch_sub(1, std::memory_order_acq_rel);
            }
        }

        unsigned forks = 0;
        std::vector<std::thread> workers;
        std::mutex mutex;
        std::condition_variable wake;
        std::atomic<std::uint32_t> generation{0};
        std::atomic<int> sleeping{0};
        std::atomic<int> pending{0};
        std::atomic<int> next{0};
        std::atomic<bool> busy{false};
        std::atomic<bool> stopping{false};
        const TaskRef* task = nullptr;
        int count = 0;
        Crew* next_abandoned = nullptr;
    };

    static Result<std::unique_ptr<Crew>> make_crew(int threads) {
        auto crew = std::make_unique<Crew>();
        crew->forks = detail::forks();
        crew->workers.reserve(static_cast<std::size_t>(threads - 1));
        Crew* const shared = crew.get();
#if RETINAFACE_EXCEPTIONS
        try {
#endif
            for (int i = 1; i < threads; ++i) crew->workers.emplace_back([shared] { shared->work(); });
#if RETINAFACE_EXCEPTIONS
        } catch (const std::system_error&) {
            return Error(ErrorCode::no_threads, "options: " + std::to_string(threads) +
                                                    " threads were asked for, the system gives " +
                                                    std::to_string(crew->workers.size() + 1));
        }
#endif
        return Result<std::unique_ptr<Crew>>(std::move(crew));
    }

    /// The crew of this process in place of its parent's; nullptr where there are no threads or no memory for one.
    Crew* renewed(Crew* old) {
        Result<std::unique_ptr<Crew>> made = as_result([&] { return make_crew(threads_); });
        if (!made) return nullptr;
        if (!crew_.compare_exchange_strong(old, (*made).get(), std::memory_order_acq_rel)) return old;  // another thread's
        abandon(old);
        return (*made).release();
    }

    /// Keeps a crew whose threads live in another process for ever: they cannot be joined here, and its lock may be held by one of them.
    static void abandon(Crew* crew) {
        static std::atomic<Crew*> first{nullptr};  // reachable, for tools that look for leaks
        crew->next_abandoned = first.load(std::memory_order_relaxed);
        while (!first.compare_exchange_weak(crew->next_abandoned, crew, std::memory_order_relaxed)) {
        }
    }

    const int threads_;
    std::atomic<Crew*> crew_;
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
