// libFuzzer target of suppression, against comparing every pair.
#include <algorithm>

#include "input.hpp"
#include "retinaface/nms.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace retinaface;
    using namespace retinaface_test;
    Input input(data, size);
    constexpr float kThresholds[] = {0, 1e-4f, 0.1f, 0.4f, 0.5f, 0.75f, 0.999f, 1};
    const int how = input.byte();
    const float threshold = kThresholds[how % 8];
    const bool equal = (how & 8) != 0;
    const std::size_t most = (how & 16) != 0 ? input.byte() : 0;
    std::vector<Box> boxes;
    while (input.left() > 0 && boxes.size() < 600) {
        Box box{input.number(), input.number(), 0, 0};
        // Often the shape of one before it, so that boxes overlap and coincide.
        if (const int shape = input.byte(); shape < 128 && !boxes.empty()) {
            const Box& other = boxes[static_cast<std::size_t>(shape) % boxes.size()];
            if (shape % 2 == 0) box = {other.x1, other.y1, other.x2, other.y2};
            box.x2 = box.x1 + (other.x2 - other.x1);
            box.y2 = box.y1 + (other.y2 - other.y1) + static_cast<float>(shape % 3);
        } else {
            box.x2 = box.x1 + input.number();
            box.y2 = box.y1 + input.number();
        }
        if (detail::is_usable(box)) boxes.push_back(box);
    }
    const auto suppresses = [&](const Box& a, const Box& b) { return equal ? iou(a, b) >= threshold : iou(a, b) > threshold; };
    const auto box_at = [&](std::size_t i) { return boxes[i]; };

    std::vector<std::uint32_t> expected;
    for (std::uint32_t i = 0; i < boxes.size() && (most == 0 || expected.size() < most); ++i)
        if (std::none_of(expected.begin(), expected.end(), [&](std::uint32_t k) { return suppresses(boxes[i], boxes[k]); }))
            expected.push_back(i);
    static detail::Suppressor suppressor;  // with what earlier inputs left in it
    const Span<const std::uint32_t> kept = suppressor.run(boxes.size(), box_at, threshold, equal, most);
    require(std::equal(kept.begin(), kept.end(), expected.begin(), expected.end()), "what comparing every pair keeps");

    for (std::size_t i = 0; i < boxes.size(); i += 7) {
        std::vector<std::uint32_t> visited;
        suppressor.for_each_overlapping(boxes[i], box_at, threshold, equal, [&](std::uint32_t k) { visited.push_back(k); });
        std::sort(visited.begin(), visited.end());
        std::vector<std::uint32_t> overlapping;
        for (std::uint32_t k = 0; k < expected.size(); ++k)
            if (suppresses(boxes[i], boxes[expected[k]])) overlapping.push_back(k);
        require(visited == overlapping, "every kept box that overlaps is visited once");
    }
    return 0;
}
