// Where the work of one frame runs: the hook for a program's own threads.
#pragma once

#include <type_traits>

#include "config.hpp"

RETINAFACE_BEGIN_NAMESPACE

/// Most threads one detect() call can use.
constexpr int kMaxThreads = 64;

/// Reference to a callable `void(int)`; valid while the callable is.
class TaskRef {
public:
    template <class Function, class = std::enable_if_t<!std::is_same_v<std::decay_t<Function>, TaskRef>>>
    TaskRef(Function& function) noexcept
        : object_(const_cast<void*>(static_cast<const void*>(&function))),
          call_([](void* object, int index) { (*static_cast<Function*>(object))(index); }) {}
    void operator()(int index) const { call_(object_, index); }

private:
    void* object_;
    void (*call_)(void*, int);
};

/// Runs tasks. Tasks of one run() never wait for each other, so any order and any number of threads is right.
class Executor {
public:
    virtual ~Executor() = default;
    /// Calls task(0), ..., task(count - 1), each once, and returns when all are done. Tasks do not throw. May be called from
    /// several threads at a time. What it throws itself (once no task of this run is running any more) comes out of detect(), and out
    /// of its noexcept form as Error (unexpected).
    virtual void run(int count, TaskRef task) = 0;
};

RETINAFACE_END_NAMESPACE
