"""The mesh decoder in PyTorch: what trains it, and the oracle of the C++ decoder.

Layers, coarse to fine: fully connected 128 -> n_L x F (no activation); for every level up-sample, Chebyshev convolution of K terms,
bias, ReLU; a last Chebyshev convolution to x, y, z, r, g, b without bias; the mean is added.
"""

from __future__ import annotations

from typing import List, Optional

import numpy as np
import torch

from hierarchy import Csr, Hierarchy

LATENT = 128
OUTPUTS = 6


def sparse(matrix: Csr) -> torch.Tensor:
    rows = np.repeat(np.arange(matrix.rows), np.diff(matrix.starts))
    index = torch.from_numpy(np.stack([rows, matrix.indices]))
    return torch.sparse_coo_tensor(index, torch.from_numpy(matrix.values), (matrix.rows, matrix.columns)).coalesce()


class SparseProduct(torch.autograd.Function):
    """matrix @ x, whose gradient is the transposed matrix @ gradient."""

    @staticmethod
    def forward(context, matrix, transposed, x):  # type: ignore[override]
        context.transposed = transposed
        return torch.sparse.mm(matrix, x)

    @staticmethod
    def backward(context, gradient):  # type: ignore[override]
        return None, None, torch.sparse.mm(context.transposed, gradient)


class Operator:
    """A sparse matrix that multiplies [columns, batch, features]."""

    def __init__(self, matrix: Csr) -> None:
        self.matrix = sparse(matrix)
        self.transposed = self.matrix.t().coalesce()

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        flat = x.reshape(x.shape[0], -1)
        return SparseProduct.apply(self.matrix, self.transposed, flat).reshape(-1, *x.shape[1:])


def chebyshev(laplacian: Operator, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """x [n, batch, F_in], weight [K, F_in, F_out]."""
    before: Optional[torch.Tensor] = None
    current, total = x, x @ weight[0]
    for k in range(1, len(weight)):
        following = laplacian(current) if before is None else 2 * laplacian(current) - before
        before, current = current, following
        total = total + current @ weight[k]
    return total


class Decoder(torch.nn.Module):
    """`filters` fine to coarse, one a level; `coarse_filters`: what the fully connected layer gives (default: as the coarsest level)."""

    def __init__(self, hierarchy: Hierarchy, filters: List[int], coarse_filters: int = 0, terms: int = 6, seed: int = 0) -> None:
        super().__init__()
        assert len(filters) == len(hierarchy.upsample)
        self.filters = filters
        self.laplacians = [Operator(level.laplacian) for level in hierarchy.levels[:-1]]
        self.upsample = [Operator(matrix) for matrix in hierarchy.upsample]
        self.coarse = len(hierarchy.levels[-1].vertices)
        random = torch.Generator().manual_seed(seed)
        wide = coarse_filters or filters[-1]
        self.fc_weight = torch.nn.Parameter(torch.randn(self.coarse * wide, LATENT, generator=random) / LATENT**0.5)
        self.fc_bias = torch.nn.Parameter(torch.zeros(self.coarse * wide))
        self.weights, self.biases = torch.nn.ParameterList(), torch.nn.ParameterList()
        for f_out in reversed(filters):
            # The first terms smooth, which is what interpolation wants; the higher ones start small.
            scale = torch.tensor([1.0, 0.5, 0.3, 0.2, 0.15, 0.1])[:terms].reshape(-1, 1, 1) / wide**0.5
            self.weights.append(torch.nn.Parameter(torch.randn(terms, wide, f_out, generator=random) * scale))
            self.biases.append(torch.nn.Parameter(torch.zeros(f_out)))
            wide = f_out
        self.last = torch.nn.Parameter(torch.randn(terms, wide, OUTPUTS, generator=random) * scale)
        self.mean = torch.nn.Parameter(torch.zeros(len(hierarchy.levels[0].vertices), OUTPUTS), requires_grad=False)

    def convolutions(self, x: torch.Tensor) -> torch.Tensor:
        """From the coarsest level's features [n_L, batch, F] to [n, batch, 6]."""
        for step, (weight, bias) in enumerate(zip(self.weights, self.biases)):
            level = len(self.filters) - 1 - step
            x = torch.relu(chebyshev(self.laplacians[level], self.upsample[level](x), weight) + bias)
        return chebyshev(self.laplacians[0], x, self.last)

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        """[batch, 128] -> [n, batch, 6]."""
        x = (latent @ self.fc_weight.t() + self.fc_bias).reshape(len(latent), self.coarse, -1).transpose(0, 1)
        return self.convolutions(x.contiguous()) + self.mean[:, None]
