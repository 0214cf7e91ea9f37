"""The multi-task loss: class, box (smooth-L1 and overlap) and five landmarks."""

from __future__ import annotations

import torch
from torch import Tensor
import torch.nn.functional as F

from anchors import VARIANCE_CENTRE, VARIANCE_SIZE
from recipe import Loss

Outputs = dict[str, Tensor]
"""Raw outputs: class [B, N, 2], box [B, N, 4] and landmark [B, N, 10]."""


def crowd_shares(positive: Tensor, options: Loss) -> Tensor:
    """What an anchor of each picture counts, [B, 1], by the picture's positive anchors, `positive` [B, N] bool."""
    return (positive.sum(dim=1, keepdim=True) / options.crowd_anchors).clamp(min=1) ** -options.crowd_power


def class_loss(logits: Tensor, label: Tensor, certainty: Tensor, weight: Tensor, share: Tensor, options: Loss) -> Tensor:
    """Scalar class loss: softmax cross-entropy with hard-negative mining.

    logits [B, N, 2]; label [B, N] (1, 0 or negative: ignored); certainty [B, N] that a positive's face is one; every
    anchor's part is multiplied by `weight` [B, N] and `share` [B, 1], their sum divided by the shares of the positives.
    """
    logarithm = F.log_softmax(logits.flatten(0, 1), dim=1)
    label = label.flatten()
    positive = label == 1
    share = share.expand_as(weight).flatten()
    count = positive.sum().clamp(min=1)
    target = torch.where(positive, certainty.flatten(), 0.0)
    loss = -(target * logarithm[:, 1] + (1 - target) * logarithm[:, 0])
    background = loss.detach().masked_fill(label != 0, -1.0)
    mined = min(int(options.negatives * int(count)), int((label == 0).sum()))
    hardest = background.topk(mined).indices
    loss = loss * weight.flatten() * share
    return (loss[positive].sum() + loss[hardest].sum()) / share[positive].sum().clamp(min=1)


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


def teaching_loss(outputs: Outputs, teacher: Outputs, is_taught: Tensor, options: Loss) -> Tensor:
    """Scalar distance of raw outputs from a teacher's, of the same crops, by the weights of class, box and landmark.

    Class: Kullback-Leibler divergence summed over all anchors, over the sum of the teacher's scores where they are above 0.5.
    Boxes and landmarks: smooth-L1 there, weighted by the score. Crowds weigh as in `multi_task_loss`, by the teacher's count; crops
    that are not `is_taught` [B] count nothing.
    """
    target = F.log_softmax(teacher["class"].float(), dim=2)
    score = target[..., 1].exp().masked_fill(~is_taught[:, None], 0.0)
    face = score > 0.5
    share = crowd_shares(face, options) * is_taught[:, None]
    score = score * share
    divergence = F.kl_div(F.log_softmax(outputs["class"].float(), dim=2), target, reduction="none", log_target=True).sum(dim=2)
    loss = options.class_weight * (divergence * share).sum() / score[face].sum().clamp(min=1)
    for name, weight, beta in (
        ("box", options.box_weight, options.box_beta), ("landmark", options.landmark_weight, options.landmark_beta)
    ):
        loss = loss + weight * regression_loss(outputs[name].float()[face], teacher[name].float()[face], score[face], beta)
    return loss


def multi_task_loss(outputs: Outputs, target: dict[str, Tensor], options: Loss) -> tuple[Tensor, dict[str, Tensor]]:
    """Total loss and its parts, scalars, the parts detached.

    `target`: label [B, N] int64, certainty [B, N] (of positives), box [B, N, 4], landmark [B, N, 10], has_landmark [B, N]
    bool, weight [B, N] (more for larger faces), centred [B, N] (IoU with the face relative to its best anchor's; 1 on
    background), negative [B] bool (photographs without a face).
    """
    boxes, points = outputs["box"].float(), outputs["landmark"].float()
    label, weight = target["label"], target["weight"]
    positive = label == 1
    class_weight = torch.where(target["negative"][:, None], options.negative_weight, weight.clamp(min=1))
    share = crowd_shares(positive, options)
    marked = positive & target["has_landmark"]
    landmark_weight = share * weight**options.landmark_size_power * target["centred"] ** options.landmark_centred_power
    weight = share * weight
    parts = {
        "class": class_loss(outputs["class"].float(), label, target["certainty"], class_weight, share, options),
        "box": regression_loss(boxes[positive], target["box"][positive], weight[positive], options.box_beta),
        "overlap": overlap_loss(boxes[positive], target["box"][positive], weight[positive]),
        "landmark": regression_loss(
            points[marked], target["landmark"][marked], landmark_weight[marked], options.landmark_beta),
    }
    total = sum(getattr(options, f"{name}_weight") * value for name, value in parts.items())
    return total, {name: value.detach() for name, value in parts.items()}
