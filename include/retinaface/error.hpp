// Errors. Every function that can fail has a throwing form (throws Error) and a noexcept form (returns Result).
#pragma once

#include <cassert>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include "config.hpp"

RETINAFACE_BEGIN_NAMESPACE

enum class ErrorCode {
    invalid_argument,  ///< an image, size or option outside its stated range
    io,                ///< a file that cannot be read
    bad_format,        ///< a weights file that breaks the container format
    mismatch,          ///< a well-formed weights file that does not fit the network
    unsupported,       ///< an instruction set or architecture that this build or CPU lacks
    out_of_memory
};

/// What went wrong, in one line that names the thing, what was expected and what was found.
class Error : public std::runtime_error {
public:
    Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
    ErrorCode code() const noexcept { return code_; }

private:
    ErrorCode code_;
};

/// A value or an Error.
template <class T>
class Result {
public:
    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

    bool has_value() const noexcept { return state_.index() == 0; }
    explicit operator bool() const noexcept { return has_value(); }

    /// The value; the caller has checked has_value().
    T& operator*() & noexcept { return *value_pointer(); }
    const T& operator*() const& noexcept { return *std::get_if<0>(&state_); }
    T&& operator*() && noexcept { return std::move(*value_pointer()); }
    T* operator->() noexcept { return value_pointer(); }

    /// The value, or throws the Error.
    T value() && {
        if (!has_value()) throw error();
        return std::move(*value_pointer());
    }

    /// The error; the caller has checked !has_value().
    const Error& error() const noexcept {
        assert(!has_value());
        return *std::get_if<1>(&state_);
    }

private:
    T* value_pointer() noexcept {
        assert(has_value());
        return std::get_if<0>(&state_);
    }

    std::variant<T, Error> state_;
};

namespace detail {

/// Runs `function` and turns what it throws into a Result.
template <class Function>
auto as_result(Function&& function) noexcept -> Result<std::decay_t<decltype(function())>> {
    try {
        return function();
    } catch (const Error& error) {
        return error;
    } catch (const std::bad_alloc&) {
        return Error(ErrorCode::out_of_memory, "out of memory");
    } catch (const std::exception& error) {
        return Error(ErrorCode::invalid_argument, error.what());
    }
}

}  // namespace detail

RETINAFACE_END_NAMESPACE
