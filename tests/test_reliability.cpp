// What nothing brings down: memory that ends, threads that are not to be had, fork(), executors that throw, frames that are too short.
// docs/reliability.md says what else was tried.

#include <doctest/doctest.h>

#if defined(__unix__)
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

#include <atomic>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "images.hpp"
#include "retinaface.hpp"
#include "support/allocations.hpp"
#include "support/trim.hpp"
#include "weights_files.hpp"

namespace {

using namespace retinaface_test;
using namespace retinaface;

Options low_threshold(int threads = 1) {
    Options options;
    options.score_threshold = 0.02f;
    options.threads = threads;
    return options;
}

bool same(Span<const Face> a, Span<const Face> b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(Face)) == 0);
}

constexpr std::array<Point, 5> kLandmarks = {Point{20, 20}, {40, 20}, {30, 32}, {22, 42}, {38, 42}};

TEST_CASE("every function that can fail has a form that does not throw") {
    const Weights* weights = nullptr;
    const Detector* detector = nullptr;
    Aligner* aligner = nullptr;
    Workspace* workspace = nullptr;
    const ImageView image;
    const RawOutputs outputs;
    const std::string name;  // made beforehand: its making may throw
    static_assert(noexcept(Weights::try_load(name)));
    static_assert(noexcept(Weights::try_from_memory(nullptr, 0)));
    static_assert(noexcept(Weights::try_from_embedded(embedded::kDefaultWeights)));
    static_assert(noexcept(weights->find_metadata(name)));
    static_assert(noexcept(Detector::create(*weights)));
    static_assert(noexcept(Detector::create(Options())));
    static_assert(noexcept(detector->try_detect(image)));
    static_assert(noexcept(detector->try_detect(image, *workspace)));
    static_assert(noexcept(detector->try_detect(Span<const ImageView>())));
    std::vector<MeshCorrection>* corrections = nullptr;
    std::vector<std::vector<MeshCorrection>>* many = nullptr;
    static_assert(noexcept(detector->try_detect(image, *corrections)));
    static_assert(noexcept(detector->try_detect(Span<const ImageView>(), *many)));
    static_assert(noexcept(detector->try_mesh_corrections(*workspace)));
    static_assert(noexcept(detector->try_forward(image, *workspace)));
    static_assert(noexcept(detector->try_decode(outputs, *workspace)));
    static_assert(noexcept(detector->try_self_test()));
    static_assert(noexcept(detector->trim()));
    static_assert(noexcept(workspace->trim()));
    static_assert(noexcept(Scales::create(nullptr, 0)));
    static_assert(noexcept(try_validate(image)));
    static_assert(noexcept(try_find_profile(name)));
    static_assert(noexcept(try_arcface_template(1)));
    static_assert(noexcept(try_estimate_similarity({}, {})));
    static_assert(noexcept(Aligner::create(AlignTemplate())));
    static_assert(noexcept(aligner->try_crop(image, kLandmarks)));
    static_assert(noexcept(aligner->try_warp(image, Similarity())));

    // And they say what the throwing forms say.
    const float factors[] = {1, 100};
    CHECK(Scales::create(factors, 1).has_value());
    CHECK(Scales::create(factors, 2).error().code() == ErrorCode::invalid_argument);
    CHECK_THROWS_WITH_AS(Scales(factors, 2), Scales::create(factors, 2).error().what(), Error);
    CHECK(try_arcface_template(224)->width == 224);
    CHECK_THROWS_WITH_AS(arcface_template(100), try_arcface_template(100).error().what(), Error);
    CHECK(Aligner::create({}).error().code() == ErrorCode::invalid_argument);
    CHECK((*try_find_profile("paper"))->name == std::string("paper"));
    CHECK(try_find_profile("papers").error().code() == ErrorCode::mismatch);
    Aligner crops;
    CHECK(crops.try_warp(image, Similarity()).error().code() == ErrorCode::invalid_argument);
    const Picture picture = random_picture(64, 48, 1);
    CHECK(crops.try_warp(picture.view(), Similarity()).has_value());
    CHECK(crops.try_warp(picture.view(), Similarity{0, 0, 0, 0}).error().code() == ErrorCode::invalid_argument);
    const float nan = std::nanf("");
    CHECK_FALSE(crops.try_warp(picture.view(), Similarity{1, 0, static_cast<double>(nan), 0}).has_value());
    const Detector light{low_threshold()};
    CHECK(light.try_self_test()->passed);
    Workspace own;
    CHECK(light.try_forward(image, own).error().code() == ErrorCode::invalid_argument);
}

