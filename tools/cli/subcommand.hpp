// What every subcommand is made of.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace cli {

/// Exit codes. CLI11's own parse errors become kUsage in main().
constexpr int kSuccess = 0, kFailure = 1, kUsage = 2, kInterrupted = 130;

/// Does a subcommand's work once its arguments are parsed; returns the exit code.
using Run = std::function<int()>;

#define SUBCOMMAND(name, description) Run add_##name(CLI::App& command);
#include "subcommands.inc"
#undef SUBCOMMAND

}  // namespace cli
