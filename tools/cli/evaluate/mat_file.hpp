// MATLAB files, where the build has libmatio.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

struct matvar_t;

namespace cli {

/// A variable of a MAT file, or a cell of one; valid as long as the MatFile.
class MatValue {
public:
    explicit MatValue(matvar_t* variable, std::string name) : variable_(variable), name_(std::move(name)) {}

    /// Elements: cells of a cell array, numbers of a matrix.
    std::size_t size() const;
    /// Rows; the elements of a matrix lie column by column.
    std::size_t rows() const;

    /// A cell. Throws retinaface::Error (bad_format) where this is no cell array or has no such cell.
    MatValue operator[](std::size_t index) const;

    /// Numbers of any type as double. Throws retinaface::Error (bad_format).
    std::vector<double> numbers() const;

    /// A row of characters. Throws retinaface::Error (bad_format).
    std::string text() const;

private:
    [[noreturn]] void fail(const std::string& expected) const;

    matvar_t* variable_;
    std::string name_;  ///< for errors: "file_list{3}{2}"
};

/// Whether this build reads MATLAB files.
bool reads_mat_files();

class MatFile {
public:
    /// Throws retinaface::Error (io, bad_format, unsupported).
    explicit MatFile(const std::string& path);
    ~MatFile();
    MatFile(const MatFile&) = delete;
    MatFile& operator=(const MatFile&) = delete;

    /// Throws retinaface::Error (bad_format) where there is none of that name.
    MatValue operator[](const char* name);

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace cli
