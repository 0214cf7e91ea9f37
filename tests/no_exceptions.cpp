// The library in a program compiled with -fno-exceptions -fno-rtti: the noexcept forms are all there is, and say what went wrong.
//
//   no_exceptions weights.safetensors
#include <cstdio>
#include <cstring>
#include <retinaface.hpp>
#include <vector>

namespace {

using namespace retinaface;

int failures = 0;

void expect(bool right, const char* what) {
    if (right) return;
    std::fprintf(stderr, "failed: %s\n", what);
    ++failures;
}

template <class T>
void expect_error(const Result<T>& result, ErrorCode code, const char* words, const char* what) {
    const bool right = !result && result.error().code() == code && std::strstr(result.error().what(), words) != nullptr;
    if (!right) std::fprintf(stderr, "found: %s\n", result ? "a value" : result.error().what());
    expect(right, what);
}

bool same(Span<const Face> a, Span<const Face> b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(Face)) == 0);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    const Result<Weights> weights = Weights::try_load(argv[1]);
    expect(weights.has_value(), "the file is read");
    expect_error(Weights::try_load("no such file"), ErrorCode::io, "cannot be opened", "a file that is not there");
    expect_error(Weights::try_from_memory("12345678{}", 10), ErrorCode::bad_format, "header of", "a header too long");
    const std::vector<char> broken = {4, 0, 0, 0, 0, 0, 0, 0, '{', '"', 'a', ':', 0};
    expect_error(Weights::try_from_memory(broken.data(), 12), ErrorCode::bad_format, "unterminated", "a header that is no JSON");
    if (!weights) return 1;

    Options options;
    options.score_threshold = 0.02f;
    const Result<Detector> detector = Detector::create(*weights, options);
    options.threads = 3;
    const Result<Detector> threaded = Detector::create(options);
    expect(detector.has_value() && threaded.has_value(), "detectors");
    if (!detector || !threaded) return 1;
    for (const Detector* one : {&*detector, &*threaded}) {
        const Result<SelfTest> test = one->try_self_test();
        expect(test && (*test).passed, "the self-test");
    }
    options.threads = 0;
    expect_error(Detector::create(*weights, options), ErrorCode::invalid_argument, "threads must be", "an option out of range");
    const Result<Weights> none = Weights::try_from_memory("\2\0\0\0\0\0\0\0{}", 10);
    expect_error(Detector::create(*none), ErrorCode::bad_format, "no key 'format'", "weights without metadata");
    expect_error(LightDetector::create(*weights), ErrorCode::unsupported, "architecture", "another architecture");

    std::vector<unsigned char> pixels(160 * 120 * 3);
    for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<unsigned char>(i * i / 977 + i / 480);
    const ImageView image(pixels.data(), 160, 120);
    Workspace workspace, second;
    const Result<Span<const Face>> faces = (*threaded).try_detect(image, workspace);
    const Result<RawOutputs> outputs = (*threaded).try_forward(image, second);
    const Result<Span<const Face>> decoded = (*threaded).try_decode(*outputs, second);
    const Result<std::vector<Face>> own = (*threaded).try_detect(image);
    expect(faces && decoded && own && same(*faces, *decoded) && same(*faces, *own), "the same faces in every way");
    expect_error((*detector).try_detect(ImageView(pixels.data(), 0, 9)), ErrorCode::invalid_argument, "1..65536",
                 "an image of no width");
    expect_error((*detector).try_detect(ImageView(pixels.data(), 160, 121, PixelFormat::rgb8, 0, pixels.size())),
                 ErrorCode::invalid_argument, "cut short", "a short frame");
    RawOutputs cut = *outputs;
    cut.boxes = {cut.boxes.data(), 3};
    expect_error((*detector).try_decode(cut, workspace), ErrorCode::invalid_argument, "decode", "short spans");

    Result<Aligner> aligner = Aligner::create(*try_arcface_template());
    const std::array<Point, 5> landmarks = {Point{40, 40}, {80, 40}, {60, 64}, {44, 84}, {76, 84}}, nowhere{};
    expect(aligner && (*aligner).try_crop(image, landmarks), "a crop");
    expect_error((*aligner).try_crop(image, nowhere), ErrorCode::invalid_argument, "coincide", "landmarks in one place");
    expect_error(try_arcface_template(3), ErrorCode::invalid_argument, "multiples", "a template of no size");
    expect_error(Scales::create(nullptr, 0), ErrorCode::invalid_argument, "scales", "no scales");
    if (failures == 0) std::printf("without exceptions, %zu faces on %s\n", (*own).size(), to_string((*detector).isa()));
    return failures == 0 ? 0 : 1;
}
