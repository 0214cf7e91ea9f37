// The C interface on top of the C++ library. Everything that may throw runs inside guarded().
#include "retinaface.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <retinaface.hpp>
#include <string>
#include <utility>
#include <vector>

#include "../names.hpp"

struct retinaface_detector {
    retinaface::AnyDetector detector;
};

struct retinaface_aligner {
    retinaface::Aligner aligner;
};

namespace {

using retinaface::Error;
using retinaface::ErrorCode;

// Sizes of the structs in the first version that had them: a program compiled since then passes no less.
constexpr std::size_t kLeastImage = offsetof(retinaface_image, chroma_stride) + sizeof(retinaface_image::chroma_stride);
constexpr std::size_t kLeastOptions = offsetof(retinaface_options, isa) + sizeof(retinaface_options::isa);
constexpr std::size_t kLeastFace = offsetof(retinaface_face, landmarks) + sizeof(retinaface_face::landmarks);

// Structs are passed with their sizes, so that fields may be added; these must not be moved.
static_assert(sizeof(retinaface_face) == 60, "a face is fifteen floats");
static_assert(offsetof(retinaface_options, struct_size) == 0 && offsetof(retinaface_image, struct_size) == 0,
              "the size comes first");
static_assert(sizeof(retinaface_options::scales) / sizeof(float) == retinaface::Scales::kMost,
              "as many scales as the library takes");
static_assert(RETINAFACE_MOST_SCALES == retinaface::Scales::kMost, "as many scales as the library takes");

// A fixed buffer: reporting an error must not fail.
thread_local char last_error[1024] = "";

retinaface_status report(retinaface_status status, const char* what) noexcept {
    std::snprintf(last_error, sizeof last_error, "%s", what);
    return status;
}

retinaface_status status_of(ErrorCode code) noexcept {
    switch (code) {
        case ErrorCode::invalid_argument: return RETINAFACE_INVALID_ARGUMENT;
        case ErrorCode::io: return RETINAFACE_IO;
        case ErrorCode::bad_format: return RETINAFACE_BAD_FORMAT;
        case ErrorCode::mismatch: return RETINAFACE_MISMATCH;
        case ErrorCode::unsupported: return RETINAFACE_UNSUPPORTED;
        case ErrorCode::out_of_memory: return RETINAFACE_OUT_OF_MEMORY;
        case ErrorCode::damaged: return RETINAFACE_DAMAGED;
        case ErrorCode::no_threads: return RETINAFACE_NO_THREADS;
        case ErrorCode::unexpected: return RETINAFACE_UNEXPECTED;
    }
    return RETINAFACE_UNEXPECTED;
}

// Runs `function` and turns what it throws into a status.
template <class Function>
retinaface_status guarded(Function&& function) noexcept {
    try {
        function();
        return RETINAFACE_OK;
    } catch (const Error& error) {
        return report(status_of(error.code()), error.what());
    } catch (const std::bad_alloc&) {
        return report(RETINAFACE_OUT_OF_MEMORY, "out of memory");
    } catch (const std::exception& error) {
        return report(RETINAFACE_UNEXPECTED, error.what());
    } catch (...) {
        return report(RETINAFACE_UNEXPECTED, "an exception of an unknown type");
    }
}

[[noreturn]] void refuse(const std::string& what) { throw Error(ErrorCode::invalid_argument, what); }

void require(const void* pointer, const char* name) {
    if (pointer == nullptr) refuse(std::string(name) + ": null pointer");
}

// Copies a caller's struct over `known`, which keeps its own values where the caller's is an older, smaller one. What a newer caller
// knows beyond it must be zero.
template <class Struct>
void read_struct(const Struct* from, std::size_t least, const char* name, Struct& known) {
    std::size_t size = 0;
    std::memcpy(&size, from, sizeof size);
    if (size < least || size > 65536)
        refuse(std::string(name) + ": struct_size must be sizeof(retinaface_" + name + "), " + std::to_string(sizeof(Struct)) +
               " in this version, found " + std::to_string(size));
    const auto* bytes = reinterpret_cast<const unsigned char*>(from);
    std::memcpy(&known, bytes, std::min(size, sizeof known));
    for (std::size_t i = sizeof known; i < size; ++i)
        if (bytes[i] != 0) refuse(std::string(name) + ": has a field that this version of the library does not know");
}

retinaface_options default_options() {
    const retinaface::Options defaults;
    retinaface_options options{};
    options.struct_size = sizeof options;
    options.score_threshold = defaults.score_threshold;
    options.nms_threshold = defaults.nms_threshold;
    options.max_faces = defaults.max_faces;
    options.threads = defaults.threads;
    options.size_policy = RETINAFACE_SIZE_ORIGINAL;
    options.scale_count = 1;
    options.scales[0] = 1;
    options.voting = RETINAFACE_VOTING_NONE;
    options.voting_threshold = defaults.voting_threshold;
    std::snprintf(options.isa, sizeof options.isa, "%s", retinaface::to_string(defaults.isa));
    return options;
}

retinaface::SizePolicy size_policy(const retinaface_options& o) {
    switch (o.size_policy) {
        case RETINAFACE_SIZE_ORIGINAL: return retinaface::SizePolicy::original();
        case RETINAFACE_SIZE_LONGEST_SIDE: return retinaface::SizePolicy::longest_side(o.size[0]);
        case RETINAFACE_SIZE_EXACT: return retinaface::SizePolicy::exact(o.size[0], o.size[1]);
        case RETINAFACE_SIZE_SHORTEST_SIDE: return retinaface::SizePolicy::shortest_side(o.size[0], o.size[1]);
        default: refuse("options: unknown size_policy " + std::to_string(o.size_policy));
    }
}

bool flag(std::int32_t value, const char* name) {
    if (value != 0 && value != 1) refuse(std::string(name) + " must be 0 or 1, found " + std::to_string(value));
    return value == 1;
}

// What the library checks itself is handed on as it is.
retinaface::Options options_of(const retinaface_options* given) {
    retinaface::Options options;
    if (given == nullptr) return options;
    retinaface_options o = default_options();
    read_struct(given, kLeastOptions, "options", o);
    options.score_threshold = o.score_threshold;
    options.nms_threshold = o.nms_threshold;
    options.max_faces = o.max_faces;
    options.threads = o.threads;
    options.size = size_policy(o);
    if (o.rotation < 0) refuse("options: rotation must be 0, 90, 180 or 270, found " + std::to_string(o.rotation));
    options.rotation = static_cast<retinaface::Rotation>(o.rotation);
    options.scales = retinaface::Scales(o.scales, o.scale_count < 0 ? 0 : static_cast<std::size_t>(o.scale_count));
    options.flip = flag(o.flip, "options: flip");
    options.voting = static_cast<retinaface::Voting>(o.voting);
    options.voting_threshold = o.voting_threshold;
    options.min_face = o.min_face;
    options.max_face = o.max_face;
    if (std::memchr(o.isa, '\0', sizeof o.isa) == nullptr) refuse("options: isa is not a string");
    options.isa = retinaface_bindings::isa_named(o.isa);
    return options;
}

retinaface::ImageView view_of(const retinaface_image* given) {
    require(given, "image");
    retinaface_image image{};
    read_struct(given, kLeastImage, "image", image);
    retinaface::ImageView view{image.pixels, image.width, image.height, static_cast<retinaface::PixelFormat>(image.format),
                               image.stride};
    view.chroma = image.chroma;
    view.chroma_stride = image.chroma_stride;
    view.size = image.size;
    view.range = flag(image.full_range, "image: full_range") ? retinaface::YuvRange::full : retinaface::YuvRange::video;
    return view;
}

retinaface_face face_of(const retinaface::Face& face) {
    retinaface_face result{face.score, {face.box.x1, face.box.y1, face.box.x2, face.box.y2}, {}};
    for (std::size_t i = 0; i < face.landmarks.size(); ++i) {
        result.landmarks[i][0] = face.landmarks[i].x;
        result.landmarks[i][1] = face.landmarks[i].y;
    }
    return result;
}

void create(const retinaface::Weights& weights, const retinaface_options* options, retinaface_detector** detector) {
    *detector = std::make_unique<retinaface_detector>(retinaface_detector{retinaface::AnyDetector(weights, options_of(options))})
                    .release();
}

}  // namespace

