#pragma once

#include <cstddef>
#include <memory>
#include <new>

#include "../config.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace detail {

/// Uninitialised floats on a 64-byte boundary. reserve() throws std::bad_alloc and may move; contents are not kept.
class AlignedBuffer {
public:
    static constexpr std::size_t kAlignment = 64;

    AlignedBuffer() = default;
    explicit AlignedBuffer(std::size_t count) { reserve(count); }

    void reserve(std::size_t count) {
        if (count <= count_) return;
        if (count > static_cast<std::size_t>(-1) / sizeof(float) / 2) throw std::bad_alloc();
        data_.reset();
        count_ = 0;
        data_.reset(static_cast<float*>(::operator new(count * sizeof(float), std::align_val_t{kAlignment})));
        count_ = count;
    }
    float* data() noexcept { return data_.get(); }
    const float* data() const noexcept { return data_.get(); }
    std::size_t size() const noexcept { return count_; }

private:
    struct Delete {
        void operator()(float* p) const noexcept { ::operator delete(p, std::align_val_t{kAlignment}); }
    };
    std::unique_ptr<float, Delete> data_;
    std::size_t count_ = 0;
};

/// Counts out pieces of one buffer, each on a 64-byte boundary.
class ArenaLayout {
public:
    /// Offset of `count` floats.
    std::size_t take(std::size_t count) noexcept {
        const std::size_t offset = size_;
        size_ += (count + 15) / 16 * 16;
        return offset;
    }
    std::size_t size() const noexcept { return size_; }

private:
    std::size_t size_ = 0;
};

}  // namespace detail
RETINAFACE_END_NAMESPACE
