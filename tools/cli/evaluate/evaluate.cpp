// retinaface evaluate: accuracy by the protocols that papers use. docs/evaluation.md defines each.
#include "evaluate/evaluate.hpp"

#include <memory>
#include <utility>
#include <vector>

namespace cli {

Run add_evaluate(CLI::App& command) {
    const auto protocols = std::make_shared<std::vector<std::pair<CLI::App*, Run>>>();
    const auto add = [&](const char* name, const char* description, Run (*fill)(CLI::App&)) {
        CLI::App* protocol = command.add_subcommand(name, description);
        protocols->emplace_back(protocol, fill(*protocol));
    };
    command.require_subcommand(1);
    add("faces", "House AP by size of face, landmark error, false alarms, on pictures whose faces are known", add_evaluate_faces);
    add("wider", "WIDER FACE: AP easy, medium and hard, mAP", add_evaluate_wider);
    add("landmarks", "Five points: normalised mean error, failures, cumulative error distribution", add_evaluate_landmarks);
    add("dense", "AFLW2000-3D: 68 points by yaw, pose", add_evaluate_dense);
    add("verify", "Face verification from embeddings: ten folds (LFW, CFP-FP, AgeDB-30), templates (IJB-C 1:1)",
        add_evaluate_verify);
    return [protocols] {
        for (const auto& [protocol, run] : *protocols)
            if (protocol->parsed()) return run();
        return kUsage;
    };
}

}  // namespace cli
