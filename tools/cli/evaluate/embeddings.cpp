#include "evaluate/embeddings.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "evaluate/lines.hpp"
#include "retinaface/error.hpp"

namespace cli {

using retinaface::Error;
using retinaface::ErrorCode;

MappedFile::MappedFile(const std::string& path) {
    const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat status = {};
    if (descriptor < 0 || fstat(descriptor, &status) != 0) {
        const int reason = errno;
        if (descriptor >= 0) close(descriptor);
        throw Error(ErrorCode::io, path + ": cannot open: " + std::strerror(reason));
    }
    size_ = static_cast<std::size_t>(status.st_size);
    void* data = size_ > 0 ? mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor, 0) : nullptr;
    const int reason = errno;
    close(descriptor);
    if (data == MAP_FAILED) throw Error(ErrorCode::io, path + ": cannot read: " + std::strerror(reason));
    data_ = static_cast<const std::uint8_t*>(data);
}

MappedFile::~MappedFile() {
    if (data_ != nullptr) munmap(const_cast<std::uint8_t*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Npy::Npy(const std::string& path) : file_(path) {
    const auto fail = [&](const std::string& what) { throw Error(ErrorCode::bad_format, path + ": " + what); };
    const std::uint8_t* data = file_.data();
    if (file_.size() < 12 || std::memcmp(data, "\x93NUMPY", 6) != 0) fail("no .npy file");
    const std::size_t length =
        data[6] == 1 ? data[8] | std::size_t{data[9]} << 8
                     : data[8] | std::size_t{data[9]} << 8 | std::size_t{data[10]} << 16 | std::size_t{data[11]} << 24;
    offset_ = (data[6] == 1 ? 10 : 12) + length;
    if (offset_ > file_.size()) fail("truncated header");
    const std::string header(reinterpret_cast<const char*>(data) + offset_ - length, length);
    is_double_ = header.find("'<f8'") != std::string::npos;
    if (!is_double_ && header.find("'<f4'") == std::string::npos)
        fail("expected numbers of type float32 or float64, found " + header.substr(0, 60));
    if (header.find("'fortran_order': False") == std::string::npos) fail("expected C order");
    const std::size_t begin = header.find('('), end = header.find(')', begin == std::string::npos ? 0 : begin);
    if (begin == std::string::npos || end == std::string::npos) fail("no shape");
    std::string shape_text = header.substr(begin + 1, end - begin - 1);
    for (char& c : shape_text)
        if (c == ',') c = ' ';
    std::vector<std::size_t> shape;
    for (const std::string_view word : words(shape_text)) shape.push_back(to_index(word));
    if (shape.size() < 2 || shape.size() > 3 || (shape.size() == 3 && shape[1] != 2))
        fail("expected a shape [faces, dimension] or [faces, 2, dimension], found (" + header.substr(begin + 1, end - begin - 1) +
             ")");
    rows_ = shape[0];
    parts_ = shape.size() == 3 ? 2 : 1;
    dimension_ = shape.back();
    const std::size_t width = is_double_ ? sizeof(double) : sizeof(float), have = (file_.size() - offset_) / width;
    if (rows_ == 0 || dimension_ == 0 || dimension_ > have / parts_ || rows_ > have / parts_ / dimension_)
        fail("truncated, or no numbers at all");
}

void Npy::add_row(std::size_t index, double* sum) const {
    const std::size_t width = is_double_ ? sizeof(double) : sizeof(float);
    const std::uint8_t* row = file_.data() + offset_ + index * parts_ * dimension_ * width;
    for (std::size_t part = 0; part < parts_; ++part)
        for (std::size_t i = 0; i < dimension_; ++i, row += width) {
            float single = 0;
            double value = 0;
            if (is_double_) {
                std::memcpy(&value, row, sizeof value);
            } else {
                std::memcpy(&single, row, sizeof single);
                value = static_cast<double>(single);
            }
            sum[i] += value;
        }
}

}  // namespace cli
