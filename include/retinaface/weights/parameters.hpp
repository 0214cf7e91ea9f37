// Hands the tensors of a weights file to the layers that own them, strictly: every tensor is taken once and has the shape its layer
// expects.
#pragma once

#include <initializer_list>
#include <memory>
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

        /// Whether the file has tensor `name` of this scope.
        bool has(const char* name) const { return root_.weights_.find((*this)[name].name_) != nullptr; }
        /// Values of tensor `name` of this scope. Where it is missing, of another shape or cannot be read they are zeros, and finish() says so.
        std::vector<float> take(const char* name, std::initializer_list<std::int64_t> shape) const {
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

    const Weights& weights() const noexcept { return weights_; }
    Isa isa() const noexcept { return isa_; }

    /// Error (mismatch): the first tensor that did not fit, else one that nobody took, the self-test aside.
    Result<void> finish() const {
        if (mistake_ != nullptr) return *mistake_;
        for (const Tensor& tensor : weights_.tensors())
            if (taken_.count(tensor.name) == 0 && tensor.name.rfind("selftest.", 0) != 0) {
                const std::string* const architecture = weights_.find_metadata("architecture");
                return Error(ErrorCode::mismatch,
                             "weights: tensor '" + tensor.name + "' does not belong to " +
                                 (architecture == nullptr ? "the network" : "architecture " + *architecture));
            }
        return {};
    }

private:
    std::vector<float> take(const std::string& name, std::initializer_list<std::int64_t> shape) {
        const Tensor* tensor = weights_.find(name);
        const std::vector<std::int64_t> expected(shape);
        const auto mismatch = [&](const std::string& what) {
            return zeros(expected, Error(ErrorCode::mismatch, "weights: tensor '" + name + "'" + what));
        };
        if (tensor == nullptr) return mismatch(" is missing, expected shape " + to_string(expected));
        if (tensor->shape != expected)
            return mismatch(": expected shape " + to_string(expected) + ", found " + to_string(tensor->shape));
        if (tensor->dtype == Tensor::Dtype::u8) return mismatch(": expected F32 or F16, found U8");
        taken_.insert(name);
        Result<std::vector<float>> values = weights_.try_values(*tensor);
        return values ? *std::move(values) : zeros(expected, values.error());
    }

    std::vector<float> zeros(const std::vector<std::int64_t>& shape, const Error& mistake) {
        if (mistake_ == nullptr) mistake_ = std::make_unique<Error>(mistake);
        std::size_t count = 1;
        for (const std::int64_t side : shape) count *= static_cast<std::size_t>(side);
        return std::vector<float>(count);
    }

    const Weights& weights_;
    Isa isa_;
    std::set<std::string> taken_;
    std::unique_ptr<Error> mistake_;
};

}  // namespace detail
RETINAFACE_END_NAMESPACE
