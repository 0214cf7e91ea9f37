// The dense branch: decoding against the machine's floor and against Eigen's sparse algebra, and the rasteriser.
//
//   bench_mesh [--seeded FILE] [--isa NAME]     (FILE: python3 tools/mesh/seeded.py --out FILE)
//
// Everything is measured in one run on one thread, in turns of four calls of which the first is not timed; medians. The floor of a decoder
// is the larger of its multiply-adds at the measured peak and its loads at the measured rates: what the dense products broadcast and
// what the sparse rows read from the first cache, every map written and read once from the second.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "peak.hpp"
#include "retinaface/mesh.hpp"

#if __has_include(<eigen3/Eigen/SparseCore>)
#include <eigen3/Eigen/SparseCore>
#define HAVE_EIGEN 1
#else
#define HAVE_EIGEN 0
#endif

namespace rf = retinaface;
using Clock = std::chrono::steady_clock;

namespace {

struct Timing {
    std::string name;
    std::function<void()> run;
    std::vector<double> seconds;
    double median() {
        std::sort(seconds.begin(), seconds.end());
        return seconds[seconds.size() / 2];
    }
};

void interleave(std::vector<Timing>& timings, double budget) {
    for (Timing& t : timings) t.run();
    const auto end = Clock::now() + std::chrono::duration<double>(budget);
    do {
        for (Timing& t : timings) {
            t.run();  // not timed: caches hold what the one before left
            for (int i = 0; i < 3; ++i) {
                const auto start = Clock::now();
                t.run();
                t.seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
            }
        }
    } while (Clock::now() < end || timings[0].seconds.size() < 15);
}

/// Bytes a second that one core sums from a buffer of that size.
double load_rate(std::size_t bytes) {
    rf::detail::AlignedBuffer buffer(bytes / 4);
    std::fill_n(buffer.data(), bytes / 4, 1.0f);
    double best = 0;
    for (int round = 0; round < 40; ++round) {
        const std::size_t repeats = (std::size_t{1} << 24) / bytes + 1;
        const auto start = Clock::now();
        for (std::size_t r = 0; r < repeats; ++r) {
#if RETINAFACE_X86_64
            [&]() __attribute__((target("avx2"))) {
                // Variables, not an array, which compilers would keep in memory.
                const __m256 none = _mm256_setzero_ps();
                __m256 s0 = none, s1 = none, s2 = none, s3 = none, s4 = none, s5 = none, s6 = none, s7 = none;
                for (const float *p = buffer.data(), *end = p + bytes / 4; p + 64 <= end; p += 64) {
                    s0 = _mm256_add_ps(s0, _mm256_load_ps(p));
                    s1 = _mm256_add_ps(s1, _mm256_load_ps(p + 8));
                    s2 = _mm256_add_ps(s2, _mm256_load_ps(p + 16));
                    s3 = _mm256_add_ps(s3, _mm256_load_ps(p + 24));
                    s4 = _mm256_add_ps(s4, _mm256_load_ps(p + 32));
                    s5 = _mm256_add_ps(s5, _mm256_load_ps(p + 40));
                    s6 = _mm256_add_ps(s6, _mm256_load_ps(p + 48));
                    s7 = _mm256_add_ps(s7, _mm256_load_ps(p + 56));
                }
                asm volatile("" : : "x"(s0), "x"(s1), "x"(s2), "x"(s3), "x"(s4), "x"(s5), "x"(s6), "x"(s7));
            }
            ();
#else
            float sum = 0;
            for (std::size_t i = 0; i < bytes / 4; ++i) sum += buffer.data()[i];
            asm volatile("" : : "r"(&sum) : "memory");
#endif
        }
        best = std::max(best, static_cast<double>(bytes * repeats) / std::chrono::duration<double>(Clock::now() - start).count());
    }
    return best;
}

/// The multiply-adds of the layers as the paper counts them (every term on the inputs), and bytes loaded, from the file's own sizes.
struct Work {
    double macs = 0, first = 0, second = 0;
};

struct Level {
    int vertices, in, out, terms;
    std::size_t laplacian, upsample;
};

std::vector<Level> levels_of(const rf::Weights& weights) {
    std::vector<Level> levels;
    const auto shape = [&](const std::string& name) { return weights.find(name)->shape; };
    int features = static_cast<int>(shape("fc.weight")[1]);
    for (int i = 0; weights.find("level" + std::to_string(i) + ".weight") != nullptr; ++i) {
        const std::string name = "level" + std::to_string(i);
        const auto w = shape(name + ".weight");
        levels.push_back({static_cast<int>(shape(name + ".laplacian.counts")[0]), features, static_cast<int>(w[1]),
                          static_cast<int>(w[0]) / features, static_cast<std::size_t>(shape(name + ".laplacian.indices")[0]),
                          static_cast<std::size_t>(shape(name + ".upsample.indices")[0])});
        features = static_cast<int>(w[1]);
    }
    Level last = levels.back();
    last.in = features;
    last.out = 6;
    last.terms = static_cast<int>(shape("last.weight")[0]) / features;
    last.upsample = 0;
    levels.push_back(last);
    return levels;
}

Work work_of(const Level& l, int lanes) {
    Work w;
    const double n = l.vertices,
                 nonzeros = static_cast<double>(l.terms - 1) * static_cast<double>(l.laplacian) + static_cast<double>(l.upsample);
    w.macs = n * l.in * l.terms * l.out + nonzeros * l.in;
    // A row of x, a value and an index a non-zero; a broadcast a dense multiply-add of a vector of outputs.
    const double vectors = std::ceil(static_cast<double>(l.out) / lanes);
    w.first = nonzeros * (4.0 * l.in + 8) + n * l.in * l.terms * vectors * 4;
    w.second = n * 4.0 * (2.0 * l.in * l.terms + 2.0 * l.out);
    return w;
}

#if HAVE_EIGEN
using Sparse = Eigen::SparseMatrix<float, Eigen::RowMajor>;
using Dense = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// The chain of layers written with Eigen, from the same file.
class EigenDecoder {
public:
    explicit EigenDecoder(const rf::Weights& weights) {
        const auto values = [&](const std::string& name) { return weights.find(name)->values; };
        const auto dense = [&](const std::string& name, int rows, int columns) {
            return Dense(Eigen::Map<const Dense>(weights.find(name)->values.data(), rows, columns));
        };
        const auto sparse = [&](const std::string& name, int columns) {
            const auto& counts = weights.find(name + ".counts")->bytes;
            const auto& bytes = weights.find(name + ".indices")->bytes;
            const auto& v = values(name + ".values");
            std::vector<Eigen::Triplet<float>> entries;
            std::size_t e = 0;
            for (std::size_t row = 0; row < counts.size(); ++row)
                for (int i = 0; i < counts[row]; ++i, ++e)
                    entries.emplace_back(static_cast<int>(row), bytes[2 * e] | bytes[2 * e + 1] << 8, v[e]);
            Sparse m(static_cast<int>(counts.size()), columns);
            m.setFromTriplets(entries.begin(), entries.end());
            return m;
        };
        int vertices = static_cast<int>(weights.find("fc.weight")->shape[0]),
            features = static_cast<int>(weights.find("fc.weight")->shape[1]);
        fc_ = dense("fc.weight", vertices * features, 128);
        fc_bias_ = dense("fc.bias", vertices * features, 1);
        coarse_ = vertices;
        for (const Level& l : levels_of(weights)) {
            Layer layer;
            layer.terms = l.terms;
            const bool last = l.upsample == 0;
            const std::string name = last ? "last" : "level" + std::to_string(layers_.size());
            if (!last) {
                layer.upsample = sparse(name + ".upsample", vertices);
                laplacians_.push_back(std::make_unique<Sparse>(sparse(name + ".laplacian", l.vertices)));
                layer.bias = dense(name + ".bias", 1, l.out);
            }
            layer.laplacian = laplacians_.back().get();
            const Dense stored = dense(name + ".weight", l.in * l.terms, l.out);
            for (int k = 0; k < l.terms; ++k) {
                Dense w(l.in, l.out);
                for (int f = 0; f < l.in; ++f) w.row(f) = stored.row(f * l.terms + k);
                layer.weights.push_back(w);
            }
            layers_.push_back(std::move(layer));
            vertices = l.vertices;
        }
        mean_ = dense("mean", vertices, 6);
    }

