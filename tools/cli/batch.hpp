// Many items at once, their results in order.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace cli {

/// Takes items from next() until it returns none, calls work(item, worker) for `jobs` of them at a time (worker: 0..jobs - 1, so that
/// each has memory of its own), and hands every result to emit(item, result) in the order of the items, on the calling thread.
/// next() is called by one thread at a time. At most 4 * jobs items are on their way, so memory is bounded. What any of them throws
/// ends the run, after the results before it, and is thrown here.
template <class Item, class Result>
class Batch {
public:
    using Next = std::function<std::optional<Item>()>;
    using Work = std::function<Result(Item&, int worker)>;
    using Emit = std::function<void(Item&, Result&)>;

    static void run(int jobs, const Next& next, const Work& work, const Emit& emit) {
        if (jobs <= 1) {
            while (std::optional<Item> item = next()) {
                Result result = work(*item, 0);
                emit(*item, result);
            }
            return;
        }
        Batch batch(jobs, next, work);
        batch.emit_all(emit);
    }

private:
    struct Slot {
        std::optional<Item> item;
        std::optional<Result> result;
        std::exception_ptr error;
        bool done = false;
    };

    Batch(int jobs, const Next& next, const Work& work) : window_(4 * static_cast<std::size_t>(jobs)), next_(next), work_(work) {
        try {
            for (int worker = 0; worker < jobs; ++worker) threads_.emplace_back([this, worker] { run_worker(worker); });
        } catch (...) {
            stop();
            throw;
        }
    }
    ~Batch() { stop(); }
    Batch(const Batch&) = delete;
    Batch& operator=(const Batch&) = delete;

    /// The next item's place in line; none at the end.
    Slot* take() {
        std::lock_guard<std::mutex> taking(taking_);
        {
            std::unique_lock<std::mutex> lock(mutex_);
            changed_.wait(lock, [this] { return ended_ || slots_.size() < window_; });
            if (ended_) return nullptr;
        }
        std::optional<Item> item;
        std::exception_ptr error;
        try {
            item = next_();  // may wait for long: results are handed over meanwhile
        } catch (...) {
            error = std::current_exception();
        }
        std::lock_guard<std::mutex> lock(mutex_);
        if (ended_) return nullptr;
        if (!item) ended_ = true;
        if (!item && error == nullptr) {
            changed_.notify_all();
            return nullptr;
        }
        slots_.emplace_back();
        slots_.back().item = std::move(item);
        slots_.back().error = error;
        slots_.back().done = error != nullptr;
        changed_.notify_all();
        return error != nullptr ? nullptr : &slots_.back();  // a deque: others come and go at its ends
    }

    void run_worker(int worker) {
        while (Slot* slot = take()) {
            std::optional<Result> result;
            std::exception_ptr error;
            try {
                result = work_(*slot->item, worker);
            } catch (...) {
                error = std::current_exception();
            }
            std::lock_guard<std::mutex> lock(mutex_);
            slot->result = std::move(result);
            slot->error = error;
            slot->done = true;
            changed_.notify_all();
        }
    }

    void emit_all(const Emit& emit) {
        for (;;) {
            Slot slot;
            {
                std::unique_lock<std::mutex> lock(mutex_);
                changed_.wait(lock, [this] { return slots_.empty() ? ended_ : slots_.front().done; });
                if (slots_.empty()) return;
                slot = std::move(slots_.front());
                slots_.pop_front();
                changed_.notify_all();
            }
            if (slot.error != nullptr) std::rethrow_exception(slot.error);
            emit(*slot.item, *slot.result);
        }
    }

    void stop() {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            ended_ = true;
            changed_.notify_all();
        }
        for (std::thread& thread : threads_) thread.join();
    }

    const std::size_t window_;
    const Next& next_;
    const Work& work_;
    std::mutex taking_;
    std::mutex mutex_;  // of what follows
    std::condition_variable changed_;
    std::deque<Slot> slots_;  // taken, not yet handed over
    bool ended_ = false;
    std::vector<std::thread> threads_;
};

}  // namespace cli
