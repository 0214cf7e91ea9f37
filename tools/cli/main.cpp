// The command-line tool `retinaface`.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include "retinaface/version.hpp"
#include "subcommand.hpp"
#include "text.hpp"

namespace {

std::string version() {
    return "retinaface " + std::to_string(retinaface::kVersionMajor) + "." + std::to_string(retinaface::kVersionMinor) + "." +
           std::to_string(retinaface::kVersionPatch);
}

/// What is wrong with the arguments; of a word that is no subcommand, which there are.
std::string usage_error(const CLI::App& app, const CLI::ParseError& error) {
    const CLI::App* asked = &app;
    std::string name = app.get_name();
    while (!asked->get_subcommands().empty()) {
        asked = asked->get_subcommands().front();
        name += " " + asked->get_name();
    }
    std::string known;
    for (const CLI::App* command : asked->get_subcommands([](const CLI::App*) { return true; }))
        known += (known.empty() ? "" : ", ") + command->get_name();
    const std::vector<std::string> rest = asked->remaining();
    const std::string found = rest.empty() ? "none" : "'" + rest.front() + "'";
    return (known.empty() ? error.what() : "expected one of " + known + ", found " + found) + " (" + name + " --help)";
}

int run(int argc, char** argv) {
    CLI::App app("Faces and five landmarks in pictures, on the CPU.", "retinaface");
    app.set_version_flag("--version", version());
    app.require_subcommand(1);

    struct Command {
        CLI::App* app;
        cli::Run run;
    };
    std::vector<Command> commands;
    const auto add = [&](const char* name, const char* description, cli::Run (*fill)(CLI::App&)) {
        CLI::App* command = app.add_subcommand(name, description);
        commands.push_back({command, fill(*command)});
    };
#define SUBCOMMAND(name, description) add(#name, description, cli::add_##name);
#include "subcommands.inc"
#undef SUBCOMMAND

    try {
        app.parse(argc, argv);
    } catch (const CLI::Success& asked) {  // --help, --version
        return app.exit(asked);
    } catch (const CLI::ParseError& error) {
        cli::complain(usage_error(app, error));
        return cli::kUsage;
    }
    for (const Command& command : commands)
        if (command.app->parsed()) return command.run();
    return cli::kUsage;
}

}  // namespace

/// Where a standard stream is closed, the next file that is opened would take its number, and what is meant for the one go to the other:
/// what takes it here fails as a closed one does.
void reserve_standard_streams() {
    for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
        if (fcntl(stream, F_GETFD) == -1 && errno == EBADF &&
            open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY) == -1)
            return;
}

int main(int argc, char** argv) {
    reserve_standard_streams();
    try {
        const int status = run(argc, argv);
        if (status == cli::kSuccess && (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)) {
            cli::complain("cannot write standard output");
            return cli::kFailure;
        }
        return status;
    } catch (const std::bad_alloc&) {
        cli::complain("out of memory");
    } catch (const std::exception& error) {
        cli::complain(error.what());
    }
    return cli::kFailure;
}
