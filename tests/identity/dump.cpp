// Prints hashes of raw outputs and faces: what compare.py builds against two versions of the library. Public interface only.
//
//   dump WEIGHTS.safetensors IMAGE.ppm...
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include <retinaface.hpp>

namespace {

using namespace retinaface;

std::uint64_t hash(const void* data, std::size_t bytes, std::uint64_t seed = 14695981039346656037u) {
    const auto* p = static_cast<const unsigned char*>(data);
    for (std::size_t i = 0; i < bytes; ++i) seed = (seed ^ p[i]) * 1099511628211u;
    return seed;
}

std::uint64_t hash(Span<const float> values) { return hash(values.data(), values.size() * sizeof(float)); }

std::uint64_t hash(Span<const Face> faces) {
    std::uint64_t h = hash(nullptr, 0);
    for (const Face& face : faces) {
        h = hash(&face.score, sizeof face.score, h);
        h = hash(&face.box, sizeof face.box, h);
        h = hash(face.landmarks.data(), sizeof face.landmarks, h);
    }
    return h;
}

std::vector<unsigned char> read_ppm(const char* path, int& width, int& height) {
    std::FILE* file = std::fopen(path, "rb");
    std::vector<unsigned char> pixels;
    if (file != nullptr && std::fscanf(file, "P6 %d %d 255%*c", &width, &height) == 2) {
        pixels.resize(3u * static_cast<unsigned>(width) * static_cast<unsigned>(height));
        if (std::fread(pixels.data(), 1, pixels.size(), file) != pixels.size()) pixels.clear();
    }
    if (file != nullptr) std::fclose(file);
    return pixels;
}

const char* file_name(const char* path) {
    const char* slash = std::strrchr(path, '/');
    return slash == nullptr ? path : slash + 1;
}

struct Named {
    Isa isa;
    const char* name;
};
constexpr Named kSets[] = {{Isa::reference, "reference"},
                           {Isa::portable, "portable"},
                           {Isa::neon, "neon"},
                           {Isa::avx2, "avx2"},
                           {Isa::avx512, "avx512"}};

void print(const char* file, const Weights& weights, const char* image_name, const ImageView& image, const char* set,
           const Options& options) {
    const Result<AnyDetector> detector = AnyDetector::create(weights, options);
    if (!detector) return;  // a set that this machine lacks
    Workspace workspace;
    const RawOutputs raw = (*detector).forward(image, workspace);
    const std::uint64_t outputs[3] = {hash(raw.class_logits), hash(raw.boxes), hash(raw.landmarks)};
    const Span<const Face> faces = (*detector).detect(image, workspace);
    std::printf("%s %s %dx%d %s threads %d: %016llx %016llx %016llx faces %zu %016llx\n", file, image_name, image.width,
                image.height, set, options.threads, static_cast<unsigned long long>(outputs[0]),
                static_cast<unsigned long long>(outputs[1]), static_cast<unsigned long long>(outputs[2]), faces.size(),
                static_cast<unsigned long long>(hash(faces)));
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) return 2;
    const Weights weights = Weights::load(argv[1]);
    for (int i = 2; i < argc; ++i) {
        int width = 0, height = 0;
        const std::vector<unsigned char> pixels = read_ppm(argv[i], width, height);
        if (pixels.empty()) return 1;
        // The whole image, and odd parts of it.
        const int sizes[][2] = {{width, height}, {317, 243}, {65, 33}, {1, 1}, {7, 200}, {130, 131}};
        for (const auto& size : sizes) {
            if (size[0] > width || size[1] > height) continue;
            const ImageView view(pixels.data(), size[0], size[1], PixelFormat::rgb8, 3 * width);
            for (const Named& set : kSets) {
                if (set.isa == Isa::reference && size[0] * size[1] > 320 * 320) continue;  // slow
                Options options;
                options.isa = set.isa;
                options.score_threshold = 0.02f;
                for (const int threads : {1, 3}) {
                    options.threads = threads;
                    print(file_name(argv[1]), weights, file_name(argv[i]), view, set.name, options);
                }
                options.threads = 2;
                options.scales = {1, 0.5f};
                options.flip = true;
                options.voting = Voting::paper;
                if (set.isa != Isa::reference) print("augmented", weights, "", view, set.name, options);
            }
        }
    }
    return 0;
}