TEST_CASE("memory that ends anywhere is an error, never the end of the program") {
    const Bytes file = read_file(source_file("weights/retinaface_mobilenet025.safetensors"));
    const Weights weights = Weights::from_memory(file.data(), file.size());
    const Picture picture = random_picture(96, 64, 3);
    const Detector one{weights, low_threshold()}, three{weights, low_threshold(3)};
    Options looks = low_threshold();
    looks.scales = {1, 0.5f};
    looks.flip = true;
    looks.voting = Voting::paper;
    looks.rotation = Rotation::clockwise_90;
    const Detector several{weights, looks};
    const std::vector<ImageView> batch(4, picture.view());
    const std::string path = source_file("weights/retinaface_mobilenet025.safetensors");

    // Each makes its objects anew, so that everything is allocated.
    using Attempt = std::function<ErrorCode()>;
    constexpr ErrorCode kFine = static_cast<ErrorCode>(-1);
    const auto code = [](const auto& result) { return result ? kFine : result.error().code(); };
    const auto detect = [&](const Detector& detector) {
        return [&] {
            detector.trim();
            const auto found = detector.try_detect(picture.view());
            return code(found);
        };
    };
    const std::pair<const char*, Attempt> attempts[] = {
        {"load", [&] { return code(Weights::try_load(path)); }},
        {"from memory", [&] { return code(Weights::try_from_memory(file.data(), file.size())); }},
        {"embedded", [&] { return code(Weights::try_from_embedded(embedded::kDefaultWeights)); }},
        {"a message",
         [&] {
             return code(Weights::try_from_memory(file.data(), 7)) == ErrorCode::bad_format ? kFine : ErrorCode::out_of_memory;
         }},
        {"create", [&] { return code(Detector::create(weights, low_threshold())); }},
        {"create with threads", [&] { return code(Detector::create(weights, low_threshold(4))); }},
        {"detect", detect(one)},
        {"detect with threads", detect(three)},
        {"detect a batch",
         [&] {
             three.trim();
             return code(three.try_detect(Span<const ImageView>(batch)));
         }},
        {"detect, several looks", detect(several)},
        {"self-test", [&] { return code(one.try_self_test()); }},
        {"align",
         [&] {
             Result<Aligner> aligner = Aligner::create(arcface_template());
             return aligner ? code((*aligner).try_crop(picture.view(), kLandmarks)) : aligner.error().code();
         }},
    };
    for (const auto& [name, attempt] : attempts) {
        CAPTURE(std::string(name));
        long points = 0, wrong = 0;
        ErrorCode found = ErrorCode::out_of_memory;
        for (long allowed = 0; found != kFine && allowed < 1000000;
             allowed += allowed < 100 && !trimmed() ? 1 : allowed / 8 + 1) {
            {
                const FailingAllocations failing(allowed);
                found = attempt();
            }
            ++points;
            if (found != kFine && found != ErrorCode::out_of_memory) ++wrong;
        }
        CHECK(found == kFine);
        CHECK(wrong == 0);
        CHECK(points > 1);
        MESSAGE(std::string(name) << ": " << points << " points");
    }
    CHECK(same(one.detect(picture.view()), three.detect(picture.view())));
}

/// Throws what it is told to.
class ThrowingExecutor : public Executor {
public:
    void run(int count, TaskRef task) override {
        if (thrown) thrown();
        for (int i = 0; i < count; ++i) task(i);
    }
    std::function<void()> thrown;
};

