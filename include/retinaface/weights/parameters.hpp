// Hands the tensors of a weights file to the layers that own them, strictly: every tensor is taken once and has the shape its layer
// expects.
#pragma once

#include <initializer_list>
#include <set>
#include <string>
#include <vector>

#include "archive.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace detail {

class Parameters {
public:
    /// A name within the file: `parameters["context"]["p3"]` takes "context.p3.weight". Valid as long as the Parameters.
    class Scope {
    public:
        Scope operator[](const std::string& name) const { return {root_, name_.empty() ? name : name_ + "." + name}; }
        const std::string& name() const noexcept { return name_; }
        /// Instruction set to pack for.
        Isa isa() const noexcept { return root_.isa_; }

        /// Values of tensor `name` of this scope; throws Error (mismatch) where it is missing or of another shape.
        const std::vector<float>& take(const char* name, std::initializer_list<std::int64_t> shape) const {
            return root_.take((*this)[name].name_, shape);
        }

    private:
        friend class Parameters;
        Scope(Parameters& root, std::string name) : root_(root), name_(std::move(name)) {}

        Parameters& root_;
        std::string name_;
    };

    /// Layers pack what they take for `isa`.
    Parameters(const Weights& weights, Isa isa) : weights_(weights), isa_(isa) {}

    Scope root() { return {*this, ""}; }

    /// Throws Error (mismatch) if the file has a tensor that nobody took, the self-test aside.
    void finish() const {
        for (const Tensor& tensor : weights_.tensors())
            if (taken_.count(tensor.name) == 0 && tensor.name.rfind("selftest.", 0) != 0)
                fail("tensor '" + tensor.name + "' does not belong to architecture " + weights_.metadata("architecture"));
    }

private:
    const std::vector<float>& take(const std::string& name, std::initializer_list<std::int64_t> shape) {
        const Tensor* tensor = weights_.find(name);
        if (tensor == nullptr) fail("tensor '" + name + "' is missing, expected shape " + to_string(std::vector<std::int64_t>(shape)));
        if (tensor->shape != std::vector<std::int64_t>(shape))
            fail("tensor '" + name + "': expected shape " + to_string(std::vector<std::int64_t>(shape)) + ", found " +
                 to_string(tensor->shape));
        if (tensor->dtype == Tensor::Dtype::u8) fail("tensor '" + name + "': expected F32 or F16, found U8");
        taken_.insert(name);
        return tensor->values;
    }

    [[noreturn]] static void fail(const std::string& what) { throw Error(ErrorCode::mismatch, "weights: " + what); }

    const Weights& weights_;
    Isa isa_;
    std::set<std::string> taken_;
};

}  // namespace detail
RETINAFACE_END_NAMESPACE
