// Sparse matrices and Chebyshev convolutions on meshes (Defferrard et al. 2016; RetinaFace section 3.2, equation 2).
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "../detail/aligned_buffer.hpp"
#include "../detail/parallel.hpp"
#include "../error.hpp"
#include "kernels.hpp"

RETINAFACE_BEGIN_NAMESPACE

/// A sparse matrix in rows; within a row columns ascend.
struct Csr {
    int rows = 0;
    int columns = 0;
    std::vector<std::int32_t> starts;  ///< [rows + 1]
    std::vector<std::int32_t> indices;
    std::vector<float> values;

    kernels::CsrView view() const noexcept { return {starts.data(), indices.data(), values.data()}; }

    /// Throws Error (bad_format) unless every index is in range and every row ascends; `what` names the matrix.
    void validate(const std::string& what) const {
        const auto fail = [&](const std::string& text) {
            detail::raise(Error(ErrorCode::bad_format, "mesh: " + what + ": " + text));
        };
        if (rows < 0 || columns < 0 || starts.size() != static_cast<std::size_t>(rows) + 1 || starts.front() != 0)
            fail("expected " + std::to_string(rows) + " rows");
        if (indices.size() != values.size() || static_cast<std::size_t>(starts.back()) != indices.size())
            fail("expected as many indices and values as the rows count, " + std::to_string(starts.back()) + ", found " +
                 std::to_string(indices.size()) + " and " + std::to_string(values.size()));
        for (std::size_t row = 0; row < static_cast<std::size_t>(rows); ++row)
            if (starts[row] > starts[row + 1]) fail("row " + std::to_string(row) + " has a negative length");
        for (std::size_t row = 0; row < static_cast<std::size_t>(rows); ++row) {
            for (auto e = static_cast<std::size_t>(starts[row]); e < static_cast<std::size_t>(starts[row + 1]); ++e) {
                if (indices[e] < 0 || indices[e] >= columns)
                    fail("row " + std::to_string(row) + ": expected columns below " + std::to_string(columns) + ", found " +
                         std::to_string(indices[e]));
                if (e > static_cast<std::size_t>(starts[row]) && indices[e] <= indices[e - 1])
                    fail("row " + std::to_string(row) + ": columns must ascend, found " + std::to_string(indices[e]) +
                         " behind " + std::to_string(indices[e - 1]));
            }
        }
    }
};

/// y = act(sum over k < K of T_k(L~) U x W_k + bias), T_0 = 1, T_1 = L~, T_k = 2 L~ T_(k-1) - T_(k-2): a layer of the mesh decoder. U, an
/// up-sampling to L~'s vertices, may be absent (the identity).
///
/// Features are [vertices][faces][channels(F)] with zeros after the F true ones. Every output is summed in one order: a face's result
/// has the same bits for any number of threads and of faces beside it, and on every instruction set with fused multiply-adds.
///
/// Rows are made in blocks in a wave over the terms: term k is made as far as term k + 1 will look in this step, so that with vertices in an
/// order of small bandwidth all terms stay in the second cache. Where few features leave many (the last layer), Clenshaw's form: the dense
/// products first, the recurrence on the outputs.
class ChebConv {
public:
    static constexpr int kMostFeatures = 64, kMostTerms = 16, kMostFaces = 8;

    /// Floats that `features` take.
    static constexpr int channels(int features) { return (features + 7) / 8 * 8; }

    /// `weight` is [features_in * terms][features_out], row = feature * terms + k; `bias` [features_out], or empty: none. The matrices have
    /// been validated; `isa` is available.
    ChebConv(Csr laplacian, Csr upsample, int features_in, int features_out, int terms, const std::vector<float>& weight,
             const std::vector<float>& bias, bool relu, Isa isa)
        : laplacian_(std::move(laplacian)),
          upsample_(std::move(upsample)),
          features_in_(features_in),
          features_out_(features_out),
          terms_(terms),
          relu_(relu),
          on_outputs_(bias.empty() && !relu && upsample_.starts.empty() && channels(features_out) == 8 &&
                      channels(features_in) > 8 && terms > 1),
          kernels_(kernels::find<kernels::GraphConv>(isa)) {
        const int columns = on_outputs_ ? 8 * terms : channels(features_out);
        padded_ = (columns + kernels_.width - 1) / kernels_.width * kernels_.width;
        const auto size = static_cast<std::size_t>(features_in) * static_cast<std::size_t>(padded_) *
                          (on_outputs_ ? 1u : static_cast<std::size_t>(terms));
        weights_.reserve(size);
        std::fill_n(weights_.data(), size, 0.0f);
        for (int f = 0; f < features_in; ++f)
            for (int k = 0; k < terms; ++k)
                for (int o = 0; o < features_out; ++o)
                    weights_.data()[on_outputs_ ? std::ptrdiff_t{f} * padded_ + 8 * k + o
                                                : (std::ptrdiff_t{k} * features_in + f) * padded_ + o] =
                        weight[(static_cast<std::size_t>(f) * static_cast<std::size_t>(terms) + static_cast<std::size_t>(k)) *
                                   static_cast<std::size_t>(features_out) +
                               static_cast<std::size_t>(o)];
        bias_.reserve(static_cast<std::size_t>(padded_));
        std::fill_n(bias_.data(), padded_, 0.0f);
        std::copy(bias.begin(), bias.end(), bias_.data());

        reach_.resize(static_cast<std::size_t>(laplacian_.rows));
        std::int32_t most = 0;
        for (std::size_t row = 0; row < reach_.size(); ++row) {
            most = std::max(most, static_cast<std::int32_t>(row) + 1);
            if (laplacian_.starts[row + 1] > laplacian_.starts[row])
                most = std::max(most, laplacian_.indices[static_cast<std::size_t>(laplacian_.starts[row + 1]) - 1] + 1);
            reach_[row] = most;
        }
    }

