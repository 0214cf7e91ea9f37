// libFuzzer target of the weights reader: any bytes give weights or an Error, never a crash, a leak or a value that is not finite.
#include <cmath>

#include "input.hpp"
#include "retinaface/weights/archive.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using retinaface_test::require;
    const retinaface::Result<retinaface::Weights> result = retinaface::Weights::try_from_memory(data, size);
    if (!result) {
        const retinaface::ErrorCode code = result.error().code();
        require(code == retinaface::ErrorCode::bad_format || code == retinaface::ErrorCode::damaged, "the error's code");
        return 0;
    }
    for (const retinaface::Tensor& tensor : (*result).tensors()) {
        std::size_t count = 1;
        for (const std::int64_t side : tensor.shape) count *= static_cast<std::size_t>(side);
        require(!tensor.name.empty() && tensor.values.size() + tensor.bytes.size() == count, "as many values as the shape says");
        for (const float value : tensor.values) require(std::isfinite(value), "values are finite");
    }
    return 0;
}
