// The protocols of `retinaface evaluate`. Each is a file <name>.cpp with the function `add_evaluate_<name>`.
#pragma once

#include "subcommand.hpp"

namespace cli {

Run add_evaluate_faces(CLI::App& command);
Run add_evaluate_wider(CLI::App& command);
Run add_evaluate_landmarks(CLI::App& command);
Run add_evaluate_dense(CLI::App& command);
Run add_evaluate_verify(CLI::App& command);

}  // namespace cli
