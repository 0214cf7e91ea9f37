// The detector on small seeded networks: raw outputs against goldens, faces against raw outputs, images in every form, threads,
// options and what is refused. One ctest entry a kernel set.

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <thread>

#include "images.hpp"
#include "retinaface.hpp"
#include "support/isa_under_test.hpp"
#include "support/trim.hpp"
#include "weights_files.hpp"

namespace {

using namespace retinaface_test;
using namespace retinaface;

Options test_options(float score_threshold = 0.3f) {
    Options options;
    options.isa = isa_under_test();
    options.score_threshold = score_threshold;
    return options;
}

const Weights& insightface_weights() {
    static const Weights weights = seeded_weights_as("insightface");
    return weights;
}

const Weights& weights_of(const std::string& profile) {
    return profile == "insightface" ? insightface_weights() : seeded_weights();
}

template <class AnyDetector>
AnyDetector noted(AnyDetector detector) {
    note_isa(detector.isa());
    return detector;
}

Detector seeded_detector(const Options& options = test_options(), const std::string& profile = "biubug6") {
    return noted(Detector(weights_of(profile), options));
}

float largest_difference(Span<const float> found, const std::vector<float>& expected) {
    REQUIRE(found.size() == expected.size());
    float most = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        const float difference = std::abs(found[i] - expected[i]);
        if (!(difference <= most)) most = difference;
    }
    return most;
}

bool same_bits(const Face& a, const Face& b) {
    // A Face is 15 floats without padding.
    static_assert(sizeof(Face) == 15 * sizeof(float), "a face is its floats");
    return std::memcmp(&a, &b, sizeof a) == 0;
}

template <class A, class B>
bool same_faces(const A& a, const B& b) {
    return a.size() == b.size() &&
           std::equal(a.begin(), a.end(), b.begin(), [](const Face& x, const Face& y) { return same_bits(x, y); });
}

std::vector<float> copy(Span<const float> values) { return {values.begin(), values.end()}; }
std::vector<Face> copy(Span<const Face> faces) { return {faces.begin(), faces.end()}; }

