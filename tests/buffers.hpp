// Buffers of the kernel tests: random values, memory with canaries, and the comparison of two results.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

namespace retinaface_test {

/// Reproducible numbers, the same on every platform (xorshift64*).
class Random {
public:
    explicit Random(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u + 0x1234567u) {}

    std::uint32_t bits() {
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return static_cast<std::uint32_t>((state_ * 0x2545F4914F6CDD1Du) >> 32);
    }
    /// 0 .. n - 1.
    int below(int n) { return static_cast<int>(bits() % static_cast<std::uint32_t>(n)); }
    /// [low, high).
    float uniform(float low, float high) { return low + (high - low) * static_cast<float>(bits() >> 8) / 16777216.0f; }

    std::vector<float> values(std::size_t count, float low = -1, float high = 1) {
        std::vector<float> out(count);
        for (float& v : out) v = uniform(low, high);
        return out;
    }
    std::vector<std::uint8_t> bytes(std::size_t count) {
        std::vector<std::uint8_t> out(count);
        for (std::uint8_t& v : out) v = static_cast<std::uint8_t>(bits() >> 13);
        return out;
    }

private:
    std::uint64_t state_;
};

inline bool same_bits(float a, float b) { return std::memcmp(&a, &b, sizeof a) == 0; }

/// Input of a kernel that ends where its memory ends (so that AddressSanitizer sees a read after it), `offset` floats from the
/// boundary of 16 that the allocator gives.
class Input {
public:
    Input(std::vector<float> values, int offset) : offset_(offset), storage_(static_cast<std::size_t>(offset)) {
        storage_.insert(storage_.end(), values.begin(), values.end());
        storage_.shrink_to_fit();
    }
    const float* data() const { return storage_.data() + offset_; }

private:
    int offset_;
    std::vector<float> storage_;
};

/// Output of a kernel, full of canaries and between canaries: `untouched()` finds a write where none belongs.
class Output {
public:
    static constexpr std::size_t kGuard = 64;  // more than any vector

    Output(std::size_t count, int offset)
        : offset_(static_cast<std::size_t>(offset)), storage_(count + 2 * kGuard + offset_, canary()) {}

    float* data() { return storage_.data() + kGuard + offset_; }
    const float* data() const { return storage_.data() + kGuard + offset_; }
    std::size_t size() const { return storage_.size() - 2 * kGuard - offset_; }
    float operator[](std::size_t i) const { return data()[i]; }

    /// Index, from data(), of the first value that is no canary though `written(i)` is false; kNone where there is none.
    template <class Written>
    std::ptrdiff_t overwritten(Written written) const {
        const auto begin = static_cast<std::ptrdiff_t>(kGuard + offset_);
        for (std::ptrdiff_t i = -begin; i < static_cast<std::ptrdiff_t>(storage_.size()) - begin; ++i) {
            const bool inside = i >= 0 && i < static_cast<std::ptrdiff_t>(size());
            if (inside && written(static_cast<std::size_t>(i))) continue;
            if (!same_bits(data()[i], canary())) return i;
        }
        return kNone;
    }
    std::ptrdiff_t overwritten() const {
        return overwritten([](std::size_t) { return true; });
    }
    static constexpr std::ptrdiff_t kNone = std::numeric_limits<std::ptrdiff_t>::min();

private:
    /// A NaN that no kernel makes.
    static float canary() {
        const std::uint32_t bits = 0x7FC5A5A5u;
        float value;
        std::memcpy(&value, &bits, sizeof value);
        return value;
    }

    std::size_t offset_;
    std::vector<float> storage_;
};

/// Collects |found - expected| against rel * |expected| + eps * magnitude, where the magnitude is sum |w * x|.
struct Comparison {
    float rel;
    float eps;
    double worst = 0;  ///< largest difference as a share of what is allowed; above 1: wrong
    std::size_t worst_index = 0;
    float found = 0, expected = 0;

    Comparison(float rel_, float eps_) : rel(rel_), eps(eps_) {}

    void add(std::size_t index, float value, float reference, float magnitude) {
        const double allowed = static_cast<double>(rel) * std::abs(static_cast<double>(reference)) +
                               static_cast<double>(eps) * static_cast<double>(magnitude) + 1e-30;
        const double difference = std::abs(static_cast<double>(value) - static_cast<double>(reference));
        const double share = std::isfinite(value) ? difference / allowed : std::numeric_limits<double>::infinity();
        if (share > worst) {
            worst = share;
            worst_index = index;
            found = value;
            expected = reference;
        }
    }
};

inline std::vector<float> absolute(std::vector<float> values) {
    for (float& v : values) v = std::abs(v);
    return values;
}

}  // namespace retinaface_test
