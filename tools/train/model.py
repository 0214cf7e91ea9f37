"""The detector as a trainable PyTorch module, built from the list of layers that describes it everywhere else."""

from __future__ import annotations

from pathlib import Path
import sys

import numpy as np
import torch
from torch import Tensor, nn
import torch.nn.functional as F

sys.path.append(str(Path(__file__).resolve().parent.parent))
from retinaface_weights import biubug6_names, weights_file  # noqa: E402
from retinaface_weights.folding import ConvSource, Norm  # noqa: E402
from retinaface_weights.network import (  # noqa: E402
    HEADS, LEVELS, PROFILES, ConcatRelu, Conv, UpsampleAdd, build_network, convolutions, head_name,
)

EPSILON = 1e-5
"""Of every BatchNorm."""

IMAGENET_STD_RGB = (0.229, 0.224, 0.225)


class ConvNorm(nn.Module):
    """Convolution without bias, BatchNorm and, unless `slope` is None, LeakyReLU.

    A strided depthwise convolution is run at stride 1 and thinned out, which is the same function: PyTorch's backward pass of the
    strided one in bfloat16 on a CPU is a plain loop, a quarter of a step's time for four of the layers. There a BatchNorm that keeps
    its statistics is run folded into the convolution: the same function and gradients in a sixth less time; a GPU waits for launches,
    of which folding has more.
    """

    def __init__(self, layer: Conv) -> None:
        super().__init__()
        self.keep_every = layer.stride if layer.groups > 1 else 1
        self.conv = nn.Conv2d(
            layer.c_in, layer.c_out, layer.kernel, layer.stride // self.keep_every, layer.padding, groups=layer.groups, bias=False)
        self.norm = nn.BatchNorm2d(layer.c_out, EPSILON)
        self.slope = layer.slope

    def forward(self, x: Tensor) -> Tensor:
        if self.training or x.is_cuda:
            x = self.norm(self.thin(self.conv(x)))
        else:
            scale = self.norm.weight * torch.rsqrt(self.norm.running_var + self.norm.eps)
            bias = self.norm.bias - self.norm.running_mean * scale
            x = self.thin(F.conv2d(x, self.conv.weight * scale[:, None, None, None], bias, self.conv.stride, self.conv.padding,
                                   groups=self.conv.groups))
        return x if self.slope is None else F.leaky_relu(x, self.slope)

    def thin(self, x: Tensor) -> Tensor:
        """Every second row and column where the stride was left to it."""
        if self.keep_every == 1:
            return x
        return x[:, :, :: self.keep_every, :: self.keep_every].contiguous(memory_format=torch.channels_last)


def is_head(layer: Conv) -> bool:
    """Whether a convolution is an output: it has a bias and no BatchNorm."""
    return layer.name.startswith("head.")


class Network(nn.Module):
    """Any architecture of `retinaface_weights.network`; parameters are named by their layer: `backbone.conv0.conv.weight`.

    Input: [B, 3, H, W] float, channels and mean as the profile says (`prepare`); any H and W.
    Output: class logits [B, N, 2] (background, face), box [B, N, 4] and landmark [B, N, 10], by name, all raw (undecoded),
    in the order of `anchors.make_anchors(H, W)`. On request also "features" [B, cells, channels]: what the heads see of a cell.
    """

    def __init__(self, architecture: str = "mobilenet025", profile: str = "biubug6") -> None:
        super().__init__()
        self.architecture, self.profile = architecture, profile
        self.layers = build_network(architecture, profile)
        self.feature_names: list[str] = []
        for layer in convolutions(self.layers):
            *path, last = layer.name.split(".")
            parent: nn.Module = self
            for name in path:
                if name not in parent._modules:
                    parent.add_module(name, nn.Module())
                parent = parent._modules[name]
            parent.add_module(last, nn.Conv2d(layer.c_in, layer.c_out, layer.kernel) if is_head(layer) else ConvNorm(layer))
            if is_head(layer) and layer.source not in self.feature_names:
                self.feature_names.append(layer.source)
                self.channels = layer.c_in

    def forward(self, image: Tensor, features: bool = False) -> dict[str, Tensor]:
        values = {"image": image}
        for layer in self.layers:
            if isinstance(layer, Conv):
                values[layer.name] = self.get_submodule(layer.name)(values[layer.source])
            elif isinstance(layer, UpsampleAdd):
                fine = values[layer.fine]
                values[layer.name] = fine + F.interpolate(values[layer.coarse], size=fine.shape[-2:], mode="nearest")
            elif isinstance(layer, ConcatRelu):
                values[layer.name] = F.relu(torch.cat([values[source] for source in layer.sources], dim=1))
            else:
                raise TypeError(f"{layer.name}: expected a layer that can be trained here, found {type(layer).__name__}")

        def rows(names: list[str], count: int) -> Tensor:
            """Row-major cells, a cell's anchors one after the other, level by level."""
            return torch.cat([values[name].permute(0, 2, 3, 1).reshape(image.shape[0], -1, count) for name in names], dim=1)

        outputs = {head: rows([head_name(level, head) for level in LEVELS], count) for head, count in HEADS}
        if features:
            outputs["features"] = rows(self.feature_names, self.channels)
        return outputs


def prepare(image: Tensor, profile: str = "biubug6") -> Tensor:
    """uint8 [B, H, W, 3] (R, G, B) to the network's float input [B, 3, H, W], in channels-last memory."""
    description = PROFILES[profile]
    pixels = image.flip(-1) if description.channels == "bgr" else image
    return (pixels.float() - torch.tensor(description.mean, device=image.device)).permute(0, 3, 1, 2)


def own_names(architecture: str) -> dict[str, ConvSource]:
    """Where the state dict of a `Network` has each convolution."""
    result = {}
    for layer in convolutions(build_network(architecture, "biubug6")):
        norm = f"{layer.name}.norm"
        result[layer.name] = ConvSource(f"{layer.name}.weight", f"{layer.name}.bias") if is_head(layer) else ConvSource(
            f"{layer.name}.conv.weight",
            norm=Norm(f"{norm}.weight", f"{norm}.bias", f"{norm}.running_mean", f"{norm}.running_var", EPSILON))
    return result


def strip_prefix(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Removes the `module.` that DataParallel puts before every name."""
    return {name.removeprefix("module."): value for name, value in state.items()}


def load_weights_file(path: Path) -> Network:
    """Reads a weights file of the library (`.safetensors`). What it holds is folded: every BatchNorm becomes one that only
    adds the bias.

    Raises ConversionError if the file is not valid.
    """
    weights = weights_file.load(path.read_bytes())
    model = Network(weights.architecture, weights.profile)
    state = model.state_dict()
    for name, source in own_names(weights.architecture).items():
        weight, bias = (torch.from_numpy(weights.parameters[f"{name}.{k}"].astype(np.float32)) for k in ("weight", "bias"))
        state[source.weight] = weight
        if source.norm is None:
            state[source.bias] = bias
        else:
            state[source.norm.gamma] = torch.sqrt(state[source.norm.variance] + source.norm.epsilon)
            state[source.norm.beta] = bias
    model.load_state_dict(state)
    return model


TRAINED_FILTER = 0.25
"""Root mean square of a filter before a BatchNorm after a run: about the rate times the root of the number of steps, as nothing
but AdamW's own steps, at a right angle to it, changes its length."""


@torch.no_grad()
def restore_norms(model: Network, image: Tensor) -> None:
    """Gives a folded detector, in place, BatchNorms that normalise, so that it can be trained further; its outputs stay.

    Every filter gets the root mean square `TRAINED_FILTER`, without which AdamW's steps would be of any size beside it, and every
    BatchNorm the statistics that its input has on `image` [B, 3, H, W].
    """
    def measure(block: ConvNorm, inputs: tuple[Tensor]) -> None:
        norm, x = block.norm, block.thin(block.conv(inputs[0]))
        mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
        slope = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        norm.bias += slope * (mean - norm.running_mean)
        norm.weight.copy_(slope * torch.sqrt(variance + norm.eps))
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)

    hooks = []
    for block in [module for module in model.modules() if isinstance(module, ConvNorm)]:
        factor = TRAINED_FILTER / block.conv.weight.square().mean((1, 2, 3)).sqrt().clamp(min=1e-6)
        block.conv.weight *= factor[:, None, None, None]
        block.norm.weight /= factor
        block.norm.running_mean *= factor
        hooks.append(block.register_forward_pre_hook(measure))
    model.eval()(image)
    for hook in hooks:
        hook.remove()


def load_detector(path: Path) -> Network:
    """Reads a whole detector: a weights file of the library (`.safetensors`), a checkpoint of `train.py` (its running mean), or
    a `.pth` of the original PyTorch code."""
    if path.suffix == ".safetensors":
        return load_weights_file(path)
    content = torch.load(path, map_location="cpu", weights_only=True)
    model = Network()
    if "ema" in content:
        model.load_state_dict(content["ema"])
        return model
    theirs = strip_prefix(content.get("state_dict", content))
    copy_original(model, theirs, list(biubug6_names.sources("mobilenet025")))
    return model


def copy_original(model: Network, theirs: dict[str, Tensor], convs: list[str]) -> None:
    """Copies convolutions and BatchNorms from a state dict with the names of the original PyTorch code."""
    sources, own = biubug6_names.sources("mobilenet025"), own_names("mobilenet025")
    state = model.state_dict()
    for name in convs:
        for mine, original in zip(own[name].names(), sources[name].names()):
            state[mine] = theirs[original]
    model.load_state_dict(state)


def load_imagenet_backbone(model: Network, path: Path) -> None:
    """Starts the backbone from an ImageNet classifier (keys `module.stage1...` inside `state_dict`).

    The classifier was trained on RGB scaled to (x / 255 - mean) / deviation; this network gets BGR minus 104, 117,
    123, which is nearly 255 * mean. So the first convolution's input channels are flipped and divided by
    255 * deviation; the mean's remaining difference (under half a grey level) is left to training.
    """
    content = torch.load(path, map_location="cpu", weights_only=False)
    state = {f"body.{name}": value for name, value in strip_prefix(content.get("state_dict", content)).items()}
    std = torch.tensor(IMAGENET_STD_RGB).view(1, 3, 1, 1)
    state["body.stage1.0.0.weight"] = (state["body.stage1.0.0.weight"] / (255.0 * std)).flip(1)
    copy_original(model, state, [name for name in own_names("mobilenet025") if name.startswith("backbone.")])
