// libFuzzer target of the detector: any options and any image give faces in order or an Error, and again the same faces; any raw
// outputs are decoded to what comparing every pair keeps, or refused.
#include <algorithm>
#include <cmath>

#include "input.hpp"
#include "retinaface.hpp"

namespace {

using namespace retinaface;
using namespace retinaface_test;

/// A network's input of so many pixels takes milliseconds under sanitizers.
constexpr std::int64_t kMostPixels = 128 * 128;

const Weights& weights() {
    static const Weights shipped = Weights::from_embedded(embedded::kDefaultWeights);
    return shipped;
}

Options fuzzed_options(Input& input) {
    Options options;
    options.rotation = fuzzed_rotation(input);
    const int how = input.byte();
    const auto probability = [&] { return input.byte() % 16 == 0 ? input.real() : static_cast<float>(input.byte()) / 255; };
    if (how & 1) options.score_threshold = probability();
    if (how & 2) options.nms_threshold = probability();
    if (how & 4) options.voting_threshold = probability();
    options.max_faces = how & 8 ? input.side(20) : 0;
    options.flip = (how & 16) != 0;
    options.voting = static_cast<Voting>(input.byte() % 4);
    options.threads = 1 + input.byte() % 3;
    if (how & 32) {
        const int kind = input.byte() % 3;
        const int a = input.side(130), b = input.side(130);
        options.size = kind == 0   ? SizePolicy::longest_side(a)
                       : kind == 1 ? SizePolicy::exact(a, b)
                                   : SizePolicy::shortest_side(a, b);
    }
    if (how & 64) {
        float factors[10];
        const std::size_t count = input.byte() % 10;
        for (std::size_t i = 0; i < count; ++i)
            factors[i] = input.byte() % 16 == 0 ? input.real() : static_cast<float>(input.byte()) / 64;
        if (const Result<Scales> scales = Scales::create(factors, count)) options.scales = *scales;
    }
    if (how & 128) {
        options.min_face = input.number();
        options.max_face = input.number();
    }
    return options;
}

bool same(Span<const Face> a, Span<const Face> b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(Face)) == 0);
}

/// The faces of raw outputs as the README of the original says: decode, sort, compare every pair.
std::vector<Face> naive_decode(const RawOutputs& outputs, const Profile& profile, const Options& options) {
    std::vector<Face> candidates, kept;
    for (int i = 0; i < outputs.anchors.size(); ++i) {
        const auto k = static_cast<std::size_t>(i);
        const float difference = outputs.class_logits[2 * k + 1] - outputs.class_logits[2 * k];
        const float least = detail::logit(options.score_threshold);
        if (!(profile.keep_equal_score ? difference >= least : difference > least)) continue;
        const Box box = detail::decode_box(profile, outputs.anchors[i], &outputs.boxes[4 * k], outputs.input);
        if (!detail::is_usable(box)) continue;
        candidates.push_back(
            {difference, box,
             detail::decode_landmarks(profile, outputs.anchors[i], &outputs.landmarks[10 * k], outputs.input.transform)});
    }
    std::stable_sort(candidates.begin(), candidates.end(), [](const Face& a, const Face& b) { return a.score > b.score; });
    for (Face& face : candidates) {
        const bool suppressed = std::any_of(kept.begin(), kept.end(), [&](const Face& better) {
            const float overlap = iou(face.box, better.box);
            return profile.suppress_equal_iou ? overlap >= options.nms_threshold : overlap > options.nms_threshold;
        });
        if (!suppressed) kept.push_back(face);
        if (kept.size() == static_cast<std::size_t>(options.max_faces)) break;
    }
    for (Face& face : kept) face.score = detail::probability(face.score);
    return kept;
}

