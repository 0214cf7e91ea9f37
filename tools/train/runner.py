"""A network run for training: in bfloat16 where that is right, and on a GPU as CUDA graphs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model import Network, prepare


class _Listed(nn.Module):
    """A network whose outputs are a tuple, as graphs have them."""

    def __init__(self, network: Network, features: bool) -> None:
        super().__init__()
        self.network, self.features = network, features

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        outputs = self.network(image, self.features)
        self.names = list(outputs)
        return tuple(outputs.values())


class Runner:
    """A network as a function of crops [B, H, W, 3] uint8, R, G, B; outputs as of `Network`, with or without "features".

    On a GPU a step of so small a network is nearly all launches, a thousand of them. There every size of input, in training mode and
    not, is recorded once as a CUDA graph, forward and backward; outputs and gradients then are the same memory in every step.
    The network may be changed in place, its mode too, but must stay on its device.
    """

    def __init__(self, network: Network, features: bool = False) -> None:
        self.network, self.features = network, features
        self.recorded: dict[tuple[torch.Size, bool], _Listed] = {}

    def __call__(self, pixels: Tensor) -> dict[str, Tensor]:
        image = prepare(pixels, self.network.profile)
        if not image.is_cuda:
            with torch.autocast(image.device.type, torch.bfloat16):
                return self.network(image, self.features)
        key = (image.shape, self.network.training)
        if key not in self.recorded:
            with torch.autocast("cuda", torch.bfloat16, cache_enabled=False):
                listed = _Listed(self.network, self.features).train(self.network.training)
                self.recorded[key] = torch.cuda.make_graphed_callables(listed, (image.clone(memory_format=torch.preserve_format),))
        listed = self.recorded[key]
        return dict(zip(listed.names, listed(image)))
