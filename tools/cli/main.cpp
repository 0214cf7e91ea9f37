// The command-line tool `retinaface`.
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
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? cli::kSuccess : cli::kUsage;
    }
    for (const Command& command : commands)
        if (command.app->parsed()) return command.run();
    return cli::kUsage;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const std::bad_alloc&) {
        cli::complain("out of memory");
    } catch (const std::exception& error) {
        cli::complain(error.what());
    }
    return cli::kFailure;
}
