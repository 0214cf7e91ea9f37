"""The multi-task loss: class, box (smooth-L1 and overlap), five landmarks, and distillation from a reference network."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
import torch.nn.functional as F

from anchors import VARIANCE_CENTRE, VARIANCE_SIZE

Outputs = tuple[Tensor, Tensor, Tensor]
"""Raw class [B, N, 2], box [B, N, 4] and landmark [B, N, 10] outputs."""


@dataclass
class LossOptions:
    """Weights and shapes of the terms. Every term is a weighted mean over its anchors, summed over its values."""

    class_weight: float = 1.0
    box_weight: float = 1.0
    iou_weight: float = 0.0
    """Of 1 - generalised IoU (Rezatofighi et al. 2019): smooth-L1 measures an error against the anchor, which for an
    8 px face is twice the face or more; detections are judged by overlap."""
    landmark_weight: float = 1.0
    landmark_size_power: float = 1.0
    """Power of an anchor's weight (`target["weight"]`, which grows with its face) in the landmark terms: above 1, large
    faces own more of them. Tiny faces' landmarks are mostly noise; large faces' are what alignment lives on."""
    landmark_centred_power: float = 0.0
    """Power of an anchor's IoU with its face, relative to the face's best anchor (`target["centred"]`), in the landmark
    terms: suppression keeps one anchor of a face, nearly always a well centred one, and only its landmarks are used."""
    distill_box: float = 0.0
    distill_landmark: float = 0.0
    class_loss: str = "ohem"
    """`ohem`: softmax cross-entropy with hard-negative mining, as in the paper; `focal`: focal loss on all anchors."""
    negatives: float = 7.0
    """Mined negatives per positive, over the whole batch: images without a face give their hardest anchors too."""
    focal_gamma: float = 2.0
    box_beta: float = 0.3
    landmark_beta: float = 0.2
    """Where smooth-L1 turns from quadratic to linear, in units of 0.1 anchor sizes. Below 1, the loss keeps pulling
    at errors of a few percent, which is what landmark accuracy is about."""
    teacher_score: float = 0.6
    """Distil only where the reference network is at least this sure."""


def class_loss(logits: Tensor, label: Tensor, weight: Tensor, options: LossOptions) -> Tensor:
    """Scalar class loss of logits [B, N, 2] against labels [B, N] (1, 0 or negative: ignored), each anchor's share
    multiplied by `weight` [B, N]."""
    loss = F.cross_entropy(logits.flatten(0, 1), label.flatten().clamp(min=0), reduction="none")
    label = label.flatten()
    positive = label == 1
    count = positive.sum().clamp(min=1)
    if options.class_loss == "focal":
        probability = torch.exp(-loss)
        focal = (1 - probability) ** options.focal_gamma * loss * weight.flatten()
        return focal[label >= 0].sum() / count
    background = loss.detach().masked_fill(label != 0, -1.0)
    mined = min(int(options.negatives * int(count)), int((label == 0).sum()))
    hardest = background.topk(mined).indices
    loss = loss * weight.flatten()
    return (loss[positive].sum() + loss[hardest].sum()) / count


def regression_loss(values: Tensor, target: Tensor, weight: Tensor, beta: float) -> Tensor:
    """Smooth-L1 of values [n, k], summed over k, weighted mean over n (0 where n is 0)."""
    loss = F.smooth_l1_loss(values, target, reduction="none", beta=beta).sum(dim=1)
    return (loss * weight).sum() / weight.sum().clamp(min=1)


def overlap_loss(values: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """1 - generalised IoU of box codes [n, 4], weighted mean over n. Needs no anchors: both boxes belong to the same
    one, and overlap does not depend on its place and size."""
    corners = []
    for codes in (values, target):
        centre = codes[:, :2] * VARIANCE_CENTRE
        half = 0.5 * torch.exp((codes[:, 2:] * VARIANCE_SIZE).clamp(max=4.0))
        corners.append((centre - half, centre + half))
    (low, high), (target_low, target_high) = corners
    inter = (torch.minimum(high, target_high) - torch.maximum(low, target_low)).clamp(min=0).prod(dim=1)
    union = (high - low).prod(dim=1) + (target_high - target_low).prod(dim=1) - inter
    hull = (torch.maximum(high, target_high) - torch.minimum(low, target_low)).prod(dim=1)
    loss = 2 - inter / union - union / hull
    return (loss * weight).sum() / weight.sum().clamp(min=1)


def multi_task_loss(
    outputs: Outputs, target: dict[str, Tensor], teacher: Outputs | None, options: LossOptions
) -> tuple[Tensor, dict[str, float]]:
    """Total loss and its parts.

    `target`: label [B, N] int64, box [B, N, 4], landmark [B, N, 10], has_landmark [B, N] bool,
    weight [B, N] (more for larger faces and for photographs without a face), centred [B, N] (IoU with the face relative to
    its best anchor's; 1 on background), distillable [B, N] bool (anchors where the
    reference network can be trusted: it is poor at tiny faces).
    """
    logits, boxes, points = (value.float() for value in outputs)
    label = target["label"]
    if teacher is not None:
        teacher_probability = teacher[0].float().softmax(-1)[..., 1]
        # A face that nobody labelled but the reference network sees clearly must not be taught as background.
        label = label.masked_fill((label == 0) & (teacher_probability > 0.5) & target["distillable"], -1)
    positive = label == 1
    weight = target["weight"]
    parts = {"class": class_loss(logits, label, weight.clamp(min=1), options)}
    parts["box"] = regression_loss(boxes[positive], target["box"][positive], weight[positive], options.box_beta)
    if options.iou_weight > 0:
        parts["iou"] = overlap_loss(boxes[positive], target["box"][positive], weight[positive])
    marked = positive & target["has_landmark"]
    centred = target["centred"] ** options.landmark_centred_power
    parts["landmark"] = regression_loss(
        points[marked], target["landmark"][marked],
        weight[marked] ** options.landmark_size_power * centred[marked], options.landmark_beta)
    total = (
        options.class_weight * parts["class"]
        + options.box_weight * parts["box"]
        + options.landmark_weight * parts["landmark"]
    )
    if options.iou_weight > 0:
        total = total + options.iou_weight * parts["iou"]
    if teacher is not None:
        weight = torch.where(positive, weight, 1.0)
        sure = (teacher_probability > options.teacher_score) & target["distillable"]
        parts["distill_box"] = regression_loss(boxes[sure], teacher[1].float()[sure], weight[sure], options.box_beta)
        parts["distill_landmark"] = regression_loss(
            points[sure], teacher[2].float()[sure],
            weight[sure] ** options.landmark_size_power * centred[sure], options.landmark_beta)
        total = (
            total
            + options.distill_box * parts["distill_box"]
            + options.distill_landmark * parts["distill_landmark"]
        )
    return total, {name: float(value.detach()) for name, value in parts.items()}