    Dense decode(const float* latent) const {
        const Eigen::VectorXf flat = fc_ * Eigen::Map<const Eigen::VectorXf>(latent, 128) + fc_bias_;
        Dense x = Eigen::Map<const Dense>(flat.data(), coarse_, flat.size() / coarse_);
        for (const Layer& layer : layers_) {
            const bool last = layer.bias.size() == 0;
            Dense before, current = last ? x : Dense(layer.upsample * x), next;
            Dense y = current * layer.weights[0];
            for (std::size_t k = 1; k < layer.weights.size(); ++k) {
                next.noalias() = *layer.laplacian * current;
                if (k > 1) next = 2 * next - before;
                y.noalias() += next * layer.weights[k];
                before.swap(current);
                current.swap(next);
            }
            if (!last) y = (y.rowwise() + Eigen::RowVectorXf(layer.bias)).cwiseMax(0);
            x.swap(y);
        }
        return x + mean_;
    }

private:
    struct Layer {
        Sparse upsample;
        const Sparse* laplacian = nullptr;
        std::vector<Dense> weights;
        Dense bias;
        int terms = 0;
    };
    Dense fc_, fc_bias_, mean_;
    int coarse_ = 0;
    std::vector<std::unique_ptr<Sparse>> laplacians_;
    std::vector<Layer> layers_;
};
#endif

void bench_decoder(const char* title, const rf::Weights& weights, rf::Isa isa, double peak) {
    const int lanes = isa == rf::Isa::avx512 ? 16 : isa == rf::Isa::avx2 ? 8 : 4;
    rf::MeshDecoder decoder(weights, isa), batched(weights, isa);
    std::vector<float> latents(8 * 128);
    for (std::size_t i = 0; i < latents.size(); ++i) latents[i] = static_cast<float>(static_cast<int>(i * 37 % 101) - 50) / 50.0f;
    float sink = 0;
    std::vector<Timing> timings;
    timings.push_back({"decode, one face", [&] { sink += decoder.decode({latents.data(), 128})[0].vertices[0]; }, {}});
    timings.push_back({"decode, eight faces", [&] { sink += batched.decode(latents)[0].vertices[0]; }, {}});
    const std::vector<Level> levels = levels_of(weights);
    struct Maps {
        rf::detail::AlignedBuffer x, y, scratch;
    };
    std::vector<Maps> maps(levels.size());
    const rf::detail::Parallel alone(nullptr, 1);
    for (std::size_t i = 0; i < levels.size(); ++i) {
        const rf::ChebConv& layer = decoder.layers()[i];
        maps[i].x.reserve(static_cast<std::size_t>(layer.vertices_in()) *
                          static_cast<std::size_t>(rf::ChebConv::channels(layer.features_in())));
        std::fill_n(maps[i].x.data(), maps[i].x.size(), 0.5f);
        maps[i].y.reserve(static_cast<std::size_t>(layer.vertices()) *
                          static_cast<std::size_t>(rf::ChebConv::channels(layer.features_out())));
        maps[i].scratch.reserve(layer.scratch(1, 1));
        timings.push_back(
            {"layer",
             [&, i] { decoder.layers()[i].run(maps[i].x.data(), 1, maps[i].y.data(), maps[i].scratch.data(), alone); },
             {}});
    }
#if HAVE_EIGEN
    const EigenDecoder eigen(weights);
    Dense expected = eigen.decode(latents.data());
    double worst = 0, most = 0;
    const rf::DecodedMesh mesh = decoder.decode({latents.data(), 128})[0];
    for (int v = 0; v < decoder.vertices(); ++v)
        for (int c = 0; c < 3; ++c) {
            worst = std::max(worst,
                             static_cast<double>(std::abs(mesh.vertices[static_cast<std::size_t>(3 * v + c)] - expected(v, c))));
            most = std::max(most, static_cast<double>(std::abs(expected(v, c))));
        }
    std::printf("# differs from Eigen by at most %.2g of %.3g\n", worst, most);
    timings.push_back({"Eigen", [&] { sink += eigen.decode(latents.data())(0, 0); }, {}});
#endif
    interleave(timings, 8);
    const double first_rate = load_rate(16 << 10), second_rate = load_rate(256 << 10);
    const auto floor = [&](const Work& w) { return std::max({2 * w.macs / peak, w.first / first_rate, w.second / second_rate}); };
    std::printf("%s, %s: peak %.1f GFLOP/s, loads %.0f and %.0f GB/s\n", title, rf::to_string(isa), peak / 1e9, first_rate / 1e9,
                second_rate / 1e9);
    Work total;
    for (std::size_t i = 0; i < levels.size(); ++i) {
        const Work w = work_of(levels[i], lanes);
        total.macs += w.macs;
        total.first += w.first;
        total.second += w.second;
        const double seconds = timings[2 + i].median();
        std::printf("  %6d vertices, %2d -> %2d: %6.2f M multiply-adds, %7.3f ms, %4.2f of peak, %4.2f x floor\n",
                    levels[i].vertices, levels[i].in, levels[i].out, w.macs / 1e6, seconds * 1e3, 2 * w.macs / seconds / peak,
                    seconds / floor(w));
    }
    const double one = timings[0].median(), eight = timings[1].median() / 8;
    std::printf("  one face: %.3f ms, %.0f faces/s, %.1f M multiply-adds, %.2f x floor (%.3f ms)\n", one * 1e3, 1 / one,
                total.macs / 1e6, one / floor(total), floor(total) * 1e3);
    std::printf("  of eight: %.3f ms a face, %.0f faces/s\n", eight * 1e3, 1 / eight);
#if HAVE_EIGEN
    std::printf("  Eigen: %.3f ms, %.1f x ours\n", timings.back().median() * 1e3, timings.back().median() / one);
#endif
    if (sink == 12345.0f) std::printf("\n");
}

void bench_raster(rf::Isa isa) {
    rf::MeshDecoder decoder(rf::default_mesh_weights(), isa);
    const std::vector<float> latent(128, 0.0f);
    const rf::DecodedMesh mesh = decoder.decode(latent)[0];
    rf::Camera camera;
    camera.location = {0, 0, 60};
    camera.target = {0, -1, 8};
    camera.focal_length = 600;
    const rf::MeshView view{mesh.vertices, decoder.triangles(), mesh.colours};
    const rf::Projection projection = camera.projection(256, 256);
    rf::Rasteriser rasteriser(isa), scalar(rf::Isa::reference);
    rf::Options options;
    options.isa = isa;
    const rf::Detector detector(options);
    rf::Workspace workspace;
    const std::vector<std::uint8_t> picture(320 * 240 * 3, 90);
    std::vector<Timing> timings;
    timings.push_back({"drawn, everything", [&] { rasteriser.render(view, projection, 256, 256); }, {}});
    timings.push_back({"drawn, depth and triangles",
                       [&] {
                           rasteriser.render(view, projection, 256, 256, {}, {false, false});
                       },
                       {}});
    timings.push_back({"by the scalar reference, everything", [&] { scalar.render(view, projection, 256, 256); }, {}});
    timings.push_back({"detector, 320 x 240", [&] { detector.detect({picture.data(), 320, 240}, workspace); }, {}});
    interleave(timings, 5);
    std::printf("the shipped mesh at 256 x 256, %s\n", rf::to_string(isa));
    for (Timing& t : timings)
        std::printf("  %-36s %7.3f ms, %5.2f x the first\n", t.name.c_str(), t.median() * 1e3, t.median() / timings[0].median());
}

}  // namespace

int main(int argc, char** argv) {
    std::string seeded;
    rf::Isa isa = rf::Isa::automatic;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (std::strcmp(argv[i], "--seeded") == 0) {
            seeded = argv[i + 1];
        } else if (std::strcmp(argv[i], "--isa") != 0 || !rf::parse_isa(argv[i + 1], isa)) {
            std::fprintf(stderr, "usage: bench_mesh [--seeded FILE] [--isa NAME]\n");
            return 2;
        }
    }
    isa = rf::resolved(isa);
    const double peak = bench::measured_peak(isa);
    if (!seeded.empty()) bench_decoder("the paper's size", rf::Weights::load(seeded), isa, peak);
    bench_decoder("the shipped mesh", rf::default_mesh_weights(), isa, peak);
    bench_raster(isa);
}
