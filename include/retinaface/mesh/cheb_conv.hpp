// Sparse matrices and Chebyshev convolutions on meshes (Defferrard et al. 2016; RetinaFace section 3.2, equation 2).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
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

namespace detail {

/// A sparse matrix as kernels read it, by groups of kSparseGroup rows.
class PackedSparse {
public:
    PackedSparse() = default;
    /// Columns are stored modulo `ring`; `channels` of a face are multiplied in.
    PackedSparse(const Csr& m, int ring, int channels) {
        const auto start = [&](std::int32_t row) { return m.starts[static_cast<std::size_t>(row)]; };
        const auto count = [&](std::int32_t row) { return (start(row + 1) - start(row) + 1) / 2 * 2; };
        std::vector<std::int32_t> sorted(static_cast<std::size_t>(m.rows));
        std::iota(sorted.begin(), sorted.end(), 0);
        rows_.reserve(sorted.size());
        values_.reserve(m.indices.size() + sorted.size() + 2);
        const auto column = [&](std::int32_t e) { return m.indices[static_cast<std::size_t>(e)] % ring * channels; };
        for (std::int32_t first = 0; first < m.rows; first += kernels::kSparseGroup) {
            const std::int32_t last = std::min(first + kernels::kSparseGroup, m.rows);
            std::sort(sorted.begin() + first, sorted.begin() + last,
                      [&](std::int32_t a, std::int32_t b) { return count(a) != count(b) ? count(a) < count(b) : a < b; });
            groups_.push_back({runs_.size(), columns_.size(), values_.size()});
            for (std::int32_t i = first; i < last; ++i) {
                const std::int32_t row = sorted[static_cast<std::size_t>(i)], end = start(row + 1);
                if (i == first || runs_.back().count != count(row)) runs_.push_back({count(row), 0});
                ++runs_.back().rows;
                rows_.push_back((row - first) * channels);
                for (std::int32_t e = start(row); e < end; e += 2)
                    columns_.push_back(kernels::SparseView::pair(column(e), column(std::min(e + 1, end - 1))));
                values_.insert(values_.end(), m.values.begin() + start(row), m.values.begin() + end);
                if (values_.size() % 2 != 0) values_.push_back(0);
            }
        }
        groups_.push_back({runs_.size(), columns_.size(), values_.size()});
        values_.resize(values_.size() + 2);
    }

    kernels::SparseView view(int first_row) const noexcept {
        const auto group = static_cast<std::size_t>(first_row / kernels::kSparseGroup);
        const Group &at = groups_[group], &next = groups_[group + 1];
        return {runs_.data() + at.run, static_cast<int>(next.run - at.run), rows_.data() + first_row,
                columns_.data() + at.columns, values_.data() + at.values};
    }

private:
    struct Group {
        std::size_t run, columns, values;
    };
    std::vector<Group> groups_;
    std::vector<kernels::SparseView::Run> runs_;
    std::vector<std::int32_t> rows_;
    std::vector<std::uint64_t> columns_;
    std::vector<float> values_;
};

}  // namespace detail

/// y = act(sum over k < K of T_k(L~) U x W_k + bias), T_0 = 1, T_1 = L~, T_k = 2 L~ T_(k-1) - T_(k-2): a layer of the mesh decoder. U, an
/// up-sampling to L~'s vertices, may be absent (the identity).
///
/// Features are [vertices][faces][channels(F)] with zeros after the F true ones. Every output is summed in one order: a face's result
/// has the same bits for any number of threads and of faces beside it, and on every instruction set with fused multiply-adds.
///
/// Rows are made in blocks in a wave over the terms: term k is made as far as term k + 1 will look in this step, and the dense products of
/// all terms end the step. Terms live in rings of as many rows as a step looks back: with vertices in an order of small bandwidth they stay
/// in the second cache. Threads make bands of rows, each with a wave of its own. Where few features leave many (the last layer), Clenshaw's
/// form: the dense products first, the recurrence on the outputs.
class ChebConv {
public:
    static constexpr int kMostFeatures = 64, kMostTerms = kernels::kChebTerms, kMostFaces = 8;

    /// Floats that `features` take.
    static constexpr int channels(int features) { return (features + 7) / 8 * 8; }