TEST_CASE("what an executor throws comes back as an error") {
    ThrowingExecutor executor;
    Options options = low_threshold(2);
    options.executor = &executor;
    const Detector detector{options};
    const Picture picture = random_picture(64, 48, 2);
    const std::vector<Face> faces = detector.detect(picture.view());
    struct Throw {
        std::function<void()> thrown;
        ErrorCode code;
        const char* words;
    };
    struct Odd {};
    const Throw throws[] = {
        {[] { throw std::runtime_error("queue closed"); }, ErrorCode::unexpected, "queue closed"},
        {[] { throw 7; }, ErrorCode::unexpected, "no std::exception"},
        {[] { throw Odd(); }, ErrorCode::unexpected, "no std::exception"},
        {[] { throw std::bad_alloc(); }, ErrorCode::out_of_memory, "out of memory"},
        {[] { throw Error(ErrorCode::io, "its own"); }, ErrorCode::io, "its own"},
    };
    for (const Throw& one : throws) {
        executor.thrown = one.thrown;
        const Result<std::vector<Face>> found = detector.try_detect(picture.view());
        REQUIRE_FALSE(found.has_value());
        CHECK(found.error().code() == one.code);
        CHECK(std::string(found.error().what()).find(one.words) != std::string::npos);
        // The throwing form lets it through as it is.
        CHECK_THROWS(detector.detect(picture.view()));
        executor.thrown = nullptr;
        CHECK(same(detector.detect(picture.view()), faces));
    }
}

TEST_CASE("a frame shorter than its geometry is an error") {
    const Detector detector{low_threshold()};
    const Bytes memory(4096, 77);
    struct Case {
        PixelFormat format;
        std::ptrdiff_t stride;
        std::size_t needed;
    };
    // 31 x 21 pixels.
    for (const Case& one :
         {Case{PixelFormat::rgb8, 0, 31 * 3 * 21}, Case{PixelFormat::rgb8, 100, 100 * 20 + 93},
          Case{PixelFormat::rgb8, -100, 100 * 20 + 93}, Case{PixelFormat::gray8, 0, 31 * 21}, Case{PixelFormat::yuyv, 0, 64 * 21},
          Case{PixelFormat::nv12, 0, 31 * 21 + 32 * 11}, Case{PixelFormat::nv21, 40, 40 * 21 + 40 * 10 + 32}}) {
        CAPTURE(static_cast<int>(one.format));
        CAPTURE(one.stride);
        const std::size_t first = one.stride < 0 ? 20 * 100 : 0;
        ImageView view(memory.data() + first, 31, 21, one.format, one.stride, one.needed);
        CHECK(detector.try_detect(view).has_value());
        view.size = one.needed - 1;
        const Result<std::vector<Face>> found = detector.try_detect(view);
        REQUIRE_FALSE(found.has_value());
        CHECK(found.error().code() == ErrorCode::invalid_argument);
        CHECK(std::string(found.error().what()) == "image: 31 x 21 pixels need " + std::to_string(one.needed) + " bytes, found " +
                                                       std::to_string(one.needed - 1) + " (a frame cut short?)");
        view.size = 0;  // not known
        CHECK(detector.try_detect(view).has_value());
    }
    // Rows of U and V elsewhere have their own memory.
    ImageView view = nv12_view(memory.data(), 31, 21, YuvRange::video, 0, memory.data() + 2000);
    view.size = 31 * 21;
    CHECK(detector.try_detect(view).has_value());
}

TEST_CASE("raw outputs with values too few or too many are an error") {
    const Detector detector{low_threshold()};
    const Picture picture = random_picture(64, 48, 5);
    Workspace workspace, second;
    const RawOutputs whole = detector.forward(picture.view(), workspace);
    CHECK(same(detector.decode(whole, second), detector.detect(picture.view())));
    for (const std::ptrdiff_t change : {-1, -4, 1}) {
        for (Span<const float> RawOutputs::*span : {&RawOutputs::class_logits, &RawOutputs::boxes, &RawOutputs::landmarks}) {
            RawOutputs outputs = whole;
            outputs.*span = {(whole.*span).data(),
                             static_cast<std::size_t>(static_cast<std::ptrdiff_t>((whole.*span).size()) + change)};
            const Result<Span<const Face>> found = detector.try_decode(outputs, second);
            REQUIRE_FALSE(found.has_value());
            CHECK(found.error().code() == ErrorCode::invalid_argument);
        }
    }
    CHECK(detector.try_decode({}, second)->empty());
}

