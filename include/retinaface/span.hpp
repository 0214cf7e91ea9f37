#pragma once

#include <cassert>
#include <cstddef>
#include <type_traits>
#include <utility>

#include "config.hpp"

RETINAFACE_BEGIN_NAMESPACE

/// A pointer and a length (C++17 has no std::span). Owns nothing.
template <class T>
class Span {
public:
    constexpr Span() noexcept = default;
    constexpr Span(T* data, std::size_t size) noexcept : data_(data), size_(size) {}
    /// The elements of a std::vector, std::array or the like.
    template <class Container, class = std::enable_if_t<!std::is_same_v<std::decay_t<Container>, Span> &&
                                                        std::is_convertible_v<decltype(std::declval<Container&>().data()), T*>>>
    constexpr Span(Container&& container) noexcept : data_(container.data()), size_(container.size()) {}

    constexpr T* data() const noexcept { return data_; }
    constexpr std::size_t size() const noexcept { return size_; }
    constexpr bool empty() const noexcept { return size_ == 0; }
    constexpr T* begin() const noexcept { return data_; }
    constexpr T* end() const noexcept { return data_ + size_; }
    constexpr T& operator[](std::size_t i) const noexcept {
        assert(i < size_);
        return data_[i];
    }

private:
    T* data_ = nullptr;
    std::size_t size_ = 0;
};

RETINAFACE_END_NAMESPACE
