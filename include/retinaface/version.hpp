#pragma once

#include "config.hpp"

RETINAFACE_BEGIN_NAMESPACE

constexpr int kVersionMajor = RETINAFACE_VERSION_MAJOR;
constexpr int kVersionMinor = RETINAFACE_VERSION_MINOR;
constexpr int kVersionPatch = RETINAFACE_VERSION_PATCH;

RETINAFACE_END_NAMESPACE
