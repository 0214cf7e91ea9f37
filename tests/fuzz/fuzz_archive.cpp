// libFuzzer target of the weights reader: any bytes give weights or an Error, never a crash, a leak or a value that is not finite.
#include <cmath>
#include <cstdlib>

#include "retinaface/weights/archive.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const retinaface::Result<retinaface::Weights> result = retinaface::Weights::try_from_memory(data, size);
    if (!result) {
        if (result.error().code() != retinaface::ErrorCode::bad_format) std::abort();
        return 0;
    }
    for (const retinaface::Tensor& tensor : (*result).tensors()) {
        std::size_t count = 1;
        for (const std::int64_t side : tensor.shape) count *= static_cast<std::size_t>(side);
        if (tensor.name.empty() || tensor.values.size() + tensor.bytes.size() != count) std::abort();
        for (const float value : tensor.values)
            if (!std::isfinite(value)) std::abort();
    }
    return 0;
}
