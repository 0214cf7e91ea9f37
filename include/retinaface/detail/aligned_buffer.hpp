#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <utility>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "../error.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace detail {

/// Boundary of every buffer and of every map in one, in bytes: a cache line, the widest vector.
constexpr std::size_t kAlignment = 64;

constexpr std::size_t aligned(std::size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

/// Uninitialised values on a 64-byte boundary. reserve() throws std::bad_alloc and may move; contents are not kept. Large buffers
/// ask for huge pages: a frame walks through all of its arena, and prefetchers stop at the end of a page.
template <class T>
class AlignedArray {
public:
    static constexpr std::size_t kHugePage = std::size_t{1} << 21;

    AlignedArray() = default;
    AlignedArray(AlignedArray&& other) noexcept : data_(std::move(other.data_)), count_(std::exchange(other.count_, 0)) {}
    AlignedArray& operator=(AlignedArray&& other) noexcept {
        data_ = std::move(other.data_);
        count_ = std::exchange(other.count_, 0);
        return *this;
    }
    explicit AlignedArray(std::size_t count) { reserve(count); }

    void reserve(std::size_t count) {
        if (count <= count_) return;
        if (count > static_cast<std::size_t>(-1) / sizeof(T) / 2) raise_out_of_memory();
        data_.reset();
        count_ = 0;
        const std::size_t bytes = count * sizeof(T);
        const std::size_t alignment = bytes >= kHugePage ? kHugePage : kAlignment;
        data_ = {static_cast<T*>(::operator new (bytes, std::align_val_t{alignment})), Delete{alignment}};
        count_ = count;
#if defined(__linux__) && defined(MADV_HUGEPAGE)
        // Advice only: where it is refused, small pages serve.
        if (bytes >= kHugePage) (void)madvise(data_.get(), bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
    }
    T* data() noexcept { return data_.get(); }
    const T* data() const noexcept { return data_.get(); }
    std::size_t size() const noexcept { return count_; }

private:
    struct Delete {
        std::size_t alignment;
        void operator()(T* p) const noexcept { ::operator delete (p, std::align_val_t{alignment}); }
    };
    std::unique_ptr<T, Delete> data_{nullptr, Delete{kAlignment}};
    std::size_t count_ = 0;
};

using AlignedBuffer = AlignedArray<float>;

/// Counts out pieces of one buffer, each on a 64-byte boundary.
class ArenaLayout {
public:
    /// Offset of `bytes` bytes.
    std::size_t take(std::size_t bytes) noexcept {
        const std::size_t offset = size_;
        size_ += aligned(bytes);
        return offset;
    }
    std::size_t size() const noexcept { return size_; }

private:
    std::size_t size_ = 0;
};

}  // namespace detail
RETINAFACE_END_NAMESPACE
