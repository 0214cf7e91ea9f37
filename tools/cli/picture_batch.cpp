#include "picture_batch.hpp"

#include <algorithm>
#include <filesystem>
#include <thread>

namespace cli {

void add_batch_arguments(CLI::App& command, BatchArguments& arguments, bool csv) {
    CLI::Option* json =
        command.add_option("--json", arguments.json, "Write JSON lines, one a picture, to FILE or with - to standard output")
            ->type_name("FILE|-");
    CLI::Option* resume =
        command.add_flag("--resume", arguments.resume,
                         "Leave out the pictures that the output FILE has, and go on at its end; a torn last line is mended");
    if (csv)
        command.add_option("--csv", arguments.csv, "Write a table, a row a face, to FILE or with - to standard output")
            ->type_name("FILE|-")
            ->excludes(json);
    command.add_option("--jobs", arguments.jobs, "Pictures at a time, decoding included; 0: one a core")
        ->type_name("N")
        ->check(CLI::Range(0, retinaface::kMaxThreads))
        ->capture_default_str();
    command.add_flag("--progress", arguments.progress,
                     "Say on standard error how far it is, and at the end how fast, in how much memory");
    const std::string files = csv ? "--json FILE or --csv FILE" : "--json FILE";
    add_input_arguments(command, arguments.inputs, [&arguments, resume, files] {
        if (arguments.jobs == 0)
            arguments.jobs = std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, retinaface::kMaxThreads);
        if (arguments.resume && (arguments.output().empty() || arguments.output() == "-"))
            throw CLI::ValidationError(resume->get_name(), "needs a FILE to go on with: " + files);
    });
}

namespace {

ExistingRecords mended(const BatchArguments& arguments) {
    if (!arguments.resume) return {};
    const std::string& path = arguments.output();
    ExistingRecords existing = read_records(arguments.format(), path);
    std::error_code error;
    if (std::filesystem::is_regular_file(path, error) && std::filesystem::file_size(path, error) > existing.bytes)
        std::filesystem::resize_file(path, existing.bytes, error);
    if (error && error != std::errc::no_such_file_or_directory)
        throw retinaface::Error(retinaface::ErrorCode::io, "cannot mend " + path + ": " + error.message());
    return existing;
}

}  // namespace

Records::Records(const BatchArguments& arguments)
    : existing(mended(arguments)), lines(arguments.output(), first_of(arguments.format()), arguments.resume) {
    if (arguments.format() == RecordFormat::csv && existing.bytes == 0) lines.write(kCsvHeader);
}

}  // namespace cli
