#pragma once

namespace cli {

/// From here on, the first SIGINT or SIGTERM asks the program to stop at the next picture; a second one ends it at once.
void catch_interrupts();

/// Whether one came.
bool interrupted();

}  // namespace cli