    int vertices() const noexcept { return laplacian_.rows; }
    int vertices_in() const noexcept { return upsample_.starts.empty() ? laplacian_.rows : upsample_.columns; }
    int features_in() const noexcept { return features_in_; }
    int features_out() const noexcept { return features_out_; }

    /// Floats of scratch that run() needs.
    std::size_t scratch(int faces) const noexcept {
        return (on_outputs_ ? 8 * static_cast<std::size_t>(2 * terms_ - 2)
                            : static_cast<std::size_t>(channels(features_in_)) * static_cast<std::size_t>(terms_)) *
               static_cast<std::size_t>(vertices()) * static_cast<std::size_t>(faces);
    }

    /// x [vertices_in][faces][channels(features_in)], y [vertices][faces][channels(features_out)], faces 1..kMostFaces; x, y and scratch
    /// are 64-byte aligned and do not overlap.
    void run(const float* x, int faces, float* y, float* scratch, const detail::Parallel& parallel) const {
        const auto step = [&](int stage, int begin, int end) {
            if (on_outputs_)
                output_stage(stage, x, faces, y, scratch, begin, end);
            else
                term_stage(stage, x, faces, y, scratch, begin, end);
        };
        if (parallel.threads() > 1) {
            for (int stage = 0; stage < terms_; ++stage)
                parallel.bands(vertices(), kBlock, [&](int begin, int end, int) { step(stage, begin, end); });
            return;
        }
        int done[kMostTerms] = {}, need[kMostTerms];
        while (done[terms_ - 1] < vertices()) {
            need[terms_ - 1] = std::min(done[terms_ - 1] + kBlock, vertices());
            for (int stage = terms_ - 1; stage > 0; --stage) need[stage - 1] = reach_[static_cast<std::size_t>(need[stage]) - 1];
            for (int stage = 0; stage < terms_; ++stage) {
                if (need[stage] > done[stage]) step(stage, done[stage], need[stage]);
                done[stage] = std::max(done[stage], need[stage]);
            }
        }
    }

private:
    static constexpr int kBlock = 96;

    void term_stage(int k, const float* x, int faces, float* y, float* scratch, int begin, int end) const {
        const auto map = static_cast<std::size_t>(vertices()) * static_cast<std::size_t>(faces) *
                         static_cast<std::size_t>(channels(features_in_));
        const bool upsampled = !upsample_.starts.empty();
        const auto term = [&](int i) -> const float* {
            return i == 0 && !upsampled ? x : scratch + static_cast<std::size_t>(i) * map;
        };
        kernels::ChebTermArgs a{};
        if (k > 0 || upsampled) a.matrix = k == 0 ? upsample_.view() : laplacian_.view();
        a.scale = k > 1 ? 2.0f : 1.0f;
        a.x = k == 0 ? x : term(k - 1);
        a.before = k > 1 ? term(k - 2) : nullptr;
        a.channels_in = channels(features_in_);
        // The last term is needed by nobody after its product.
        const bool kept = k + 1 < terms_ || faces * a.channels_in > kernels::kChebRow;
        a.t = kept ? scratch + static_cast<std::size_t>(k) * map : nullptr;
        a.features_in = features_in_;
        a.weights = weights_.data() + std::ptrdiff_t{k} * features_in_ * padded_;
        a.bias = k == 0 ? bias_.data() : nullptr;
        a.y = y;
        a.channels_out = channels(features_out_);
        a.faces = faces;
        a.relu = relu_ && k + 1 == terms_;
        a.begin = begin;
        a.end = end;
        kernels_.term(a);
    }

    void output_stage(int stage, const float* x, int faces, float* y, float* scratch, int begin, int end) const {
        float* const c = scratch;
        const auto map = static_cast<std::size_t>(vertices()) * static_cast<std::size_t>(faces) * 8;
        if (stage == 0) {
            kernels_.products({x, channels(features_in_), features_in_, weights_.data(), terms_, c, begin * faces, end * faces});
            return;
        }
        const int k = terms_ - 1 - stage;
        const auto products = [&](int i) { return kernels::ClenshawArgs::Map{c + 8 * i, 8 * terms_}; };
        const auto sum = [&](int i) -> float* {
            return scratch + (static_cast<std::size_t>(terms_) + static_cast<std::size_t>(i) - 1) * map;
        };
        // b_(K-1) is its product.
        const auto b = [&](int i) { return i == terms_ - 1 ? products(i) : kernels::ClenshawArgs::Map{sum(i), 8}; };
        kernels::ClenshawArgs a{};
        a.matrix = laplacian_.view();
        a.scale = k > 0 ? 2.0f : 1.0f;
        a.c = products(k);
        a.x = b(k + 1);
        if (k + 2 < terms_) a.before = b(k + 2);
        a.b = k == 0 ? y : sum(k);
        a.faces = faces;
        a.begin = begin;
        a.end = end;
        kernels_.clenshaw(a);
    }

    Csr laplacian_, upsample_;
    int features_in_, features_out_, terms_, padded_ = 0;
    bool relu_, on_outputs_;
    kernels::GraphConv kernels_;
    detail::AlignedBuffer weights_, bias_;
    std::vector<std::int32_t> reach_;  ///< rows of a term that the next one needs for its rows up to here
};

RETINAFACE_END_NAMESPACE
