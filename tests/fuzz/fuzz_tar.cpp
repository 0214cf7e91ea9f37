// libFuzzer target of tar archives: any bytes are an archive whose files can be read, or an Error.
#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "input.hpp"
#include "inputs/file_set.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const int file = memfd_create("archive", MFD_CLOEXEC);
    if (file < 0 || write(file, data, size) != static_cast<ssize_t>(size)) std::abort();
    try {
        const cli::FileSet files("/proc/self/fd/" + std::to_string(file));
        // The names a header may hold: whole, and cut where they begin to differ.
        for (std::size_t at = 0; at + 100 <= size && at < 4 * 512; at += 512) {
            const char* const text = reinterpret_cast<const char*>(data + at);
            try {
                retinaface_test::require(files.read(std::string(text, strnlen(text, 100)), 4096).size() <= 4096,
                                         "files keep to the limit");
            } catch (const retinaface::Error&) {
            }
        }
    } catch (const retinaface::Error&) {
    }
    close(file);
    return 0;
}
