#include "allocations.hpp"

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <limits>
#include <new>

// In a file of their own, so that no caller is inlined with only one of a pair, which GCC takes for a mismatch. All forms, because
// AddressSanitizer's forms do not call each other and their memory is not free()'s.

namespace {
std::atomic<long> count{0};
std::atomic<long> last{std::numeric_limits<long>::max()};  ///< that succeeds

void* allocate(std::size_t size, std::size_t alignment) noexcept {
    if (++count > last) return nullptr;
    const std::size_t rounded = (size + alignment - 1) / alignment * alignment;
    return std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded);
}

void* allocate_or_throw(std::size_t size, std::size_t alignment) {
    if (void* p = allocate(size, alignment)) return p;
    throw std::bad_alloc();
}

constexpr std::size_t kAlignment = alignof(std::max_align_t);
}  // namespace

long retinaface_test::allocations() { return count; }
retinaface_test::FailingAllocations::FailingAllocations(long allowed) { last = count + allowed; }
retinaface_test::FailingAllocations::~FailingAllocations() { last = std::numeric_limits<long>::max(); }

using Alignment = std::align_val_t;

void* operator new(std::size_t size) { return allocate_or_throw(size, kAlignment); }
void* operator new[](std::size_t size) { return allocate_or_throw(size, kAlignment); }
void* operator new(std::size_t size, Alignment a) { return allocate_or_throw(size, static_cast<std::size_t>(a)); }
void* operator new[](std::size_t size, Alignment a) { return allocate_or_throw(size, static_cast<std::size_t>(a)); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return allocate(size, kAlignment); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return allocate(size, kAlignment); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t) noexcept { std::free(p); }
void operator delete(void* p, Alignment) noexcept { std::free(p); }
void operator delete[](void* p, Alignment) noexcept { std::free(p); }
void operator delete(void* p, std::size_t, Alignment) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t, Alignment) noexcept { std::free(p); }