extern "C" {

const char* retinaface_status_name(retinaface_status status) {
    if (status == RETINAFACE_OK) return "ok";
    for (const ErrorCode code :
         {ErrorCode::invalid_argument, ErrorCode::io, ErrorCode::bad_format, ErrorCode::mismatch, ErrorCode::unsupported,
          ErrorCode::out_of_memory, ErrorCode::damaged, ErrorCode::no_threads, ErrorCode::unexpected})
        if (status_of(code) == status) return retinaface_bindings::error_name(code);
    return "unknown status";
}

const char* retinaface_last_error(void) { return last_error; }

const char* retinaface_version(void) {
#define RETINAFACE_TEXT_(a, b, c) #a "." #b "." #c
#define RETINAFACE_TEXT(a, b, c) RETINAFACE_TEXT_(a, b, c)
    return RETINAFACE_TEXT(RETINAFACE_VERSION_MAJOR, RETINAFACE_VERSION_MINOR, RETINAFACE_VERSION_PATCH);
#undef RETINAFACE_TEXT
#undef RETINAFACE_TEXT_
}

retinaface_status retinaface_options_init(retinaface_options* options, size_t struct_size) {
    return guarded([&] {
        require(options, "options");
        if (struct_size < kLeastOptions || struct_size > 65536)
            refuse("options: struct_size must be sizeof(retinaface_options), " + std::to_string(sizeof(retinaface_options)) +
                   " in this version, found " + std::to_string(struct_size));
        const retinaface_options defaults = default_options();
        std::memset(static_cast<void*>(options), 0, struct_size);
        std::memcpy(static_cast<void*>(options), &defaults, std::min(struct_size, sizeof defaults));
        options->struct_size = struct_size;
    });
}

retinaface_status retinaface_detector_create(const char* weights_file, const retinaface_options* options,
                                             retinaface_detector** detector) {
    return guarded([&] {
        require(detector, "detector");
        create(weights_file != nullptr ? retinaface::Weights::load(weights_file)
                                       : retinaface::Weights::from_embedded(retinaface::embedded::kDefaultWeights),
               options, detector);
    });
}

retinaface_status retinaface_detector_create_from_memory(const void* weights, size_t size, const retinaface_options* options,
                                                         retinaface_detector** detector) {
    return guarded([&] {
        require(detector, "detector");
        require(weights, "weights");
        create(retinaface::Weights::from_memory(weights, size), options, detector);
    });
}

void retinaface_detector_destroy(retinaface_detector* detector) { delete detector; }

retinaface_status retinaface_detect(const retinaface_detector* detector, const retinaface_image* image, retinaface_face* faces,
                                    size_t face_size, size_t capacity, size_t* count) {
    return guarded([&] {
        require(detector, "detector");
        require(count, "count");
        if (capacity > 0) require(faces, "faces");
        if (face_size < kLeastFace || face_size > 65536)
            refuse("faces: face_size must be sizeof(retinaface_face), " + std::to_string(sizeof(retinaface_face)) +
                   " in this version, found " + std::to_string(face_size));
        const std::vector<retinaface::Face> found = detector->detector.detect(view_of(image));
        auto* bytes = reinterpret_cast<unsigned char*>(faces);
        for (std::size_t i = 0; i < std::min(found.size(), capacity); ++i, bytes += face_size) {
            const retinaface_face face = face_of(found[i]);
            std::memset(bytes, 0, face_size);
            std::memcpy(bytes, &face, std::min(face_size, sizeof face));
        }
        *count = found.size();
    });
}

const char* retinaface_detector_isa(const retinaface_detector* detector) {
    return detector != nullptr ? retinaface::to_string(detector->detector.isa()) : "";
}

const char* retinaface_detector_architecture(const retinaface_detector* detector) {
    return detector != nullptr ? detector->detector.architecture().c_str() : "";
}

retinaface_status retinaface_aligner_create(int32_t size, float margin, retinaface_aligner** aligner) {
    return guarded([&] {
        require(aligner, "aligner");
        if (!(margin > -0.5f && margin <= 100))
            refuse("align: margin must be greater than -0.5 and at most 100, found " + std::to_string(margin));
        retinaface::AlignTemplate shape = retinaface::arcface_template(size);
        if (margin != 0) shape = shape.with_margin(margin);
        *aligner = std::make_unique<retinaface_aligner>(retinaface_aligner{retinaface::Aligner(shape)}).release();
    });
}

void retinaface_aligner_destroy(retinaface_aligner* aligner) { delete aligner; }

retinaface_status retinaface_aligner_crop(retinaface_aligner* aligner, const retinaface_image* image, const retinaface_face* face,
                                          int32_t rotation, uint8_t* rgb, size_t rgb_size, float* to_crop) {
    return guarded([&] {
        require(aligner, "aligner");
        require(face, "face");
        require(rgb, "rgb");
        const retinaface::AlignTemplate& shape = aligner->aligner.crop_template();
        const std::size_t size = std::size_t{3} * static_cast<std::size_t>(shape.width) * static_cast<std::size_t>(shape.height);
        if (rgb_size != size) refuse("align: rgb_size must be " + std::to_string(size) + ", found " + std::to_string(rgb_size));
        std::array<retinaface::Point, 5> points;
        for (std::size_t i = 0; i < points.size(); ++i) points[i] = {face->landmarks[i][0], face->landmarks[i][1]};
        const retinaface::AlignedCrop crop =
            aligner->aligner.crop(view_of(image), points, static_cast<retinaface::Rotation>(rotation));
        std::memcpy(rgb, crop.image.data, size);
        if (to_crop == nullptr) return;
        const retinaface::Similarity& s = crop.to_crop;
        const double matrix[6] = {s.a, -s.b, s.dx, s.b, s.a, s.dy};
        std::transform(std::begin(matrix), std::end(matrix), to_crop, [](double v) { return static_cast<float>(v); });
    });
}

}  // extern "C"
