// Errors. Every function that can fail has a throwing form (throws Error; std::bad_alloc for memory that cannot be had; what an Executor
// throws comes out as it is) and a noexcept form (returns Result).
//
// Compiled without exceptions (-fno-exceptions) the noexcept forms are the interface. A throwing form that fails then prints its
// message and ends the program, and so does memory that cannot be had.
#pragma once

#include <cassert>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

#include "config.hpp"

RETINAFACE_BEGIN_NAMESPACE

enum class ErrorCode {
    invalid_argument,  ///< an image, size or option outside its stated range
    io,                ///< a file that cannot be read
    bad_format,        ///< a weights file that breaks the container format
    mismatch,          ///< a well-formed weights file that does not fit the network
    unsupported,       ///< an instruction set or architecture that this build or CPU lacks
    out_of_memory,
    damaged,     ///< a weights file whose bytes are not those that were written
    no_threads,  ///< the system gives no more threads
    unexpected   ///< an exception that is not this library's: an Executor's
};

/// What went wrong, in one line that names the thing, what was expected and what was found. Copying neither allocates nor throws.
class Error : public std::exception {
public:
    /// Throws std::bad_alloc.
    Error(ErrorCode code, const std::string& message) : code_(code), message_(std::make_shared<const std::string>(message)) {}
    /// Allocates nothing: `literal` lives as long as the program.
    static Error fixed(ErrorCode code, const char* literal) noexcept { return {code, literal, Fixed{}}; }

    ErrorCode code() const noexcept { return code_; }
    const char* what() const noexcept override { return message_ != nullptr ? message_->c_str() : literal_; }

private:
    struct Fixed {};
    Error(ErrorCode code, const char* literal, Fixed) noexcept : code_(code), literal_(literal) {}

    ErrorCode code_;
    const char* literal_ = "";
    std::shared_ptr<const std::string> message_;
};

namespace detail {

/// Throws; without exceptions, ends the program.
[[noreturn]] inline void raise(const Error& error) {
#if RETINAFACE_EXCEPTIONS
    throw error;
#else
    std::fprintf(stderr, "retinaface: %s\n", error.what());
    std::abort();
#endif
}

[[noreturn]] inline void raise_out_of_memory() {
#if RETINAFACE_EXCEPTIONS
    throw std::bad_alloc();
#else
    raise(Error::fixed(ErrorCode::out_of_memory, "out of memory"));
#endif
}

}  // namespace detail

/// A value or an Error.
template <class T>
class [[nodiscard]] Result {
public:
    Result(T value) : value_(std::move(value)) {}
    Result(Error error) : error_(std::move(error)) {}

    bool has_value() const noexcept { return value_.has_value(); }
    explicit operator bool() const noexcept { return has_value(); }

    /// The value; the caller has checked has_value().
    T& operator*() & noexcept { return *value_; }
    const T& operator*() const& noexcept { return *value_; }
    T&& operator*() && noexcept { return *std::move(value_); }
    T* operator->() noexcept { return &*value_; }

    /// The value, or throws the Error.
    T value() && {
        if (!has_value()) detail::raise(error_);
        return *std::move(value_);
    }

    /// The error; the caller has checked !has_value().
    const Error& error() const noexcept {
        assert(!has_value());
        return error_;
    }

private:
    std::optional<T> value_;  // with an error beside it: cheaper to compile than a variant
    Error error_ = Error::fixed(ErrorCode::unexpected, "");
};

/// Success or an Error.
template <>
class [[nodiscard]] Result<void> {
public:
    Result() noexcept = default;
    Result(Error error) noexcept : error_(std::move(error)) {}

    bool has_value() const noexcept { return !error_.has_value(); }
    explicit operator bool() const noexcept { return has_value(); }

    /// Throws the Error, if there is one.
    void value() const {
        if (!has_value()) detail::raise(*error_);
    }

    /// The error; the caller has checked !has_value().
    const Error& error() const noexcept {
        assert(!has_value());
        return *error_;
    }

private:
    std::optional<Error> error_;
};

namespace detail {

template <class T>
struct ResultOf {
    using Type = Result<T>;
};
template <class T>
struct ResultOf<Result<T>> {
    using Type = Result<T>;
};

#if RETINAFACE_EXCEPTIONS
/// The exception being handled as an Error, whatever it is and however little memory is left.
inline Error current_error() noexcept {
    try {
        try {
            throw;
        } catch (const Error& error) {
            return error;
        } catch (const std::bad_alloc&) {
            return Error::fixed(ErrorCode::out_of_memory, "out of memory");
        } catch (const std::length_error&) {
            return Error::fixed(ErrorCode::out_of_memory, "out of memory");
        } catch (const std::exception& error) {
            return Error(ErrorCode::unexpected, std::string("an exception that is not this library's: ") + error.what());
        } catch (...) {
            return Error::fixed(ErrorCode::unexpected, "an exception that is not this library's, and no std::exception");
        }
    } catch (...) {
        return Error::fixed(ErrorCode::out_of_memory, "out of memory");
    }
}
#endif

/// Runs `function`, which returns a value or a Result, and turns what it throws into a Result.
template <class Function>
auto as_result(Function&& function) noexcept -> typename ResultOf<std::decay_t<decltype(function())>>::Type {
#if RETINAFACE_EXCEPTIONS
    try {
        return function();
    } catch (...) {
        return current_error();
    }
#else
    return function();
#endif
}

}  // namespace detail

RETINAFACE_END_NAMESPACE
