// Embeddings of faces, from NumPy files or JSON lines.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace cli {

/// A file in memory that is only read; pages come as they are looked at.
class MappedFile {
public:
    /// Throws retinaface::Error (io).
    explicit MappedFile(const std::string& path);
    ~MappedFile();
    MappedFile(MappedFile&& other) noexcept;
    MappedFile& operator=(MappedFile&&) = delete;

    const std::uint8_t* data() const { return data_; }
    std::size_t size() const { return size_; }

private:
    const std::uint8_t* data_ = nullptr;
    std::size_t size_ = 0;
};

/// A matrix [rows, dimension] of a .npy file (float16 excluded: float32 or float64, C order), or of the sums over the second axis of one
/// [rows, 2, dimension]: an image and its mirror.
class Npy {
public:
    /// Throws retinaface::Error (io, bad_format).
    explicit Npy(const std::string& path);

    std::size_t rows() const { return rows_; }
    std::size_t dimension() const { return dimension_; }

    /// Adds row `index` to `sum` [dimension].
    void add_row(std::size_t index, double* sum) const;

private:
    MappedFile file_;
    std::size_t rows_ = 0, parts_ = 1, dimension_ = 0, offset_ = 0;
    bool is_double_ = false;
};

}  // namespace cli
