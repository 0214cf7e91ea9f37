#include "interrupt.hpp"

#include <signal.h>

#include <atomic>

namespace cli {

namespace {

std::atomic<bool> signalled{false};  // lock-free: a handler may set it

void note(int) {
    signalled = true;
    // The next one, of either kind, ends the program.
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
}

}  // namespace

void catch_interrupts() {
    struct sigaction action = {};
    action.sa_handler = note;
    action.sa_flags = 0;  // no SA_RESTART: what waits for input wakes up
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
}

bool interrupted() { return signalled; }

}  // namespace cli
