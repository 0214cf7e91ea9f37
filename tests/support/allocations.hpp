// Counting allocations. allocations.cpp replaces the allocation functions of the executable that it is linked into.
#pragma once

namespace retinaface_test {

/// Calls of operator new so far, by all threads.
long allocations();

/// From now on the first `count` calls of operator new succeed, and all after them fail, until the object goes.
class FailingAllocations {
public:
    explicit FailingAllocations(long count);
    ~FailingAllocations();
    FailingAllocations(const FailingAllocations&) = delete;
    FailingAllocations& operator=(const FailingAllocations&) = delete;
};

/// Calls of operator new that `function` makes.
template <class Function>
long allocations_of(Function&& function) {
    const long before = allocations();
    function();
    return allocations() - before;
}

}  // namespace retinaface_test
