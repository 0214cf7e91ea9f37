// retinaface._core: arrays in, arrays out. The package's Python (retinaface/__init__.py) gives them their form.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <retinaface.hpp>
#include <retinaface/mesh.hpp>
#include <string>
#include <utility>
#include <vector>

#include "../names.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using retinaface::Error;
using retinaface::ErrorCode;
using retinaface::ImageView;
using retinaface::PixelFormat;

using Array = nb::ndarray<nb::ro, nb::device::cpu>;
using Landmarks = nb::ndarray<const float, nb::shape<-1, 5, 2>, nb::c_contig, nb::device::cpu>;
using Corrections = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

[[noreturn]] void refuse(const std::string& what) { throw Error(ErrorCode::invalid_argument, what); }

std::string describe(const Array& array) {
    const nb::dlpack::dtype type = array.dtype();
    const char* kind = type.code == static_cast<std::uint8_t>(nb::dlpack::dtype_code::Float)  ? "float"
                       : type.code == static_cast<std::uint8_t>(nb::dlpack::dtype_code::UInt) ? "uint"
                       : type.code == static_cast<std::uint8_t>(nb::dlpack::dtype_code::Int)  ? "int"
                       : type.code == static_cast<std::uint8_t>(nb::dlpack::dtype_code::Bool) ? "bool"
                                                                                              : "type ";
    std::string text = kind + std::to_string(type.bits) + " [";
    for (std::size_t i = 0; i < array.ndim(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(array.shape(i));
    return text + "]";
}

// The pixels of an array: where they lie, or a packed copy where no pixel format describes how they do.
struct Picture {
    ImageView view;
    std::vector<std::uint8_t> copy;
};

Picture picture_of(const Array& array, bool bgr) {
    const std::size_t channels = array.ndim() == 2 ? 1 : array.ndim() == 3 ? array.shape(2) : 0;
    if (array.dtype() != nb::dtype<std::uint8_t>() || (channels != 1 && channels != 3 && channels != 4))
        refuse("image: expected uint8 [height, width] or [height, width, 1, 3 or 4], found " + describe(array));
    const auto side = [&](std::size_t i) {
        if (array.shape(i) > static_cast<std::size_t>(retinaface::kMaxSide))
            refuse("image: width and height must be 1.." + std::to_string(retinaface::kMaxSide) + ", found " + describe(array));
        return static_cast<int>(array.shape(i));
    };
    const int height = side(0), width = side(1);
    const auto* pixels = static_cast<const std::uint8_t*>(array.data());
    const std::int64_t down = array.stride(0), across = array.stride(1), deep = array.ndim() == 3 ? array.stride(2) : 1;

    const auto packed = [&] {
        return channels == 1   ? PixelFormat::gray8
               : channels == 3 ? (bgr ? PixelFormat::bgr8 : PixelFormat::rgb8)
                               : (bgr ? PixelFormat::bgra8 : PixelFormat::rgba8);
    };
    Picture picture;
    const bool rows = height < 2 || down >= across * width || down <= -across * width;
    const auto row_stride = static_cast<std::ptrdiff_t>(height < 2 ? 0 : down);
    const auto set = [&](const std::uint8_t* first, PixelFormat format) {
        picture.view = {first, width, height, format, row_stride};
    };
    if (width < 1 || height < 1) {
        set(pixels, packed());  // detect() says what is wrong with it
    } else if (rows && (deep == 1 || channels == 1) && (across == static_cast<std::int64_t>(channels) || width < 2)) {
        set(pixels, packed());
    } else if (rows && channels == 3 && deep == 1 && across == 4) {
        set(pixels, bgr ? PixelFormat::bgra8 : PixelFormat::rgba8);  // array[..., :3] of four channels
    } else if (rows && channels == 3 && deep == -1 && across == 3) {
        set(pixels - 2, bgr ? PixelFormat::rgb8 : PixelFormat::bgr8);  // array[..., ::-1]
    } else {
        const std::size_t size = static_cast<std::size_t>(width) * static_cast<std::size_t>(height);
        if (size > static_cast<std::size_t>(retinaface::kMaxPixels))
            refuse("image: at most " + std::to_string(retinaface::kMaxPixels) + " pixels, found " + describe(array));
        picture.copy.resize(size * channels);
        std::uint8_t* to = picture.copy.data();
        for (int y = 0; y < height; ++y)
            for (int x = 0; x < width; ++x)
                for (std::size_t c = 0; c < channels; ++c)
                    *to++ = pixels[y * down + x * across + static_cast<std::int64_t>(c) * deep];
        picture.view = {picture.copy.data(), width, height, packed()};
    }
    return picture;
}

// Hands a buffer over to numpy.
template <class T>
nb::ndarray<nb::numpy, T> to_numpy(std::vector<T>&& values, std::vector<std::size_t> shape) {
    auto kept = std::make_unique<std::vector<T>>(std::move(values));
    T* data = kept->data();
    nb::capsule owner(kept.release(), [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
    return nb::ndarray<nb::numpy, T>(data, shape.size(), shape.data(), owner);
}

constexpr std::size_t kCorrection = retinaface::models::kMeshSize;

nb::object to_array(const std::vector<retinaface::MeshCorrection>& corrections) {
    if (corrections.empty() || !corrections[0].known) return nb::none();
    std::vector<float> values;
    for (const retinaface::MeshCorrection& c : corrections) {
        values.insert(values.end(), c.shape.begin(), c.shape.end());
        values.insert(values.end(), c.camera.begin(), c.camera.end());
    }
    return nb::cast(to_numpy(std::move(values), {corrections.size(), kCorrection}));
}

// The faces of one picture.
struct Found {
    std::vector<retinaface::Face> faces;
    std::vector<retinaface::MeshCorrection> corrections;
    retinaface::Rotation rotation = retinaface::Rotation::none;
};

// Boxes, scores, landmarks, what the mesh head says (None where the weights have none), and how the picture was turned.
nb::tuple to_arrays(const Found& found) {
    const std::vector<retinaface::Face>& faces = found.faces;
    const std::size_t n = faces.size();
    std::vector<float> scores, boxes, landmarks;
    scores.reserve(n);
    boxes.reserve(4 * n);
    landmarks.reserve(10 * n);
    for (const retinaface::Face& face : faces) {
        scores.push_back(face.score);
        boxes.insert(boxes.end(), {face.box.x1, face.box.y1, face.box.x2, face.box.y2});
        for (const retinaface::Point& point : face.landmarks) landmarks.insert(landmarks.end(), {point.x, point.y});
    }
    return nb::make_tuple(to_numpy(std::move(boxes), {n, 4}), to_numpy(std::move(scores), {n}),
                          to_numpy(std::move(landmarks), {n, 5, 2}), to_array(found.corrections),
                          static_cast<int>(found.rotation));
}

// `model`: a path, or the bytes of a weights file.
retinaface::Weights weights_of(nb::handle model) {
    if (nb::isinstance<nb::bytes>(model)) {
        const nb::bytes bytes = nb::borrow<nb::bytes>(model);
        return retinaface::Weights::from_memory(bytes.c_str(), bytes.size());
    }
    return retinaface::Weights::load(nb::cast<std::string>(model));
}

class Detector {
public:
    Detector(nb::handle model, float score, float nms, int max_faces, const std::string& size_policy, int width, int height,
             int rotation, const std::vector<float>& scales, bool flip, const std::string& voting, float voting_threshold,
             float min_face, float max_face, bool clip, const std::string& isa, int threads)
        : detector_(weights_of(model),
                    [&] {
                        retinaface::Options options;
                        options.score_threshold = score;
                        options.nms_threshold = nms;
                        options.max_faces = max_faces;
                        options.size = size_of(size_policy, width, height);
                        options.rotation = static_cast<retinaface::Rotation>(rotation);
                        options.scales = retinaface::Scales(scales.data(), scales.size());
                        options.flip = flip;
                        options.voting = voting_named(voting);
                        options.voting_threshold = voting_threshold;
                        options.min_face = min_face;
                        options.max_face = max_face;
                        options.clip = clip;
                        options.isa = retinaface_bindings::isa_named(isa);
                        options.threads = threads;
                        return options;
                    }()),
          rotation_(static_cast<retinaface::Rotation>(rotation)) {}

    nb::tuple detect(const Array& array, bool bgr) const {
        const Picture picture = picture_of(array, bgr);
        Found found;
        {
            nb::gil_scoped_release release;
            found = look(picture.view);
        }
        return to_arrays(found);
    }

    nb::list detect_batch(const std::vector<Array>& arrays, const std::vector<bool>& bgr) const {
        std::vector<Picture> pictures;
        std::vector<ImageView> views;
        for (std::size_t i = 0; i < arrays.size(); ++i) pictures.push_back(picture_of(arrays[i], bgr[i]));
        for (const Picture& picture : pictures) views.push_back(picture.view);
        std::vector<Found> found(views.size());
        {
            nb::gil_scoped_release release;
            if (rotation_ == retinaface::Rotation::automatic) {
                for (std::size_t i = 0; i < views.size(); ++i) found[i] = look(views[i]);
            } else {
                std::vector<std::vector<retinaface::MeshCorrection>> corrections;
                auto faces = detector_.detect(retinaface::Span<const ImageView>(views), corrections);
                for (std::size_t i = 0; i < views.size(); ++i)
                    found[i] = {std::move(faces[i]), std::move(corrections[i]), rotation_};
            }
        }
        nb::list result;
        for (const Found& one : found) result.append(to_arrays(one));
        return result;
    }

    const char* isa() const { return retinaface::to_string(detector_.isa()); }
    const std::string& architecture() const { return detector_.architecture(); }

private:
    Found look(const ImageView& view) const {
        Found found;
        found.rotation = rotation_;
        if (rotation_ != retinaface::Rotation::automatic) {
            found.faces = detector_.detect(view, found.corrections);
            return found;
        }
        retinaface::Workspace workspace;  // knows which turn it was
        const retinaface::Span<const retinaface::Face> faces = detector_.detect(view, workspace);
        const retinaface::Span<const retinaface::MeshCorrection> corrections = detector_.mesh_corrections(workspace);
        found.faces.assign(faces.begin(), faces.end());
        found.corrections.assign(corrections.begin(), corrections.end());
        found.rotation = workspace.rotation();
        return found;
    }

    static retinaface::SizePolicy size_of(const std::string& policy, int width, int height) {
        if (policy == "longest_side") return retinaface::SizePolicy::longest_side(width);
        if (policy == "exact") return retinaface::SizePolicy::exact(width, height);
        if (policy == "shortest_side") return retinaface::SizePolicy::shortest_side(width, height);
        return retinaface::SizePolicy::original();
    }
    static retinaface::Voting voting_named(const std::string& name) {
        if (name == "none") return retinaface::Voting::none;
        if (name == "paper") return retinaface::Voting::paper;
        if (name == "insightface") return retinaface::Voting::insightface;
        refuse("options: voting must be none, paper or insightface, found '" + name + "'");
    }

    retinaface::AnyDetector detector_;
    retinaface::Rotation rotation_;
};

// The five points of a face, of landmarks [n, 5, 2].
std::array<retinaface::Point, 5> points_of(const Landmarks& landmarks, std::size_t face) {
    std::array<retinaface::Point, 5> points;
    for (std::size_t k = 0; k < 5; ++k) points[k] = {landmarks(face, k, 0), landmarks(face, k, 1)};
    return points;
}

nb::tuple align(const Array& array, bool bgr, const Landmarks& landmarks, int size, float margin, int rotation) {
    const Picture picture = picture_of(array, bgr);
    if (!(margin > -0.5f && margin <= 100))
        refuse("align: margin must be greater than -0.5 and at most 100, found " + std::to_string(margin));
    retinaface::AlignTemplate shape = retinaface::arcface_template(size);
    if (margin != 0) shape = shape.with_margin(margin);
    retinaface::Aligner aligner(shape);
    const std::size_t n = landmarks.shape(0), bytes = static_cast<std::size_t>(size) * static_cast<std::size_t>(size) * 3;
    std::vector<std::uint8_t> crops(n * bytes);
    std::vector<double> matrices;
    {
        nb::gil_scoped_release release;
        for (std::size_t i = 0; i < n; ++i) {
            const retinaface::AlignedCrop crop =
                aligner.crop(picture.view, points_of(landmarks, i), static_cast<retinaface::Rotation>(rotation));
            std::uint8_t* to = crops.data() + i * bytes;
            std::memcpy(to, crop.image.data, bytes);
            if (bgr)
                for (std::size_t k = 0; k < bytes; k += 3) std::swap(to[k], to[k + 2]);
            const retinaface::Similarity& s = crop.to_crop;
            matrices.insert(matrices.end(), {s.a, -s.b, s.dx, s.b, s.a, s.dy});
        }
    }
    const auto side = static_cast<std::size_t>(size);
    return nb::make_tuple(to_numpy(std::move(crops), {n, side, side, 3}), to_numpy(std::move(matrices), {n, 2, 3}));
}

class MeshEstimator {
public:
    // `refiner`: None, or a refiner's weights as `model`.
    MeshEstimator(nb::handle model, nb::handle refiner, const std::string& isa)
        : estimator_(make(model, refiner, retinaface_bindings::isa_named(isa))) {}

    // Of every face: vertices3d, projected, colours, landmarks68, (yaw, pitch, roll), latent, residual.
    nb::list estimate(nb::handle image, bool bgr, const Landmarks& landmarks, nb::handle said, int rotation) {
        const std::optional<Corrections> corrections = corrections_of(said, landmarks.shape(0));
        Array array;  // holds the pixels that the picture is a view of
        Picture picture;
        if (!image.is_none()) {
            array = nb::cast<Array>(image);
            picture = picture_of(array, bgr);
        }
        std::vector<Copy> copies(landmarks.shape(0));
        {
            nb::gil_scoped_release release;
            const std::lock_guard<std::mutex> lock(mutex_);
            for (std::size_t i = 0; i < copies.size(); ++i) {
                retinaface::Face face;
                face.landmarks = points_of(landmarks, i);
                const auto turn = static_cast<retinaface::Rotation>(rotation);
                copies[i] = Copy(corrections ? estimator_.estimate(picture.view, face, correction(*corrections, i), turn)
                                             : estimator_.estimate(picture.view, face, turn));
            }
        }
        nb::list meshes;
        for (Copy& copy : copies) {
            const std::size_t n = copy.vertices3d.size() / 3;
            const std::size_t latent = copy.latent.size();
            meshes.append(nb::make_tuple(to_numpy(std::move(copy.vertices3d), {n, 3}),
                                         to_numpy(std::move(copy.projected), {n, 3}), to_numpy(std::move(copy.colours), {n, 3}),
                                         to_numpy(std::move(copy.landmarks68), {68, 3}),
                                         nb::make_tuple(copy.pose.yaw, copy.pose.pitch, copy.pose.roll),
                                         to_numpy(std::move(copy.latent), {latent}), copy.residual));
        }
        return meshes;
    }

    // Degrees [n, 3]: yaw, pitch, roll. No mesh is decoded.
    nb::ndarray<nb::numpy, float> estimate_poses(const Landmarks& landmarks, nb::handle said) {
        const std::optional<Corrections> corrections = corrections_of(said, landmarks.shape(0));
        std::vector<float> angles;
        {
            nb::gil_scoped_release release;
            const std::lock_guard<std::mutex> lock(mutex_);
            for (std::size_t i = 0; i < landmarks.shape(0); ++i) {
                const retinaface::Pose pose = corrections
                                                  ? estimator_.estimate_pose(points_of(landmarks, i), correction(*corrections, i))
                                                  : estimator_.estimate_pose(points_of(landmarks, i));
                angles.insert(angles.end(), {pose.yaw, pose.pitch, pose.roll});
            }
        }
        return to_numpy(std::move(angles), {landmarks.shape(0), 3});
    }

    // [t, 3], where the estimator has them.
    nb::ndarray<nb::numpy, const std::int32_t> triangles() {
        const retinaface::Span<const std::int32_t> all = estimator_.triangles();
        return {all.data(), {all.size() / 3, 3}, nb::find(this)};
    }

private:
    // As Faces.corrections: None, or [n, kCorrection].
    static std::optional<Corrections> corrections_of(nb::handle said, std::size_t faces) {
        if (said.is_none()) return std::nullopt;
        const auto corrections = nb::cast<Corrections>(said);
        if (corrections.shape(0) != faces || corrections.shape(1) != kCorrection)
            refuse("mesh: expected corrections [" + std::to_string(faces) + ", " + std::to_string(kCorrection) + "], found [" +
                   std::to_string(corrections.shape(0)) + ", " + std::to_string(corrections.shape(1)) + "]");
        return corrections;
    }
    static retinaface::MeshCorrection correction(const Corrections& all, std::size_t i) {
        const float* const row = all.data() + i * kCorrection;
        retinaface::MeshCorrection one;
        one.known = true;
        std::copy_n(row, one.shape.size(), one.shape.begin());
        std::copy_n(row + one.shape.size(), one.camera.size(), one.camera.begin());
        return one;
    }

    static retinaface::MeshEstimator make(nb::handle model, nb::handle refiner, retinaface::Isa isa) {
        if (refiner.is_none()) return retinaface::MeshEstimator(weights_of(model), isa);
        return retinaface::MeshEstimator(weights_of(model), weights_of(refiner), isa);
    }

    // A mesh is a view into the estimator, and the next one writes over it.
    struct Copy {
        Copy() = default;
        explicit Copy(const retinaface::Mesh& mesh)
            : vertices3d(mesh.vertices3d.begin(), mesh.vertices3d.end()),
              projected(mesh.projected.begin(), mesh.projected.end()),
              colours(mesh.colours.begin(), mesh.colours.end()),
              latent(mesh.latent.begin(), mesh.latent.end()),
              pose(mesh.pose),
              residual(mesh.residual) {
            for (const std::array<float, 3>& point : mesh.landmarks68)
                landmarks68.insert(landmarks68.end(), point.begin(), point.end());
        }
        std::vector<float> vertices3d, projected, colours, landmarks68, latent;
        retinaface::Pose pose;
        float residual = 0;
    };

    retinaface::MeshEstimator estimator_;
    std::mutex mutex_;  // an estimator is for one thread at a time
};

}  // namespace

NB_MODULE(_core, m) {
    nb::set_leak_warnings(false);  // detectors in other modules' globals outlive the interpreter's bookkeeping
    nb::register_exception_translator([](const std::exception_ptr& p, void*) {
        try {
            std::rethrow_exception(p);
        } catch (const Error& e) {
            if (e.code() == ErrorCode::invalid_argument) {
                PyErr_SetString(PyExc_ValueError, e.what());
                return;
            }
            const nb::object type = nb::module_::import_("retinaface").attr("Error");
            const nb::object instance = type(e.what(), retinaface_bindings::error_name(e.code()));
            PyErr_SetObject(type.ptr(), instance.ptr());
        }
    });
    m.attr("version") = std::to_string(retinaface::kVersionMajor) + "." + std::to_string(retinaface::kVersionMinor) + "." +
                        std::to_string(retinaface::kVersionPatch);

    nb::class_<Detector>(m, "Detector")
        .def(nb::init<nb::handle, float, float, int, const std::string&, int, int, int, const std::vector<float>&, bool,
                      const std::string&, float, float, float, bool, const std::string&, int>(),
             "model"_a, "score"_a, "nms"_a, "max_faces"_a, "size_policy"_a, "width"_a, "height"_a, "rotation"_a, "scales"_a,
             "flip"_a, "voting"_a, "voting_threshold"_a, "min_face"_a, "max_face"_a, "clip"_a, "isa"_a, "threads"_a)
        .def("detect", &Detector::detect, "image"_a, "bgr"_a, "boxes, scores and landmarks of one image")
        .def("detect_batch", &Detector::detect_batch, "images"_a, "bgr"_a, "a list of what detect() gives")
        .def_prop_ro("isa", &Detector::isa)
        .def_prop_ro("architecture", &Detector::architecture);
    nb::class_<MeshEstimator>(m, "MeshEstimator")
        .def(nb::init<nb::handle, nb::handle, const std::string&>(), "model"_a, "refiner"_a.none(), "isa"_a)
        .def("estimate", &MeshEstimator::estimate, "image"_a.none(), "bgr"_a, "landmarks"_a, "corrections"_a.none(), "rotation"_a,
             "a list with what a mesh is made of")
        .def("estimate_poses", &MeshEstimator::estimate_poses, "landmarks"_a, "corrections"_a.none(),
             "yaw, pitch and roll of every face")
        .def("triangles", &MeshEstimator::triangles, "indices of vertices");
    m.def("align", &align, "image"_a, "bgr"_a, "landmarks"_a, "size"_a, "margin"_a, "rotation"_a, "crops and matrices");
}
