// The work that `detect` and `align` share: many pictures, several at a time, one record each, in order.
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "batch.hpp"
#include "image_file.hpp"
#include "inputs/inputs.hpp"
#include "interrupt.hpp"
#include "output.hpp"
#include "progress.hpp"
#include "records.hpp"
#include "retinaface.hpp"
#include "subcommand.hpp"

namespace cli {

struct BatchArguments {
    InputArguments inputs;
    std::string json;
    std::string csv;
    int jobs = 1;
    bool resume = false;
    bool progress = false;

    RecordFormat format() const {
        return !csv.empty() ? RecordFormat::csv : !json.empty() ? RecordFormat::json : RecordFormat::text;
    }
    const std::string& output() const { return csv.empty() ? json : csv; }
};

/// Adds the pictures, --json, where `csv` --csv, --jobs, --resume and --progress; `arguments` outlives the parse.
void add_batch_arguments(CLI::App& command, BatchArguments& arguments, bool csv);

/// The output, and with --resume what an earlier run left there, mended. Throws retinaface::Error.
struct Records {
    explicit Records(const BatchArguments& arguments);

    ExistingRecords existing;
    Lines lines;
};

/// Calls work(image, workspace), several at a time, for every picture, read as `request` says, that the output does not have yet, and writes the record that
/// emit(name, facts, result) makes of it. What cannot be read, or what work() throws as retinaface::Error, becomes an error
/// record, and a line on standard error. Returns the exit code.
template <class Result, class Work, class Emit>
int run_batch(const BatchArguments& arguments, Inputs& inputs, Records& records, const Request& request, const Work& work,
              const Emit& emit) {
    struct Done {
        std::string error;  // of a picture that was not read
        PictureFacts facts;
        Result result;
    };

    catch_interrupts();
    std::map<std::string, std::size_t> present;
    for (const std::string& name : records.existing.found) ++present[name];
    for (const std::string& name : records.existing.failed) ++present[name];
    const std::size_t earlier = records.existing.found.size() + records.existing.failed.size();
    std::size_t errors = records.existing.failed.size();
    const std::optional<std::size_t> left = inputs.left();
    Progress progress(left ? std::optional<std::size_t>(*left - std::min(*left, earlier)) : left, arguments.progress);
    const int jobs = arguments.jobs;
    std::vector<retinaface::Workspace> workspaces(static_cast<std::size_t>(jobs));
    Batch<Input, Done>::run(
        jobs,
        [&]() -> std::optional<Input> {
            while (!interrupted()) {
                std::optional<Input> input = inputs.next();
                if (!input) break;
                const auto found = present.find(input->name);
                if (found == present.end() || found->second == 0) return input;
                --found->second;
            }
            return std::nullopt;
        },
        [&](Input& input, int worker) {
            Done done;
            done.error = input.error;
            try {
                if (done.error.empty()) {
                    Image image = decode_image(input.read(kMaxImageFile), true, request,
                                               std::filesystem::path(input.name).extension().string());
                    done.result = work(image, workspaces[static_cast<std::size_t>(worker)]);
                    done.facts = {image.source.width, image.source.height, static_cast<int>(image.rotation), image.warning};
                }
            } catch (const std::bad_alloc&) {
                done.error = "out of memory";
            } catch (const retinaface::Error& error) {
                done.error = error.what();
            }
            return done;
        },
        [&](Input& input, Done& done) {
            std::string line;
            if (done.error.empty()) {
                try {
                    line = emit(input, done.facts, done.result, [&](const std::string& error) {
                        ++errors;
                        progress.clear();
                        complain(input.name, error);
                    });
                } catch (const retinaface::Error& error) {
                    done.error = error.what();  // a file that cannot be written
                }
            }
            if (!done.error.empty() || !done.facts.warning.empty() || isatty(STDOUT_FILENO) == 1) progress.clear();
            if (!done.facts.warning.empty()) complain(input.name, done.facts.warning);
            if (!done.error.empty()) {
                ++errors;
                complain(input.name, done.error);
                line = error_record(arguments.format(), input.name, done.error);
            }
            if (!line.empty()) records.lines.write(line);
            progress.step();
        });
    if (interrupted()) {
        progress.clear();
        const bool file = !arguments.output().empty() && arguments.output() != "-";
        complain("stopped after " + std::to_string(earlier + progress.done()) + " pictures; " +
                 (file ? "the same command with --resume goes on" : "with --json FILE or --csv FILE, --resume could go on"));
        return kInterrupted;
    }
    return errors == 0 ? kSuccess : kFailure;
}

}  // namespace cli