TEST_CASE("trim gives memory back, and changes nothing else") {
    const Detector detector{low_threshold()};
    const Picture picture = random_picture(200, 150, 6);
    Workspace workspace;
    const std::vector<Face> faces = detector.detect(picture.view());
    const long few = allocations_of([&] { detector.detect(picture.view()); });
    detector.trim();
    CHECK(allocations_of([&] { CHECK(same(detector.detect(picture.view()), faces)); }) > few + 5);
    CHECK(same(detector.detect(picture.view(), workspace), faces));
    workspace.trim();
    CHECK(same(detector.detect(picture.view(), workspace), faces));
    // While others detect.
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i)
        threads.emplace_back([&] {
            for (int round = 0; round < (trimmed() ? 3 : 20); ++round) {
                if (!same(detector.detect(picture.view()), faces)) ++wrong;
                detector.trim();
            }
        });
    for (std::thread& thread : threads) thread.join();
    CHECK(wrong == 0);
}

#if defined(__unix__)

bool emulated() { return std::getenv("RETINAFACE_EMULATED") != nullptr; }

/// Exit code of a forked child that runs `function` (0: true), or -1 where a signal ended it: SIGALRM after a minute.
int child(const std::function<bool()>& function) {
    const pid_t pid = fork();
    if (pid == 0) {
        alarm(trimmed() ? 240 : 60);
        _exit(function() ? 0 : 1);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_CASE("a child of fork() finds what its parent finds") {
    if (emulated()) return;  // qemu's own threads do not survive one
    const Picture picture = random_picture(160, 120, 7);
    const std::vector<Face> faces = Detector{low_threshold()}.detect(picture.view());
    REQUIRE_FALSE(faces.empty());
    for (int threads = 1; threads <= 4; ++threads) {
        CAPTURE(threads);
        auto detector = std::make_unique<Detector>(low_threshold(threads));
        const auto finds = [&] { return same(detector->detect(picture.view()), faces); };
        // Frames, a grandchild, and the end of the detector.
        const auto all = [&] {
            if (!finds() || !finds() || child(finds) != 0) return false;
            detector.reset();
            return true;
        };
        if (trimmed()) finds();  // a sanitizer's allocator locks while a worker starts, and its child would wait for ever
        CHECK(child([&] {
                  detector.reset();
                  return true;
              }) == 0);
        CHECK(child(all) == 0);
        CHECK(finds());
        CHECK(child(all) == 0);
        CHECK(finds());
        CHECK(child(all) == 0);
    }
}

TEST_CASE("a child of fork() in the middle of other threads' frames") {
    if (emulated() || trimmed()) return;  // sanitizers' allocators lock
    const Picture picture = random_picture(160, 120, 7);
    const Detector detector{low_threshold(2)};
    const std::vector<Face> faces = detector.detect(picture.view());
    std::atomic<bool> stop{false};
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i)
        threads.emplace_back([&] {
            while (!stop) detector.detect(picture.view());
        });
    int wrong = 0;
    for (int round = 0; round < 30; ++round) wrong += child([&] { return same(detector.detect(picture.view()), faces); }) != 0;
    stop = true;
    for (std::thread& thread : threads) thread.join();
    CHECK(wrong == 0);
}

TEST_CASE("threads that the system does not give are an error that says so") {
    if (emulated() || trimmed()) return;  // sanitizers need the address space
    const Weights weights = Weights::from_embedded(embedded::kDefaultWeights);
    CHECK(child([&] {
              // Room for less than the stacks of sixty threads.
              const rlimit limit{std::size_t{400} << 20, std::size_t{400} << 20};
              if (setrlimit(RLIMIT_AS, &limit) != 0) return false;
              const Result<Detector> many = Detector::create(weights, low_threshold(kMaxThreads));
              if (many || many.error().code() != ErrorCode::no_threads) return false;
              if (std::string(many.error().what()).find("64 threads were asked for, the system gives ") == std::string::npos)
                  return false;
              return Detector::create(weights, low_threshold(2)).has_value();
          }) == 0);
}

#endif

}  // namespace
