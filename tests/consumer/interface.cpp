// The C interface, installed.
#include <retinaface.h>

int main() {
    retinaface_detector* detector = nullptr;
    const bool made = retinaface_detector_create(nullptr, nullptr, &detector) == RETINAFACE_OK;
    retinaface_detector_destroy(detector);
    return made ? 0 : 1;
}