    /// `weight` is [features_in * terms][features_out], row = feature * terms + k; `bias` [features_out], or empty: none. The matrices have
    /// been validated; `upsample` without rows: none; `isa` is available.
    ChebConv(const Csr& laplacian, const Csr& upsample, int features_in, int features_out, int terms,
             const std::vector<float>& weight, const std::vector<float>& bias, bool relu, Isa isa)
        : vertices_(laplacian.rows),
          vertices_in_(upsample.rows > 0 ? upsample.columns : laplacian.rows),
          features_in_(features_in),
          features_out_(features_out),
          terms_(terms),
          relu_(relu),
          upsampled_(upsample.rows > 0),
          on_outputs_(bias.empty() && !relu && !upsampled_ && channels(features_out) == 8 && channels(features_in) > 8 &&
                      terms > 1),
          kernels_(kernels::find<kernels::GraphConv>(isa)) {
        const std::ptrdiff_t in = channels(features_in), columns = on_outputs_ ? 8 * terms : channels(features_out);
        const auto size = static_cast<std::size_t>(in * columns * (on_outputs_ ? 1 : terms));
        weights_.reserve(size);
        std::fill_n(weights_.data(), size, 0.0f);
        const float* w = weight.data();
        for (std::ptrdiff_t f = 0; f < features_in; ++f)
            for (std::ptrdiff_t k = 0; k < terms; ++k)
                for (std::ptrdiff_t o = 0; o < features_out; ++o)
                    weights_.data()[on_outputs_ ? kernels::panel_place(in, columns, f, 8 * k + o)
                                                : kernels::panel_place(terms * in, columns, k * in + f, o)] = *w++;
        bias_.reserve(static_cast<std::size_t>(columns));
        std::fill_n(bias_.data(), columns, 0.0f);
        std::copy(bias.begin(), bias.end(), bias_.data());
        set_reach(laplacian);
        laplacian_ = detail::PackedSparse(laplacian, ring_, on_outputs_ ? 8 : channels(features_in));
        if (upsampled_) upsample_ = detail::PackedSparse(upsample, vertices_in_, channels(features_in));
    }

    int vertices() const noexcept { return vertices_; }
    int vertices_in() const noexcept { return vertices_in_; }
    int features_in() const noexcept { return features_in_; }
    int features_out() const noexcept { return features_out_; }

    /// Floats of scratch that run() needs.
    std::size_t scratch(int faces, int threads) const noexcept { return band_scratch(faces) * static_cast<std::size_t>(threads); }

    /// x [vertices_in][faces][channels(features_in)], y [vertices][faces][channels(features_out)], faces 1..kMostFaces; x, y and scratch
    /// are 64-byte aligned and do not overlap.
    void run(const float* x, int faces, float* y, float* scratch, const detail::Parallel& parallel) const {
        const std::ptrdiff_t row = std::ptrdiff_t{faces} * channels(features_out_);
        run(
            x, faces, scratch, parallel, [&](int first, int) { return y + first * row; }, [](int, int, const float*) {});
    }

    /// The same in groups of at most kGroup rows, which need not be kept: place(first, band) says where rows from `first` on go, and
    /// finished(first, rows, y) is called when they are there, while they are in the first cache.
    template <class Place, class Finished>
    void run(const float* x, int faces, float* scratch, const detail::Parallel& parallel, Place&& place,
             Finished&& finished) const {
        parallel.bands(vertices_, kGroup, [&](int begin, int end, int band) {
            float* const own = scratch + band_scratch(faces) * static_cast<std::size_t>(band);
            int done[kMostTerms], need[kMostTerms];
            done[terms_ - 1] = begin;
            for (int stage = terms_ - 1; stage > 0; --stage) done[stage - 1] = low_[group_of(done[stage])];
            // The wave begins where the first term does, before the band: what its first rows look at, made at once, would not fit the rings.
            for (int row = done[0]; done[terms_ - 1] < end; row += kBlock) {
                need[terms_ - 1] = std::min(row + kBlock, end);
                for (int stage = terms_ - 1; stage > 0; --stage) need[stage - 1] = high_[group_of(need[stage] - 1)];
                for (int stage = 0; stage < terms_; ++stage) {
                    const bool last = stage + 1 == terms_;
                    for (int first = done[stage]; first < need[stage]; first += kGroup) {
                        float* const y = last ? place(first, band) : nullptr;
                        if (on_outputs_)
                            output_stage(stage, x, faces, y, own, first);
                        else
                            term_stage(stage, x, faces, y, own, first);
                        if (last) finished(first, rows_from(first), y);
                    }
                    done[stage] = std::max(done[stage], need[stage]);
                }
            }
        });
    }

    static constexpr int kGroup = kernels::kSparseGroup;

private:
    /// Rows of a step of the wave.
    static constexpr int kBlock = 2 * kGroup;

    int rows_from(int first) const { return std::min(kGroup, vertices_ - first); }
    static std::size_t group_of(int row) { return static_cast<std::size_t>(row / kGroup); }

