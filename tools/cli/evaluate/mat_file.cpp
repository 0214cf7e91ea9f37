#include "evaluate/mat_file.hpp"

#include "retinaface/error.hpp"

#ifdef RETINAFACE_CLI_HAS_MATIO
#include <matio.h>
#endif

namespace cli {

using retinaface::Error;
using retinaface::ErrorCode;

void MatValue::fail(const std::string& expected) const { throw Error(ErrorCode::bad_format, name_ + ": expected " + expected); }

#ifdef RETINAFACE_CLI_HAS_MATIO

bool reads_mat_files() { return true; }

struct MatFile::State {
    std::string path;
    mat_t* file = nullptr;
    std::vector<matvar_t*> variables;

    ~State() {
        for (matvar_t* variable : variables) Mat_VarFree(variable);
        if (file != nullptr) Mat_Close(file);
    }
};

MatFile::MatFile(const std::string& path) : state_(std::make_unique<State>()) {
    state_->path = path;
    state_->file = Mat_Open(path.c_str(), MAT_ACC_RDONLY);
    if (state_->file == nullptr) throw Error(ErrorCode::bad_format, path + ": cannot be read as a MATLAB file");
}

MatFile::~MatFile() = default;

MatValue MatFile::operator[](const char* name) {
    matvar_t* variable = Mat_VarRead(state_->file, name);
    if (variable == nullptr) throw Error(ErrorCode::bad_format, state_->path + ": no variable '" + name + "'");
    state_->variables.push_back(variable);
    return MatValue(variable, state_->path + ": " + name);
}

std::size_t MatValue::size() const {
    if (variable_ == nullptr) return 0;
    std::size_t count = 1;
    for (int i = 0; i < variable_->rank; ++i) count *= variable_->dims[i];
    return count;
}

std::size_t MatValue::rows() const { return variable_ == nullptr || variable_->rank < 1 ? 0 : variable_->dims[0]; }

MatValue MatValue::operator[](std::size_t index) const {
    if (variable_ == nullptr || variable_->class_type != MAT_C_CELL) fail("a cell array");
    if (index >= size() || variable_->data == nullptr) fail("at least " + std::to_string(index + 1) + " cells");
    return MatValue(Mat_VarGetCell(variable_, static_cast<int>(index)), name_ + "{" + std::to_string(index + 1) + "}");
}

std::vector<double> MatValue::numbers() const {
    if (size() == 0) return {};
    const auto as_doubles = [&](auto type) {
        using T = decltype(type);
        if (variable_->data == nullptr || variable_->nbytes / sizeof(T) < size()) fail("numbers");
        const T* data = static_cast<const T*>(variable_->data);
        std::vector<double> values(size());
        for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(data[i]);
        return values;
    };
    if (variable_->isComplex != 0) fail("real numbers");
    switch (variable_->class_type) {
        case MAT_C_DOUBLE: return as_doubles(double{});
        case MAT_C_SINGLE: return as_doubles(float{});
        case MAT_C_INT8: return as_doubles(std::int8_t{});
        case MAT_C_UINT8: return as_doubles(std::uint8_t{});
        case MAT_C_INT16: return as_doubles(std::int16_t{});
        case MAT_C_UINT16: return as_doubles(std::uint16_t{});
        case MAT_C_INT32: return as_doubles(std::int32_t{});
        case MAT_C_UINT32: return as_doubles(std::uint32_t{});
        default: fail("numbers");
    }
}

std::string MatValue::text() const {
    if (variable_ == nullptr || variable_->class_type != MAT_C_CHAR) fail("text");
    std::string text;
    const std::size_t count = size(), width = count > 0 ? variable_->nbytes / count : 1;
    for (std::size_t i = 0; i < count; ++i) {
        const char* at = static_cast<const char*>(variable_->data) + i * width;
        // Names in these files are ASCII, stored as one byte or as two in the machine's order.
        text += width == 2 ? static_cast<char>(*reinterpret_cast<const unsigned short*>(at)) : *at;
    }
    return text;
}

#else

bool reads_mat_files() { return false; }

struct MatFile::State {};

MatFile::MatFile(const std::string& path) {
    throw Error(ErrorCode::unsupported,
                path + ": this build reads no MATLAB files (libmatio was not found); tools/convert_truth.py makes text of them");
}
MatFile::~MatFile() = default;
MatValue MatFile::operator[](const char*) { return MatValue(nullptr, ""); }
std::size_t MatValue::size() const { return 0; }
std::size_t MatValue::rows() const { return 0; }
MatValue MatValue::operator[](std::size_t) const { fail("cells"); }
std::vector<double> MatValue::numbers() const { return {}; }
std::string MatValue::text() const { return ""; }

#endif

}  // namespace cli