/// All raw outputs, one after the other.
std::vector<float> raw(const RawOutputs& outputs) {
    std::vector<float> all = copy(outputs.class_logits);
    for (const Span<const float> more : {outputs.boxes, outputs.landmarks}) all.insert(all.end(), more.begin(), more.end());
    return all;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

template <class AnyDetector>
void check_golden(const AnyDetector& detector, const std::string& file) {
    const Weights golden = Weights::load(source_file("tests/data/" + file));
    Workspace workspace;
    int images = 0;
    for (const Tensor& image : golden.tensors()) {
        const std::size_t dot = image.name.find(".image");
        if (dot == std::string::npos) continue;
        ++images;
        const std::string size = image.name.substr(0, dot);
        CAPTURE(file);
        CAPTURE(size);
        const ImageView view(image.bytes.data(), static_cast<int>(image.shape[1]), static_cast<int>(image.shape[0]));
        const RawOutputs outputs = detector.forward(view, workspace);
        const auto expected = [&](const char* name) -> const std::vector<float>& { return golden.find(size + name)->values; };
        CHECK(outputs.anchors.size() == static_cast<int>(expected(".class").size() / 2));
        const float class_difference = largest_difference(outputs.class_logits, expected(".class"));
        const float box_difference = largest_difference(outputs.boxes, expected(".box"));
        const float landmark_difference = largest_difference(outputs.landmarks, expected(".landmark"));
        CHECK(class_difference <= 1e-4f);
        CHECK(box_difference <= 1e-4f);
        CHECK(landmark_difference <= 1e-4f);
    }
    CHECK(images == 4);
}

TEST_CASE("raw outputs are those of PyTorch") {
    if (trimmed()) MESSAGE("RETINAFACE_TEST_TRIM is set: fewer numbers of threads and forms of images");
    check_golden(seeded_detector(), "golden_mobilenet025_biubug6.safetensors");
    check_golden(seeded_detector(test_options(), "insightface"), "golden_mobilenet025_insightface.safetensors");
    check_golden(noted(AnyDetector(seeded_weights(true), test_options())), "golden_mobilenet025_light_paper.safetensors");
    check_golden(noted(AnyDetector(seeded_weights(), test_options())), "golden_mobilenet025_biubug6.safetensors");
}

TEST_CASE("the self-test of a file runs and would fail") {
    const SelfTest good = seeded_detector().self_test();
    CHECK(good.present);
    CHECK(good.passed);
    CHECK(good.max_difference < 1e-4f);
    const SelfTest light = AnyDetector(seeded_weights(true), test_options()).self_test();
    CHECK(light.present);
    CHECK(light.passed);
    CHECK_FALSE(seeded_detector(test_options(), "insightface").self_test().present);

    EditableWeights edit(seeded_weights());
    edit.tensor("selftest.box").values[5] += 0.01f;
    const SelfTest wrong = Detector(edit.weights(), test_options()).self_test();
    CHECK(wrong.present);
    CHECK_FALSE(wrong.passed);
    CHECK(wrong.max_difference == doctest::Approx(0.01).epsilon(0.02));

    // Weights that are not the ones the self-test was made with.
    EditableWeights other(seeded_weights());
    for (float& v : other.tensor("backbone.block5.pointwise.weight").values) v *= 1.1f;
    CHECK_FALSE(Detector(other.weights(), test_options()).self_test().passed);
}

TEST_CASE("the embedded weights pass their self-test, whose outputs are PyTorch's") {
    const SelfTest embedded = noted(Detector(test_options())).self_test();
    CHECK(embedded.present);
    CHECK(embedded.passed);
    CHECK(embedded.max_difference < 1e-4f);
}

struct DetectCase {
    std::string profile;
    int width, height;
    SizePolicy size;
    float score_threshold, nms_threshold;
    int max_faces;
};

std::vector<DetectCase> detect_cases() {
    const SizePolicy original = SizePolicy::original();
    return {
        {"biubug6", 129, 97, original, 0.3f, 0.4f, 0},
        {"biubug6", 129, 97, original, 0.0f, 0.4f, 0},
        {"biubug6", 129, 97, original, 0.0f, 1.0f, 0},
        {"biubug6", 129, 97, original, 0.0f, 0.0f, 0},
        {"biubug6", 129, 97, original, 0.2f, 0.4f, 7},
        {"biubug6", 129, 97, SizePolicy::longest_side(100), 0.2f, 0.4f, 0},
        {"biubug6", 129, 97, SizePolicy::exact(160, 160), 0.2f, 0.4f, 0},
        {"biubug6", 1, 1, original, 0.0f, 0.4f, 0},
        {"biubug6", 7, 200, original, 0.0f, 0.4f, 0},
        {"biubug6", 300, 5, original, 0.0f, 0.4f, 0},
        {"insightface", 129, 97, original, 0.5f, 0.4f, 0},
        {"insightface", 129, 97, original, 0.0f, 0.4f, 0},
        {"insightface", 100, 60, SizePolicy::exact(150, 90), 0.3f, 0.3f, 20},
        {"insightface", 3, 2, original, 0.0f, 1.0f, 0},
    };
}

#define CAPTURE_CASE(c)         \
    CAPTURE(c.profile);         \
    CAPTURE(c.width);           \
    CAPTURE(c.height);          \
    CAPTURE(c.size.width());    \
    CAPTURE(c.score_threshold); \
    CAPTURE(c.nms_threshold);   \
    CAPTURE(c.max_faces)

Options case_options(const DetectCase& c) {
    Options options = test_options(c.score_threshold);
    options.nms_threshold = c.nms_threshold;
    options.max_faces = c.max_faces;
    options.size = c.size;
    return options;
}

TEST_CASE("decoding the raw outputs gives exactly the faces of detect") {
    for (const DetectCase& c : detect_cases()) {
        CAPTURE_CASE(c);
        const Detector detector = seeded_detector(case_options(c), c.profile);
        const Picture picture = random_picture(c.width, c.height, 5);
        Workspace workspace, second;
        const std::vector<Face> detected = copy(detector.detect(picture.view(), workspace));
        CHECK(same_faces(detector.detect(picture.view()), detected));
        const RawOutputs outputs = detector.forward(picture.view(), workspace);
        CHECK(same_faces(detector.decode(outputs, second), detected));
        CHECK(same_faces(detector.decode(outputs, workspace), detected));
        if (c.score_threshold < 0.4f) CHECK(!detected.empty());
    }
}

/// Decoding as the specification says it, in double and without any bucket.
std::vector<Face> decoded_plainly(const RawOutputs& outputs, const DetectCase& c, int clip_width, int clip_height) {
    const bool inclusive = c.profile == "insightface";
    std::vector<Face> candidates;
    const double scale_x = static_cast<double>(outputs.input.transform.scale_x),
                 scale_y = static_cast<double>(outputs.input.transform.scale_y);
    std::size_t index = 0;
    for (int level = 0; level < 3; ++level) {
        const int stride = 8 << level;
        const int rows = (outputs.input.padded_height + stride - 1) / stride,
                  columns = (outputs.input.padded_width + stride - 1) / stride;
        for (int y = 0; y < rows; ++y) {
            for (int x = 0; x < columns; ++x) {
                for (int anchor = 0; anchor < 2; ++anchor, ++index) {
                    const double size = (anchor == 0 ? 16 : 32) << (2 * level);
                    const double px = inclusive ? 7.5 + stride * x : (x + 0.5) * stride,
                                 py = inclusive ? 7.5 + stride * y : (y + 0.5) * stride;
                    const auto at = [&](Span<const float> values, std::size_t width, std::size_t k) {
                        return static_cast<double>(values[index * width + k]);
                    };
                    const double background = at(outputs.class_logits, 2, 0), face = at(outputs.class_logits, 2, 1);
                    const double score = std::exp(face) / (std::exp(face) + std::exp(background));
                    if (!(score > static_cast<double>(c.score_threshold))) continue;
                    const double vc = inclusive ? 1.0 : 0.1, vs = inclusive ? 1.0 : 0.2;
                    const double bx = px + at(outputs.boxes, 4, 0) * vc * size, by = py + at(outputs.boxes, 4, 1) * vc * size;
                    const double w = size * std::exp(at(outputs.boxes, 4, 2) * vs) - (inclusive ? 1 : 0);
                    const double h = size * std::exp(at(outputs.boxes, 4, 3) * vs) - (inclusive ? 1 : 0);
                    double box[4] = {bx - w / 2, by - h / 2, bx + w / 2, by + h / 2};
                    if (inclusive)
                        for (int k = 0; k < 4; ++k)
                            box[k] =
                                std::min(std::max(box[k], 0.0), static_cast<double>((k % 2 == 0 ? clip_width : clip_height) - 1));
                    Face out;
                    out.score = static_cast<float>(score);
                    out.box = {static_cast<float>(box[0] / scale_x), static_cast<float>(box[1] / scale_y),
                               static_cast<float>(box[2] / scale_x), static_cast<float>(box[3] / scale_y)};
                    for (std::size_t p = 0; p < 5; ++p)
                        out.landmarks[p] = {
                            static_cast<float>((px + at(outputs.landmarks, 10, 2 * p) * vc * size) / scale_x),
                            static_cast<float>((py + at(outputs.landmarks, 10, 2 * p + 1) * vc * size) / scale_y)};
                    candidates.push_back(out);
                }
            }
        }
    }
    REQUIRE(index * 2 == outputs.class_logits.size());
    std::stable_sort(candidates.begin(), candidates.end(), [](const Face& a, const Face& b) { return a.score > b.score; });
    std::vector<Face> kept;
    for (const Face& candidate : candidates) {
        bool suppressed = false;
        for (const Face& other : kept) {
            const Box &a = candidate.box, &b = other.box;
            const double w = std::min(a.x2, b.x2) - std::max(a.x1, b.x1) + 1, h = std::min(a.y2, b.y2) - std::max(a.y1, b.y1) + 1;
            if (w <= 0 || h <= 0) continue;
            const auto area = [](const Box& r) {
                return static_cast<double>(r.x2 - r.x1 + 1) * static_cast<double>(r.y2 - r.y1 + 1);
            };
            const double value = w * h / (area(a) + area(b) - w * h);
            suppressed = suppressed || value > static_cast<double>(c.nms_threshold);
        }
        if (suppressed) continue;
        kept.push_back(candidate);
        if (static_cast<int>(kept.size()) == c.max_faces) break;
    }
    return kept;
}

TEST_CASE("faces are what the specification makes of the raw outputs") {
    for (DetectCase c : detect_cases()) {
        // Thresholds of exactly 0 or 1 are decided by the last bit of an IoU.
        if (c.nms_threshold == 0.0f || c.nms_threshold == 1.0f) c.nms_threshold = 0.35f;
        CAPTURE_CASE(c);
        const Detector detector = seeded_detector(case_options(c), c.profile);
        const Picture picture = random_picture(c.width, c.height, 5);
        Workspace workspace, second;
        const RawOutputs outputs = detector.forward(picture.view(), workspace);
        const std::vector<Face> expected = decoded_plainly(outputs, c, outputs.input.width, outputs.input.height);
        const Span<const Face> found = detector.decode(outputs, second);
        REQUIRE(found.size() == expected.size());
        float score = 0, place = 0;
        for (std::size_t i = 0; i < found.size(); ++i) {
            score = std::max(score, std::abs(found[i].score - expected[i].score));
            const Box &a = found[i].box, &b = expected[i].box;
            for (const float d : {a.x1 - b.x1, a.y1 - b.y1, a.x2 - b.x2, a.y2 - b.y2}) place = std::max(place, std::abs(d));
            for (std::size_t p = 0; p < 5; ++p) {
                place = std::max(place, std::abs(found[i].landmarks[p].x - expected[i].landmarks[p].x));
                place = std::max(place, std::abs(found[i].landmarks[p].y - expected[i].landmarks[p].y));
            }
        }
        CHECK(score < 1e-6f);
        CHECK(place < 2e-3f);
    }
}

TEST_CASE("thresholds and the number of faces") {
    const Picture picture = random_picture(129, 97, 5);
    for (const std::string profile : {"biubug6", "insightface"}) {
        CAPTURE(profile);
        const auto faces = [&](float score, float nms, int most) {
            Options options = test_options(score);
            options.nms_threshold = nms;
            options.max_faces = most;
            return seeded_detector(options, profile).detect(picture.view());
        };
        CHECK(faces(1, 0.4f, 0).empty());
        const std::vector<Face> all = faces(0, 0.4f, 0);
        REQUIRE(all.size() > 5);
        CHECK(std::is_sorted(all.begin(), all.end(), [](const Face& a, const Face& b) { return a.score > b.score; }));
        for (const int most : {1, 2, 5, static_cast<int>(all.size()), static_cast<int>(all.size()) + 1, 1000000}) {
            CAPTURE(most);
            const std::vector<Face> some = faces(0, 0.4f, most);
            const std::size_t count = std::min(all.size(), static_cast<std::size_t>(most));
            REQUIRE(some.size() == count);
            CHECK(
                std::equal(some.begin(), some.end(), all.begin(), [](const Face& a, const Face& b) { return same_bits(a, b); }));
        }
        // A higher threshold keeps the front of the list: suppression meets better faces only.
        for (const float threshold : {0.05f, 0.2f, 0.5f}) {
            CAPTURE(threshold);
            const std::vector<Face> some = faces(threshold, 0.4f, 0);
            REQUIRE(some.size() <= all.size());
            CHECK(
                std::equal(some.begin(), some.end(), all.begin(), [](const Face& a, const Face& b) { return same_bits(a, b); }));
            for (const Face& face : some) CHECK(face.score >= threshold - 1e-6f);
            if (some.size() < all.size()) CHECK(all[some.size()].score <= threshold + 1e-6f);
        }
        // Nothing is suppressed at 1, nearly everything at 0.
        Workspace workspace;
        const std::size_t anchors =
            static_cast<std::size_t>(seeded_detector(test_options(), profile).forward(picture.view(), workspace).anchors.size());
        if (profile == "biubug6") CHECK(faces(0, 1, 0).size() == anchors);
        CHECK(faces(0, 0, 0).size() < all.size());
    }
}

TEST_CASE("every pixel format and row order of a picture gives the same faces") {
    const Picture rgb = random_picture(67, 45, 9);
    Workspace workspace;
    for (const std::string profile : {"biubug6", "insightface"}) {
        for (const SizePolicy size : {SizePolicy::original(), SizePolicy::longest_side(50), SizePolicy::exact(99, 99)}) {
            Options options = test_options(0.1f);
            options.size = size;
            const Detector detector = seeded_detector(options, profile);
            const std::vector<float> expected = raw(detector.forward(rgb.view(), workspace));
            std::vector<float> of_format[5];
            for (const PixelFormat format : {PixelFormat::rgb8, PixelFormat::rgba8, PixelFormat::bgr8, PixelFormat::bgra8}) {
                for (const int padding : {0, 1, 13}) {
                    for (const bool bottom_up : {false, true}) {
                        if (trimmed() && (padding == 1 || bottom_up != (padding == 13))) continue;
                        CAPTURE(profile);
                        CAPTURE(size.width());
                        CAPTURE(static_cast<int>(format));
                        CAPTURE(padding);
                        CAPTURE(bottom_up);
                        const Picture other = converted(rgb, format, padding, bottom_up);
                        const std::vector<float> found = raw(detector.forward(other.view(), workspace));
                        const bool swapped = format == PixelFormat::bgr8 || format == PixelFormat::bgra8;
                        std::vector<float>& same = of_format[swapped ? 1 : 0];
                        if (same.empty()) same = found;
                        CHECK(same_bits(found, same));
                        // The first convolution sums an image's channels in the order of its bytes, so that rgb and bgr may differ
                        // in the last bits.
                        CHECK(largest_difference({found.data(), found.size()}, expected) < 1e-4f);
                        if (!swapped) CHECK(same_faces(detector.detect(other.view(), workspace), detector.detect(rgb.view())));
                    }
                }
            }
            // A gray picture is the coloured one with equal channels.
            Picture gray_rgb = rgb;
            for (std::size_t i = 0; i < gray_rgb.bytes.size(); ++i) gray_rgb.bytes[i] = rgb.bytes[i / 3 * 3];
            const std::vector<float> gray_expected = raw(detector.forward(gray_rgb.view(), workspace));
            for (const int padding : {0, 3}) {
                for (const bool bottom_up : {false, true}) {
                    CAPTURE(profile);
                    CAPTURE(size.width());
                    CAPTURE(padding);
                    CAPTURE(bottom_up);
                    const Picture gray = converted(gray_rgb, PixelFormat::gray8, padding, bottom_up);
                    const std::vector<float> found = raw(detector.forward(gray.view(), workspace));
                    CHECK(largest_difference({found.data(), found.size()}, gray_expected) < 1e-4f);
                }
            }
        }
    }
}

/// Runs tasks last to first, on the calling thread and two more.
class ReversedExecutor : public Executor {
public:
    void run(int count, TaskRef task) override {
        ++runs;
        const auto part = [&](int from) {
            for (int i = count - 1 - from; i >= 0; i -= 3) task(i);
        };
        std::thread first([&] { part(1); }), second([&] { part(2); });
        part(0);
        first.join();
        second.join();
    }
    std::atomic<int> runs{0};
};

TEST_CASE("results are the same bits for any number of threads and any executor") {
    Workspace workspace, other;
    struct Size {
        int width, height;
    };
    for (const Size size : {Size{1, 1}, Size{33, 47}, Size{129, 97}, Size{200, 16}, Size{9, 160}}) {
        for (const std::string profile : {"biubug6", "insightface"}) {
            const Picture picture = random_picture(size.width, size.height, 21);
            const Detector one = seeded_detector(test_options(0.2f), profile);
            const std::vector<float> expected = raw(one.forward(picture.view(), workspace));
            const std::vector<Face> faces = one.detect(picture.view());
            for (const int threads : {2, 3, 7}) {
                // Pools that spin are slow where there is one core or none of its own.
                if (trimmed() && (threads != 3 || size.width == 200 || (size.width == 129 && profile != "biubug6"))) continue;
                CAPTURE(size.width);
                CAPTURE(size.height);
                CAPTURE(profile);
                CAPTURE(threads);
                Options options = test_options(0.2f);
                options.threads = threads;
                const Detector many = seeded_detector(options, profile);
                CHECK(same_bits(raw(many.forward(picture.view(), other)), expected));
                CHECK(same_faces(many.detect(picture.view(), other), faces));
                ReversedExecutor executor;
                options.executor = &executor;
                const Detector borrowed = seeded_detector(options, profile);
                CHECK(same_bits(raw(borrowed.forward(picture.view(), other)), expected));
                if (size.width == 129) CHECK(executor.runs >= 1);
            }
            // An executor alone changes nothing: `threads` says how many bands there are.
            ReversedExecutor executor;
            Options options = test_options(0.2f);
            options.executor = &executor;
            CHECK(same_bits(raw(seeded_detector(options, profile).forward(picture.view(), other)), expected));
            CHECK(executor.runs == 0);
        }
    }
}

TEST_CASE("mnet12: what is padded is black before the mean is subtracted, at any size and in every look") {
    const AnyDetector detector = noted(AnyDetector(seeded_mnet12(), test_options()));
    Options options = test_options();
    options.threads = 3;
    const AnyDetector three(seeded_mnet12(), options);
    Workspace workspace;
    for (const std::pair<int, int>& size : {std::pair{1, 1}, {33, 47}, {64, 96}, {7, 130}, {97, 32}, {31, 64}}) {
        const int width = size.first, height = size.second;
        CAPTURE(width);
        CAPTURE(height);
        const Picture picture = random_picture(width, height, 77);
        const int full_width = (width + 31) / 32 * 32, full_height = (height + 31) / 32 * 32;
        std::vector<std::uint8_t> black(static_cast<std::size_t>(full_width * full_height * 3), 0);
        for (int y = 0; y < height; ++y)
            std::memcpy(black.data() + y * full_width * 3, picture.bytes.data() + y * width * 3,
                        static_cast<std::size_t>(width) * 3);
        const Picture padded = rgb_picture(full_width, full_height, black);
        const std::vector<float> expected = raw(detector.forward(padded.view(), workspace));
        CHECK(same_bits(raw(detector.forward(picture.view(), workspace)), expected));
        CHECK(same_bits(raw(three.forward(picture.view(), workspace)), expected));
        for (const bool bottom_up : {false, true}) {
            const Picture other = converted(picture, PixelFormat::rgba8, 5, bottom_up);
            CHECK(same_bits(raw(detector.forward(other.view(), workspace)), expected));
        }
    }

    // Mirrored, the padding stays on the right.
    options = test_options(0.01f);
    options.flip = true;
    const AnyDetector flipping(seeded_mnet12(), options);
    const Picture picture = random_picture(50, 40, 78);
    Picture mirrored = picture;
    for (int y = 0; y < 40; ++y)
        for (int x = 0; x < 50; ++x)
            std::memcpy(mirrored.bytes.data() + (y * 50 + 49 - x) * 3, picture.bytes.data() + (y * 50 + x) * 3, 3);
    const std::vector<Face> faces = flipping.detect(picture.view()), other = flipping.detect(mirrored.view());
    CHECK(faces.size() > 0);
    REQUIRE(faces.size() == other.size());
    const auto total = [](const std::vector<Face>& list) {
        double sum = 0;
        for (const Face& face : list) sum += static_cast<double>(face.score);
        return sum;
    };
    CHECK(total(faces) == doctest::Approx(total(other)));
}

TEST_CASE("threads share a detector") {
    for (const int inner : {1, 2}) {
        CAPTURE(inner);
        Options options = test_options(0.2f);
        options.threads = inner;
        const Detector detector = seeded_detector(options);
        std::vector<Picture> pictures;
        std::vector<std::vector<Face>> expected;
        for (int i = 0; i < 4; ++i) {
            pictures.push_back(random_picture(40 + 23 * i, 90 - 17 * i, static_cast<std::uint64_t>(i)));
            expected.push_back(detector.detect(pictures.back().view()));
        }
        std::atomic<int> wrong{0};
        std::vector<std::thread> threads;
        for (std::size_t t = 0; t < 4; ++t) {
            threads.emplace_back([&, t] {
                Workspace workspace;
                const Detector mine = detector;
                for (std::size_t round = 0; round < (trimmed() ? 4u : 12u); ++round) {
                    const std::size_t i = (round + t) % pictures.size();
                    if (!same_faces(detector.detect(pictures[i].view()), expected[i])) ++wrong;
                    if (!same_faces(mine.detect(pictures[i].view(), workspace), expected[i])) ++wrong;
                }
            });
        }
        for (std::thread& thread : threads) thread.join();
        CHECK(wrong == 0);
    }
}

TEST_CASE("a batch is what its images are one by one, side by side or not") {
    std::vector<Picture> pictures;
    for (int i = 0; i < 5; ++i) pictures.push_back(random_picture(30 + 19 * i, 100 - 21 * i, static_cast<std::uint64_t>(i)));
    pictures.push_back(converted(pictures[1], PixelFormat::bgra8, 3, true));
    const Detector one = seeded_detector(test_options(0.2f));
    std::vector<std::vector<Face>> expected;
    for (const Picture& picture : pictures) expected.push_back(one.detect(picture.view()));
    CHECK(expected[1].size() + expected[0].size() > 2);

    const auto right = [&](const Detector& detector, std::size_t count) {
        std::vector<ImageView> images;
        for (std::size_t i = 0; i < count; ++i) images.push_back(pictures[i % pictures.size()].view());
        const std::vector<std::vector<Face>> found = detector.detect(images);
        if (found.size() != count) return false;
        for (std::size_t i = 0; i < count; ++i)
            if (!same_faces(found[i], expected[i % pictures.size()])) return false;
        return true;
    };
    for (const int threads : {1, 2, 3, 4, 7}) {
        if (trimmed() && threads > 3) continue;
        CAPTURE(threads);
        Options options = test_options(0.2f);
        options.threads = threads;
        const Detector own = seeded_detector(options);
        ReversedExecutor executor;
        options.executor = &executor;
        const Detector borrowed = seeded_detector(options);
        const auto n = static_cast<std::size_t>(threads);
        for (const std::size_t count : {std::size_t{0}, std::size_t{1}, n - 1, n, n + 1, 2 * n, 3 * n + 2}) {
            CAPTURE(count);
            CHECK(right(own, count));
            CHECK(right(borrowed, count));
        }
        executor.runs = 0;
        CHECK(right(borrowed, 2 * n));
        CHECK(executor.runs == (threads > 1 ? 1 : 0));

        // Batches at a time on one detector.
        std::atomic<int> wrong{0};
        std::vector<std::thread> callers;
        for (int t = 0; t < 3; ++t)
            callers.emplace_back([&] {
                for (int round = 0; round < (trimmed() ? 2 : 6); ++round)
                    if (!right(own, n + 2)) ++wrong;
            });
        for (std::thread& caller : callers) caller.join();
        CHECK(wrong == 0);
        own.trim();
        CHECK(right(own, n));

        // The error is that of the first image that has one, wherever it stands.
        for (std::size_t bad = 0; bad < 2 * n + 1; ++bad) {
            std::vector<ImageView> images(2 * n + 1, pictures[0].view());
            images[bad].width = -7 - static_cast<int>(bad);
            if (bad + 1 < images.size()) images[bad + 1].height = -1;
            const auto found = own.try_detect(Span<const ImageView>(images));
            const auto alone = one.try_detect(images[bad]);
            REQUIRE_FALSE(found.has_value());
            CHECK(found.error().code() == alone.error().code());
            CHECK(std::string(found.error().what()) == alone.error().what());
        }
    }
}

TEST_CASE("a batch looks at every turn and scale that one image is looked at") {
    const Picture a = random_picture(129, 97, 1), b = random_picture(61, 140, 2);
    const std::vector<ImageView> images = {a.view(), b.view(), b.view()};
    for (const bool turned : {false, true}) {
        Options options = test_options(0.2f);
        options.threads = 2;
        if (turned)
            options.rotation = Rotation::automatic;
        else
            options.scales = {1, 0.5f};
        options.flip = !turned;
        const Detector detector = seeded_detector(options);
        const std::vector<std::vector<Face>> found = detector.detect(images);
        for (std::size_t i = 0; i < images.size(); ++i) CHECK(same_faces(found[i], detector.detect(images[i])));
    }
}

TEST_CASE("a workspace serves any detector, copies share everything, weights may go") {
    const Picture picture = random_picture(70, 50, 3), small = random_picture(9, 7, 4);
    Workspace workspace;
    auto weights = std::make_unique<Weights>(seeded_weights_as("biubug6"));
    auto original = std::make_unique<Detector>(*weights, test_options(0.1f));
    weights.reset();
    const std::vector<Face> expected =
        original->detect(picture.view(), workspace).size() > 0 ? original->detect(picture.view()) : std::vector<Face>();
    CHECK(!expected.empty());
    const Detector other = seeded_detector(test_options(0.1f), "insightface");
    const std::vector<Face> other_expected = other.detect(picture.view());
    Detector copied = *original;
    original.reset();
    CHECK(same_faces(other.detect(picture.view(), workspace), other_expected));
    CHECK(same_faces(copied.detect(picture.view(), workspace), expected));
    copied.detect(small.view(), workspace);
    Workspace moved = std::move(workspace);
    CHECK(same_faces(copied.detect(picture.view(), moved), expected));
    copied = other;
    CHECK(same_faces(copied.detect(picture.view(), moved), other_expected));
    CHECK(std::string(copied.profile().name) == "insightface");
    CHECK(copied.architecture() == "mobilenet025");
    CHECK(copied.options().score_threshold == 0.1f);
}

/// Runs `function` and returns the message of the Error it throws, checking its code; "" where it throws none.
std::string message_of(ErrorCode code, const std::function<void()>& function) {
    try {
        function();
    } catch (const Error& error) {
        CHECK(error.code() == code);
        return error.what();
    }
    return "";
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST_CASE("images that cannot be read are refused") {
    const std::uint8_t pixel[64] = {};
    struct BadImage {
        ImageView image;
        const char* fragment;
    };
    const ImageView unknown(pixel, 1, 1, static_cast<PixelFormat>(7));
    const BadImage cases[] = {
        {{nullptr, 4, 4}, "null pointer to pixels"},
        {{}, "1..65536, found 0 x 0"},
        {{pixel, 0, 4}, "1..65536, found 0 x 4"},
        {{pixel, 4, 0}, "1..65536, found 4 x 0"},
        {{pixel, -1, 4}, "found -1 x 4"},
        {{pixel, 4, -7}, "found 4 x -7"},
        {{pixel, 65537, 1}, "found 65537 x 1"},
        {{pixel, 1, 65537}, "found 1 x 65537"},
        {{pixel, 2147483647, 2147483647}, "found 2147483647 x 2147483647"},
        {{pixel, 60000, 60000}, "at most 67108864 pixels, found 60000 x 60000"},
        {{pixel, 4, 4, PixelFormat::rgb8, 11}, "row stride must be at least 12 bytes, found 11"},
        {{pixel, 4, 4, PixelFormat::rgb8, -11}, "row stride must be at least 12 bytes, found -11"},
        {{pixel, 4, 4, PixelFormat::bgra8, 15}, "row stride must be at least 16 bytes, found 15"},
        {{pixel, 4, 4, PixelFormat::gray8, 3}, "row stride must be at least 4 bytes, found 3"},
        {unknown, "unknown pixel format 7"},
    };
    const Detector detector = seeded_detector();
    Workspace workspace;
    for (const BadImage& bad : cases) {
        CAPTURE(std::string(bad.fragment));
        const std::string message = message_of(ErrorCode::invalid_argument, [&] { detector.detect(bad.image); });
        CAPTURE(message);
        CHECK(contains(message, std::string("image: ")));
        CHECK(contains(message, bad.fragment));
        CHECK(message_of(ErrorCode::invalid_argument, [&] { detector.detect(bad.image, workspace); }) == message);
        CHECK(message_of(ErrorCode::invalid_argument, [&] { detector.forward(bad.image, workspace); }) == message);
        const Result<std::vector<Face>> result = detector.try_detect(bad.image);
        REQUIRE_FALSE(result.has_value());
        CHECK(result.error().what() == message);
        CHECK_FALSE(detector.try_detect(bad.image, workspace).has_value());
    }
    // A stride that is just enough, and the workspace after all these.
    CHECK(detector.try_detect({pixel, 4, 4, PixelFormat::rgb8, 12}, workspace).has_value());

    // An image that is within limits, at a size that is not.
    Options options = test_options();
    options.size = SizePolicy::exact(65536, 65536);
    const std::string message = message_of(ErrorCode::invalid_argument, [&] { seeded_detector(options).detect({pixel, 4, 4}); });
    CHECK(contains(message, "at most 67108864 pixels go to the network, found 65536 x 65536"));
}

TEST_CASE("options outside their range are refused") {
    struct BadOption {
        std::function<void(Options&)> set;
        const char* fragment;
    };
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const BadOption cases[] = {
        {[](Options& o) { o.score_threshold = -0.1f; }, "score_threshold must be 0..1, found -0.1"},
        {[](Options& o) { o.score_threshold = 1.5f; }, "score_threshold must be 0..1, found 1.5"},
        {[=](Options& o) { o.score_threshold = nan; }, "score_threshold must be 0..1, found nan"},
        {[](Options& o) { o.nms_threshold = -1; }, "nms_threshold must be 0..1, found -1"},
        {[](Options& o) { o.nms_threshold = 2; }, "nms_threshold must be 0..1, found 2"},
        {[=](Options& o) { o.nms_threshold = nan; }, "nms_threshold must be 0..1, found nan"},
        {[](Options& o) { o.max_faces = -1; }, "max_faces must be at least 0, found -1"},
        {[](Options& o) { o.threads = 0; }, "threads must be 1..64, found 0"},
        {[](Options& o) { o.threads = -3; }, "threads must be 1..64, found -3"},
        {[](Options& o) { o.threads = 65; }, "threads must be 1..64, found 65"},
        {[](Options& o) { o.size = SizePolicy::longest_side(0); }, "size must be 1..65536 a side, found 0 x 0"},
        {[](Options& o) { o.size = SizePolicy::exact(0, 5); }, "size must be 1..65536 a side, found 0 x 5"},
        {[](Options& o) { o.size = SizePolicy::exact(5, -5); }, "found 5 x -5"},
        {[](Options& o) { o.size = SizePolicy::exact(65537, 5); }, "found 65537 x 5"},
    };
    for (const BadOption& bad : cases) {
        CAPTURE(std::string(bad.fragment));
        Options options = test_options();
        bad.set(options);
        const std::string message = message_of(ErrorCode::invalid_argument, [&] { Detector(seeded_weights(), options); });
        CAPTURE(message);
        CHECK(contains(message, "options: "));
        CHECK(contains(message, bad.fragment));
        const Result<Detector> result = Detector::create(seeded_weights(), options);
        REQUIRE_FALSE(result.has_value());
        CHECK(result.error().what() == message);
    }
    Options options = test_options();
    options.isa = static_cast<Isa>(77);
    CHECK(contains(message_of(ErrorCode::unsupported, [&] { Detector(seeded_weights(), options); }),
                   "is not in this build or not on this CPU"));
    options.isa = available(Isa::neon) ? Isa::avx2 : Isa::neon;
    CHECK(contains(message_of(ErrorCode::unsupported, [&] { Detector(seeded_weights(), options); }),
                   std::string("isa ") + to_string(options.isa) + " is not in this build or not on this CPU"));
    CHECK(Detector::create(seeded_weights(), test_options()).has_value());
}

TEST_CASE("weights that do not fit the network are refused") {
    struct BadWeights {
        const char* name;
        ErrorCode code;
        std::function<void(EditableWeights&)> change;
        const char* fragment;
    };
    const auto reshape = [](const char* name, std::vector<std::int64_t> shape) {
        return [=](EditableWeights& w) {
            Tensor& tensor = w.tensor(name);
            std::size_t count = 1;
            for (const std::int64_t side : shape) count *= static_cast<std::size_t>(side);
            tensor.shape = shape;
            tensor.values.resize(count);
        };
    };
    const auto set = [](const char* key, const char* value) { return [=](EditableWeights& w) { w.metadata[key] = value; }; };
    const auto forget = [](const char* key) { return [=](EditableWeights& w) { w.metadata.erase(key); }; };
    const auto remove = [](const char* name) { return [=](EditableWeights& w) { w.remove(name); }; };
    const auto extra = [](EditableWeights& w) {
        w.tensors.push_back(w.tensors.front());
        w.tensors.back().name = "backbone.block14.depthwise.weight";
    };
    const auto bytes = [](EditableWeights& w) {
        Tensor& tensor = w.tensor("fpn.p3.lateral.bias");
        tensor.dtype = Tensor::Dtype::u8;
        tensor.bytes.assign(64, 1);
    };
    const ErrorCode mismatch = ErrorCode::mismatch;
    const BadWeights cases[] = {
        {"format", mismatch, set("format", "retinaface-weights-3"),
         "format must be retinaface-weights-1 or -2, found 'retinaface-weights-3'"},
        {"no format", ErrorCode::bad_format, forget("format"), "metadata has no key 'format'"},
        {"no profile", ErrorCode::bad_format, forget("profile"), "metadata has no key 'profile'"},
        {"no architecture", ErrorCode::bad_format, forget("architecture"), "metadata has no key 'architecture'"},
        {"profile", mismatch, set("profile", "wider"), "profile must be biubug6, insightface, paper or mnet12, found 'wider'"},
        {"architecture", ErrorCode::unsupported, set("architecture", "resnet50"),
         "architecture 'resnet50' is not one this detector was compiled for (mobilenet025)"},
        {"other architecture", ErrorCode::unsupported, set("architecture", "mobilenet025_light"),
         "'mobilenet025_light' is not one"},
        {"missing weight", mismatch, remove("backbone.block7.pointwise.weight"),
         "'backbone.block7.pointwise.weight' is missing, expected shape [128, 128, 1, 1]"},
        {"missing bias", mismatch, remove("head.p5.landmark.bias"), "'head.p5.landmark.bias' is missing, expected shape [20]"},
        {"shape of the first convolution", mismatch, reshape("backbone.conv0.weight", {8, 3, 3, 2}),
         "'backbone.conv0.weight': expected shape [8, 3, 3, 3], found [8, 3, 3, 2]"},
        {"shape of a depthwise convolution", mismatch, reshape("backbone.block3.depthwise.weight", {32, 3, 3}),
         "expected shape [32, 1, 3, 3], found [32, 3, 3]"},
        {"shape of a bias", mismatch, reshape("fpn.p4.merge.bias", {64, 1}),
         "'fpn.p4.merge.bias': expected shape [64], found [64, 1]"},
        {"shape of a head", mismatch, reshape("head.p4.class.weight", {6, 64, 1, 1}),
         "'head.p4.class.weight': expected shape [4, 64, 1, 1], found [6, 64, 1, 1]"},
        {"scalar", mismatch, reshape("context.p4.conv7_2.bias", {}), "'context.p4.conv7_2.bias': expected shape [16], found []"},
        {"bytes for floats", mismatch, bytes, "'fpn.p3.lateral.bias': expected F32 or F16, found U8"},
        {"extra tensor", mismatch, extra, "'backbone.block14.depthwise.weight' does not belong to architecture mobilenet025"},
        {"self-test without an image", mismatch, remove("selftest.image.2"),
         "'selftest.class.2' is of no self-test: expected selftest.image.2"},
        {"self-test without outputs", mismatch, remove("selftest.box"), "'selftest.box': expected F32 beside selftest.image"},
        {"self-test of another form", mismatch,
         [](EditableWeights& w) {
             w.tensor("selftest.image").shape = {3, 48, 64};
         },
         "'selftest.image': expected U8 [H, W, 3], found [3, 48, 64]"},
    };
    for (const BadWeights& bad : cases) {
        CAPTURE(std::string(bad.name));
        EditableWeights edit(seeded_weights());
        bad.change(edit);
        const Weights weights = edit.weights();
        const std::string message = message_of(bad.code, [&] { Detector(weights, test_options()); });
        CAPTURE(message);
        CHECK(contains(message, bad.fragment));
        const Result<Detector> result = Detector::create(weights, test_options());
        REQUIRE_FALSE(result.has_value());
        CHECK(result.error().what() == message);
    }

    // Outputs of the self-test whose number does not fit are found when it runs.
    EditableWeights edit(seeded_weights());
    edit.tensor("selftest.class").values.resize(8);
    edit.tensor("selftest.class").shape = {4, 2};
    const Detector detector(edit.weights(), test_options());
    CHECK(contains(message_of(mismatch, [&] { detector.self_test(); }), "'selftest.class': expected"));

    // The default detector knows one architecture.
    const std::string message = message_of(ErrorCode::unsupported, [] { Detector(seeded_weights(true), test_options()); });
    CHECK(contains(message, "architecture 'mobilenet025_light'"));
    CHECK(AnyDetector::create(seeded_weights(true), test_options()).has_value());
}

TEST_CASE("values that overflow on their way give no faces and no harm") {
    EditableWeights edit(seeded_weights());
    for (const char* name : {"head.p3.box.weight", "head.p4.box.bias", "head.p5.landmark.weight"})
        for (float& v : edit.tensor(name).values) v *= 3e37f;
    for (float& v : edit.tensor("fpn.p3.merge.weight").values) v *= 1e30f;
    const Detector detector(edit.weights(), test_options(0));
    Workspace workspace;
    const Picture picture = random_picture(129, 97, 5);
    for (const Face& face : detector.detect(picture.view(), workspace)) {
        CHECK(std::isfinite(face.box.x1));
        CHECK(std::isfinite(face.box.y2));
        CHECK(face.score >= 0.0f);
        CHECK(face.score <= 1.0f);
    }
    CHECK(same_faces(detector.decode(detector.forward(picture.view(), workspace), workspace), detector.detect(picture.view())));
}

}  // namespace
