// The thread pool and the splitting of ranges. Meant to be run under ThreadSanitizer too.

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "retinaface/detail/parallel.hpp"
#include "support/trim.hpp"

namespace {

using namespace retinaface_test;
using namespace retinaface;
using detail::Parallel;
using detail::ThreadPool;

/// Runs `count` tasks and says whether each ran once. Results are plain ints: run() makes them visible.
bool each_once(Executor& executor, int count) {
    std::vector<int> ran(static_cast<std::size_t>(count));
    const auto task = [&](int i) { ++ran[static_cast<std::size_t>(i)]; };
    executor.run(count, task);
    for (const int times : ran)
        if (times != 1) return false;
    return true;
}

TEST_CASE("every task runs once, and its effects are there when run returns") {
    for (const int threads : {1, 2, 3, 4, 8}) {
        CAPTURE(threads);
        ThreadPool pool(threads);
        for (const int count : {0, 1, 2, 3, 7, 64, 1000}) {
            CAPTURE(count);
            CHECK(each_once(pool, count));
        }
    }
}

TEST_CASE("many short runs one after the other") {
    ThreadPool pool(3);
    long sum = 0;
    const int runs = trimmed() ? 500 : 5000;
    for (int round = 0; round < runs; ++round) {
        std::atomic<int> part{0};
        const auto task = [&](int i) { part.fetch_add(i + 1, std::memory_order_relaxed); };
        pool.run(4, task);
        sum += part;
    }
    CHECK(sum == 10L * runs);
}

TEST_CASE("workers that have gone to sleep wake up") {
    ThreadPool pool(3);
    for (int round = 0; round < 5; ++round) {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        CHECK(each_once(pool, 50));
    }
}

TEST_CASE("several threads use one pool at a time") {
    ThreadPool pool(3);
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&] {
            for (int round = 0; round < (trimmed() ? 50 : 300); ++round)
                if (!each_once(pool, 1 + round % 9)) ++wrong;
        });
    for (std::thread& thread : threads) thread.join();
    CHECK(wrong == 0);
}

TEST_CASE("a task may use the pool it runs on") {
    ThreadPool pool(3);
    std::atomic<int> ran{0};
    const auto inner = [&](int) { ++ran; };
    const auto outer = [&](int) { pool.run(5, inner); };
    pool.run(4, outer);
    CHECK(ran == 20);
}

TEST_CASE("pools come and go, used or not") {
    for (int round = 0; round < (trimmed() ? 10 : 50); ++round) {
        ThreadPool unused(4);
        ThreadPool used(2);
        CHECK(each_once(used, 3));
    }
}

/// Notes how it was called; runs in order.
class CountingExecutor : public Executor {
public:
    void run(int count, TaskRef task) override {
        ++runs;
        tasks += count;
        for (int i = 0; i < count; ++i) task(i);
    }
    int runs = 0, tasks = 0;
};

TEST_CASE("bands tile the range") {
    for (const int threads : {1, 2, 3, 7, 64}) {
        for (const int count : {0, 1, 2, 3, 11, 12, 13, 100, 4801}) {
            for (const int grain : {1, 4, 12}) {
                CAPTURE(threads);
                CAPTURE(count);
                CAPTURE(grain);
                CountingExecutor executor;
                const Parallel parallel(&executor, threads);
                CHECK(parallel.threads() == threads);
                int next = 0, bands = 0;
                bool right = true;
                int shortest = count, longest = 0;
                parallel.bands(count, grain, [&](int begin, int end, int band) {
                    right = right && begin == next && end > begin && band == bands && (begin % grain == 0) &&
                            (end % grain == 0 || end == count);
                    shortest = std::min(shortest, end - begin);
                    longest = std::max(longest, end - begin);
                    next = end;
                    ++bands;
                });
                CHECK(right);
                CHECK(next == count);
                CHECK(bands <= threads);
                CHECK(bands == std::min(threads, (count + grain - 1) / grain));
                if (bands > 1) CHECK(longest - shortest < 2 * grain);
                CHECK(executor.runs == (bands > 1 ? 1 : 0));  // one band runs where it is
            }
        }
    }
}

TEST_CASE("without an executor there is one band") {
    const Parallel parallel(nullptr, 8);
    CHECK(parallel.threads() == 1);
    int calls = 0;
    parallel.bands(100, 1, [&](int begin, int end, int band) {
        ++calls;
        CHECK(begin == 0);
        CHECK(end == 100);
        CHECK(band == 0);
    });
    CHECK(calls == 1);
}

}  // namespace
