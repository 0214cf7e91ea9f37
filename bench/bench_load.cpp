// What it takes before the first frame: weights from memory with the hash held against the bytes and without, from the program, and a
// detector made of them. RETINAFACE_BENCH_MODEL names the weights file (default: the shipped one).
#include <benchmark/benchmark.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "retinaface.hpp"

namespace {

using namespace retinaface;

std::string file_bytes() {
    const char* const named = std::getenv("RETINAFACE_BENCH_MODEL");
    std::ifstream file(named != nullptr ? named : RETINAFACE_SOURCE_DIR "/weights/retinaface_mobilenet025.safetensors",
                       std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// The same file, as one of the format before hashes.
std::string without_hash(std::string bytes) {
    const auto put = [&](const char* found, const char* replacement) {
        if (const std::size_t at = bytes.find(found); at != std::string::npos)
            bytes.replace(at, std::string(found).size(), replacement);
    };
    put("\"hash\":\"blake2b", "\"note\":\"blake2b");
    put("retinaface-weights-2", "retinaface-weights-1");
    return bytes;
}

void from_memory(benchmark::State& state, const std::string& bytes) {
    for (auto _ : state) benchmark::DoNotOptimize(Weights::from_memory(bytes.data(), bytes.size()));
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes.size()));
}

void from_program(benchmark::State& state) {
    for (auto _ : state) benchmark::DoNotOptimize(Weights::from_embedded(embedded::kDefaultWeights));
}

void create(benchmark::State& state, const Weights& weights) {
    for (auto _ : state) benchmark::DoNotOptimize(AnyDetector(weights));
}

}  // namespace

int main(int argc, char** argv) {
    const std::string bytes = file_bytes(), unhashed = without_hash(bytes);
    const Weights weights = Weights::from_memory(bytes.data(), bytes.size());
    benchmark::RegisterBenchmark("load/hash", from_memory, bytes)->Unit(benchmark::kMillisecond);
    benchmark::RegisterBenchmark("load/no hash", from_memory, unhashed)->Unit(benchmark::kMillisecond);
    benchmark::RegisterBenchmark("load/embedded", from_program)->Unit(benchmark::kMillisecond);
    benchmark::RegisterBenchmark("create", create, weights)->Unit(benchmark::kMillisecond);
    benchmark::Initialize(&argc, argv);
    benchmark::RunSpecifiedBenchmarks();
}
