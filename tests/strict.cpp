// Everything public, seen by a compiler with all the warnings that programs ask for, after headers that define min and max as macros.
#include <algorithm>
#include <limits>

#define min(a, b) ((a) < (b) ? (a) : (b))
#define max(a, b) ((a) > (b) ? (a) : (b))

#include <retinaface.hpp>
#include <retinaface/mesh.hpp>
#include <retinaface/resnet.hpp>

int main() { return retinaface::Detector::create().has_value() ? min(0, 1) : max(0, 1); }