    /// Where the rows of groups look, in whole groups, and how far a step looks back.
    void set_reach(const Csr& m) {
        const std::size_t groups = group_of(vertices_ - 1) + 1;
        low_.resize(groups);
        high_.resize(groups);
        for (std::size_t g = 0; g < groups; ++g) {
            const int first = static_cast<int>(g) * kGroup, last = std::min(first + kGroup, vertices_);
            int low = first, high = last;
            for (auto row = static_cast<std::size_t>(first); row < static_cast<std::size_t>(last); ++row) {
                if (m.starts[row] == m.starts[row + 1]) continue;
                low = std::min(low, m.indices[static_cast<std::size_t>(m.starts[row])]);
                high = std::max(high, m.indices[static_cast<std::size_t>(m.starts[row + 1]) - 1] + 1);
            }
            low_[g] = low / kGroup * kGroup;
            high_[g] = std::min((high + kGroup - 1) / kGroup * kGroup, vertices_);
        }
        // No later group looks further back, no earlier one further ahead.
        for (std::size_t g = groups - 1; g > 0; --g) low_[g - 1] = std::min(low_[g - 1], low_[g]);
        for (std::size_t g = 1; g < groups; ++g) high_[g] = std::max(high_[g], high_[g - 1]);
        ring_ = kGroup;
        for (std::size_t g = 0; g < groups; ++g) {
            int end = std::min(static_cast<int>(g) * kGroup + kBlock, vertices_);
            for (int stage = terms_ - 1; stage > 0; --stage) end = high_[group_of(end - 1)];
            ring_ = std::max(ring_, (end - low_[g] + kGroup - 1) / kGroup * kGroup);
        }
    }

    /// Rings of all terms; the last one, which nobody needs after its product, has a group.
    std::size_t band_scratch(int faces) const noexcept {
        const int rows = on_outputs_ ? terms_ * ring_ : (terms_ - 1) * ring_ + kGroup;
        return static_cast<std::size_t>(rows) * static_cast<std::size_t>(faces) *
               static_cast<std::size_t>(on_outputs_ ? 8 : channels(features_in_));
    }

    /// A group of a term from `first` on, and after the last one the products; y: of the group.
    void term_stage(int k, const float* x, int faces, float* y, float* scratch, int first) const {
        const int channels_in = channels(features_in_), size = faces * channels_in;
        const int rows = rows_from(first);
        const std::ptrdiff_t map = std::ptrdiff_t{ring_} * size, at = std::ptrdiff_t{first % ring_} * size;
        const bool last = k + 1 == terms_;
        float* const t = scratch + k * map + (last ? 0 : at);
        if (k > 0)
            kernels_.sparse({laplacian_.view(first), k > 1 ? 2.0f : 1.0f, scratch + (k - 1) * map, nullptr,
                             k > 1 ? scratch + (k - 2) * map + at : nullptr, t, channels_in, faces});
        else if (upsampled_)
            kernels_.sparse({upsample_.view(first), 1.0f, x, nullptr, nullptr, t, channels_in, faces});
        else
            std::copy_n(x + std::ptrdiff_t{first} * size, rows * size, t);
        if (!last) return;
        const std::ptrdiff_t channels_out = channels(features_out_);
        kernels::ChebDenseArgs a{};
        for (int i = 0; i < k; ++i) a.t[i] = scratch + i * map + at;
        a.t[k] = t;
        a.terms = terms_;
        a.channels_in = channels_in;
        a.weights = weights_.data();
        a.bias = bias_.data();
        a.y = y;
        a.channels_out = static_cast<int>(channels_out);
        a.pixels = rows * faces;
        a.relu = relu_;
        kernels_.dense(a);
    }

    /// b_k = c_k + 2 L~ b_(k+1) - b_(k+2) takes the place of c_k; y = c_0 + L~ b_1 - b_2.
    void output_stage(int stage, const float* x, int faces, float* y, float* scratch, int first) const {
        const int size = 8 * faces, channels_in = channels(features_in_);
        const std::ptrdiff_t map = std::ptrdiff_t{ring_} * size, at = std::ptrdiff_t{first % ring_} * size;
        if (stage == 0) {
            kernels_.products({x + std::ptrdiff_t{first} * faces * channels_in, channels_in, weights_.data(), terms_,
                               scratch + at, map, rows_from(first) * faces});
            return;
        }
        const int k = terms_ - 1 - stage;
        float* const b = scratch + k * map + at;
        kernels_.sparse({laplacian_.view(first), k > 0 ? 2.0f : 1.0f, scratch + (k + 1) * map, b,
                         k + 2 < terms_ ? b + 2 * map : nullptr, k > 0 ? b : y, 8, faces});
    }

    int vertices_, vertices_in_, features_in_, features_out_, terms_, ring_ = 0;
    bool relu_, upsampled_, on_outputs_;
    detail::PackedSparse laplacian_, upsample_;
    kernels::GraphConv kernels_;
    detail::AlignedBuffer weights_, bias_;  ///< [terms * channels_in][channels_out] or [channels_in][terms * 8], in panels
    std::vector<std::int32_t> low_, high_;  ///< by groups: the first row and the end of those that their rows look at
};

RETINAFACE_END_NAMESPACE