void decode(Input& input, const Detector& detector) {
    const std::vector<std::uint8_t> pixels(3 * 40 * 24, 99);
    Workspace workspace, second;
    RawOutputs outputs = detector.forward({pixels.data(), 40, 24}, workspace);
    std::vector<float> logits(outputs.class_logits.begin(), outputs.class_logits.end());
    std::vector<float> boxes(outputs.boxes.begin(), outputs.boxes.end()),
        landmarks(outputs.landmarks.begin(), outputs.landmarks.end());
    while (input.left() > 8) {
        const int kind = input.byte();
        std::vector<float>& changed = kind % 3 == 0 ? logits : kind % 3 == 1 ? boxes : landmarks;
        const std::size_t at = static_cast<std::size_t>(input.below(static_cast<int>(changed.size())));
        changed[at] = kind & 8 ? input.real() : static_cast<float>(input.below(2000) - 1000) / 100;
    }
    outputs.class_logits = logits;
    outputs.boxes = boxes;
    outputs.landmarks = landmarks;
    const Result<Span<const Face>> found = detector.try_decode(outputs, second);
    require(found.has_value(), "raw outputs of any values are decoded");
    const std::vector<Face> expected = naive_decode(outputs, detector.profile(), detector.options());
    if (detector.options().voting == Voting::none) require(same(*found, expected), "what comparing every pair keeps");

    // Short spans are an error, not a read beyond them.
    const int which = input.byte() % 3;
    std::vector<float>& cut = which == 0 ? logits : which == 1 ? boxes : landmarks;
    cut.resize(cut.size() - 1 - static_cast<std::size_t>(input.below(20)));
    const std::vector<float> exact(cut);
    (which == 0 ? outputs.class_logits : which == 1 ? outputs.boxes : outputs.landmarks) = exact;
    const Result<Span<const Face>> refused = detector.try_decode(outputs, second);
    require(!refused && refused.error().code() == ErrorCode::invalid_argument, "short spans are refused");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input(data, size);
    const bool decodes = input.byte() % 2 == 0;
    const Options options = fuzzed_options(input);
    const Result<Detector> made = Detector::create(weights(), options);
    if (!made) {
        require(made.error().code() == ErrorCode::invalid_argument, "the error's code");
        return 0;
    }
    const Detector& detector = *made;
    if (decodes) {
        if (options.size.kind() == SizePolicy::Kind::original) decode(input, detector);
        return 0;
    }

    const FuzzedImage image = fuzzed_image(input, 90);
    if (try_validate(image.view)) {
        const bool turned = static_cast<int>(options.rotation) % 180 != 0;
        const int width = turned ? image.view.height : image.view.width, height = turned ? image.view.width : image.view.height;
        Result<detail::Looks> looks = detail::make_looks(width, height, options, 32, 0);
        std::int64_t pixels = 0;
        if (looks)
            for (std::size_t i = 0; i < looks->count; ++i) {
                const InputSize& look = looks->inputs[i];
                pixels += std::int64_t{look.padded_width} * look.padded_height;
            }
        if (pixels > kMostPixels) return 0;
    }
    Workspace workspace;
    const Result<Span<const Face>> found = detector.try_detect(image.view, workspace);
    require(found.has_value() == (try_validate(image.view).has_value() && found.has_value()), "no faces of an invalid image");
    if (!found) {
        require(found.error().code() == ErrorCode::invalid_argument, "the error's code");
        return 0;
    }
    const std::vector<Face> faces((*found).begin(), (*found).end());
    require(options.max_faces == 0 || faces.size() <= static_cast<std::size_t>(options.max_faces), "at most max_faces");
    for (std::size_t i = 0; i < faces.size(); ++i) {
        require(faces[i].score >= options.score_threshold && faces[i].score <= 1, "scores above the threshold");
        require(i == 0 || faces[i].score <= faces[i - 1].score, "best first");
        require(detail::is_usable(faces[i].box), "boxes are finite");
    }
    require(same(*detector.try_detect(image.view, workspace), faces), "the same faces again");
    return 0;
}
