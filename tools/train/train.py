"""Trains a detector from one recipe, from an ImageNet backbone, or from a weights file, to a weights file of the library.

    python train.py recipes/mobilenet025.toml --data DATA --backbone mobilenetV1X0.25_pretrain.tar \\
        --networks NETWORKS --out runs/main
    python train.py recipes/crowds.toml --data DATA --detector WEIGHTS --out runs/crowds

Stopped at any time (SIGTERM, or killed), the same command goes on from `OUT/last.pt`, and the steps that follow see the same
crops as without a stop. README.md says what DATA holds and what the recipe does.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
from pathlib import Path
import signal
import time

import torch
from torch import Tensor, nn

from crops import Batches
import dense
import export
import measure
from losses import multi_task_loss, teaching_loss
from model import Network, load_imagenet_backbone, load_weights_file, prepare, restore_norms
import photos
import recipe as recipe_code
from recipe import Recipe, Schedule
from runner import Runner

PARTS = ("class", "box", "overlap", "landmark", "teacher", "pixel")
"""Of the loss, as `log.csv` has them."""

STATISTICS_SIDE, STATISTICS_CROPS = 512, 16
"""Crops on which the BatchNorms of a weights file get their statistics back."""


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Command line; `--help` is the reference. What decides the result stands in the recipe; here is where and on what."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder with the recipe's collections")
    start = parser.add_mutually_exclusive_group(required=True)
    start.add_argument("--backbone", type=Path, help="ImageNet MobileNet-0.25 checkpoint to start from")
    start.add_argument("--detector", type=Path, help="weights file to go on from")
    parser.add_argument("--networks", type=Path, help="folder with the weights files that the recipe's collections are taught_by")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--pixels", type=Path, help="folder for decoded photographs, which runs can share (default: OUT/pixels)")
    parser.add_argument("--library", type=Path, help="retinaface_mesh_python.so, which draws the faces of a recipe with loss.pixel_weight")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--processes", type=int, default=1, help="processes that share a step; on a CPU one a core is faster "
                        "than as many threads")
    parser.add_argument("--workers", type=int, default=0, help="loader processes of each; 0: in the process itself")
    parser.add_argument("--save-minutes", type=float, default=5.0, help="time between writes of last.pt")
    parser.add_argument("--snapshot-steps", type=int, default=5000, help="steps between snapshots of the running mean, which "
                        "are measured on the dev photographs")
    return parser.parse_args(arguments)


def learning_rate(step: int, schedule: Schedule) -> float:
    """Linear warm-up, the peak, then half a cosine to 1 % of it; from `restart` on another."""
    if step < schedule.warmup:
        return schedule.learning_rate * (0.02 + 0.98 * step / schedule.warmup)
    again = step >= schedule.restart
    peak, decay = (schedule.restart_rate, schedule.left(schedule.restart)) if again else (schedule.learning_rate, schedule.decay)
    left = min(1.0, schedule.left(step) / max(1, decay))
    return peak * (0.01 + 0.99 * 0.5 * (1 - math.cos(math.pi * left)))


def make_optimizer(parameters: list[nn.Parameter], schedule: Schedule) -> torch.optim.Optimizer:
    """AdamW; BatchNorm parameters and biases are not decayed."""
    return torch.optim.AdamW([
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": schedule.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ], lr=schedule.learning_rate)


def update_ema(ema: dict[str, Tensor], model: nn.Module, decay: float, step: int) -> None:
    """Running mean of weights and BatchNorm statistics; it follows faster during the first steps."""
    decay = min(decay, (1 + step) / (10 + step))
    state = model.state_dict()
    means, values = zip(*((ema[name], value) for name, value in state.items() if value.is_floating_point()))
    with torch.no_grad():
        torch._foreach_mul_(means, decay)
        torch._foreach_add_(means, values, alpha=1 - decay)
    for name, value in state.items():
        if not value.is_floating_point():
            ema[name].copy_(value)


def save_atomically(content: object, path: Path) -> None:
    """A reader, or a run killed half-way, sees the old file or the new one, never a piece."""
    temporary = path.with_suffix(".tmp")
    torch.save(content, temporary)
    os.replace(temporary, path)


def format_time(seconds: float) -> str:
    """h:mm:ss"""
    seconds = max(0, int(seconds))
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


class Team:
    """The processes that train together: this one's rank, and means over all of them."""

    def __init__(self, rank: int, size: int, store: Path) -> None:
        self.rank = rank
        self.size = size
        if size > 1:
            torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=size)

    @property
    def leads(self) -> bool:
        """Whether this process writes the run's files."""
        return self.rank == 0

    def average(self, parameters: list[nn.Parameter], *more: float) -> list[float]:
        """Replaces every gradient by its mean over the team, and returns the means of `more`."""
        if self.size == 1:
            return list(more)
        gradients = [p.grad for p in parameters]
        flat = torch.cat([g.flatten() for g in gradients] + [torch.tensor(more, device=gradients[0].device)])
        torch.distributed.all_reduce(flat)
        flat /= self.size
        begin = 0
        for gradient in gradients:
            gradient.copy_(flat[begin : begin + gradient.numel()].view_as(gradient))
            begin += gradient.numel()
        return flat[begin:].tolist()

    def average_state(self, model: nn.Module) -> None:
        """Gives every process the mean of all processes' BatchNorm statistics, each of which has its own crops'."""
        if self.size == 1:
            return
        for name, value in model.named_buffers():
            if value.is_floating_point():
                torch.distributed.all_reduce(value)
                value /= self.size

    def close(self) -> None:
        """Leaves the team."""
        if self.size > 1:
            torch.distributed.destroy_process_group()


def train(options: argparse.Namespace, recipe: Recipe) -> Path:
    """Runs the training and returns the weights file, or `last.pt` of a run that was stopped."""
    if recipe.loss.pixel_weight and not options.library:
        raise ValueError(f"{options.recipe}: loss.pixel_weight: expected --library, which draws faces, found none")
    if recipe.networks() and not options.networks:
        raise ValueError(f"{options.recipe}: taught_by: expected --networks, a folder with {' and '.join(recipe.networks())}, found none")
    for name in recipe.networks():
        load_detector_of(options.networks / name, recipe)  # before any process starts
    options.out.mkdir(parents=True, exist_ok=True)
    check_resumable(options, recipe)
    if options.processes == 1:
        train_in(Team(0, 1, options.out), options, recipe)
    else:
        # What needs no training is done before, once.
        read_photos(options, recipe, ())
        store = options.out / "team"
        store.unlink(missing_ok=True)
        context = torch.multiprocessing.spawn(train_one_of, (options, recipe, store), options.processes, join=False)
        # A stop is every process's to make, so that all leave after the same step.
        forward = signal.signal(signal.SIGTERM, lambda *_: [os.kill(pid, signal.SIGTERM) for pid in context.pids()])
        while not context.join():
            pass
        signal.signal(signal.SIGTERM, forward)
        store.unlink(missing_ok=True)
    last = options.out / "last.pt"
    if torch.load(last, map_location="cpu", weights_only=True)["step"] < recipe.schedule.steps:
        print("stopped; the same command goes on from here", flush=True)
        return last
    dev = [photo for group in dev_photos(options, recipe).values() for photo in group]
    return export.export_run(last, options.out / f"retinaface_{recipe.architecture}.safetensors", dev, recipe.weights)


def train_one_of(rank: int, options: argparse.Namespace, recipe: Recipe, store: Path) -> None:
    """What each of several processes runs."""
    team = Team(rank, options.processes, store)
    train_in(team, options, recipe)
    team.close()


def check_resumable(options: argparse.Namespace, recipe: Recipe) -> None:
    """Writes what the run is made of beside it, or holds it against what is there: a run with two recipes is neither's.

    Raises ValueError that names what differs.
    """
    path = options.out / "recipe.json"
    mine = {**recipe.as_dict(), "seed": options.seed}
    if path.exists():
        theirs = json.loads(path.read_text())
        different = [key for key in mine if json.loads(json.dumps(mine[key])) != theirs.get(key)]
        if different:
            raise ValueError(f"{path}: expected the recipe that the run began with, found another {', '.join(different)}")
    else:
        path.write_text(json.dumps(mine, indent=1) + "\n")


def read_photos(
    options: argparse.Namespace, recipe: Recipe, parts: tuple[str, ...]
) -> list[tuple[recipe_code.Collection, list[photos.Photo]]]:
    """Some parts (none: only the pixels are decoded) of every collection."""
    store = photos.Store(options.pixels or options.out / "pixels")
    return [(collection, photos.read(options.data, collection, store, parts)) for collection in recipe.collections]


def dev_photos(options: argparse.Namespace, recipe: Recipe) -> dict[str, list[photos.Photo]]:
    """The photographs for choices inside a run, by collection."""
    return {c.name: group for c, group in read_photos(options, recipe, ("dev",)) if group}


def load_detector_of(path: Path, recipe: Recipe) -> Network:
    """A weights file with the recipe's network. Raises ValueError if it has another."""
    model = load_weights_file(path)
    if (model.architecture, model.profile) != (recipe.architecture, recipe.profile):
        raise ValueError(f"{path}: expected {recipe.architecture} of profile {recipe.profile}, "
                         f"found {model.architecture} of {model.profile}")
    return model


def start_from(options: argparse.Namespace, recipe: Recipe, batches: Batches) -> Network:
    """The network before its first step."""
    if options.backbone:
        model = Network(recipe.architecture, recipe.profile)
        load_imagenet_backbone(model, options.backbone)
        return model
    model = load_detector_of(options.detector, recipe)
    # The same crops in every process of a team.
    restore_norms(model, prepare(batches.crops(0, STATISTICS_SIDE, range(STATISTICS_CROPS))["image"], recipe.profile))
    return model


@torch.no_grad()
def teachers_outputs(networks: list[Runner], pixels: Tensor, which: Tensor, like: dict[str, Tensor]) -> dict[str, Tensor]:
    """What network `which` [B] makes of its crop of `pixels` [B, H, W, 3], in tensors as `like` (-1: zeros)."""
    result = {head: torch.zeros_like(like[head], dtype=torch.float32) for head in ("class", "box", "landmark")}
    for index, network in enumerate(networks):
        mine = which == index
        # On a GPU every network sees all crops: every other number of them would have to be recorded.
        seen = torch.ones_like(mine) if pixels.is_cuda else mine
        if seen.any():
            outputs = network(pixels[seen])
            for head, values in result.items():
                values[mine] = outputs[head][mine[seen]].float()
    return result


def train_in(team: Team, options: argparse.Namespace, recipe: Recipe) -> None:
    """One process's part of `train`."""
    torch.manual_seed(options.seed)
    torch.set_num_threads(1)
    # Gradients that have decayed to denormals cost a hundred times the time of ordinary numbers on x86.
    torch.set_flush_denormal(True)
    device = torch.device(options.device)
    schedule = recipe.schedule
    last = options.out / "last.pt"

    collections = read_photos(options, recipe, ("train",))
    dev = dev_photos(options, recipe) if team.leads else {}
    if team.leads:
        for collection, group in collections:
            print(f"{collection.name}: {len(group)} photographs, {sum(len(p.labels.boxes) for p in group)} faces, "
                  f"{len(dev.get(collection.name, []))} photographs kept for choices", flush=True)

    batches = Batches(recipe, collections, options.seed, team.rank, team.size)
    model = start_from(options, recipe, batches)
    model = model.to(device, memory_format=torch.channels_last).train()
    parameters = list(model.parameters())
    head = dense.DenseHead(model.channels).to(device) if recipe.loss.pixel_weight else None
    if head:
        painter = dense.Painter(dense.Library(options.library), device)
        parameters += head.parameters()
    run = Runner(model, features=head is not None)
    networks = [
        Runner(load_detector_of(options.networks / name, recipe).to(device, memory_format=torch.channels_last).eval().requires_grad_(False))
        for name in recipe.networks()]
    optimizer = make_optimizer(parameters, schedule)
    ema = {name: value.detach().clone() for name, value in model.state_dict().items()}
    step, spent, crops = 0, 0.0, 0
    if last.exists():
        saved = torch.load(last, map_location=device, weights_only=True)
        model.load_state_dict(saved["model"])
        if head:
            head.load_state_dict(saved["dense"])
        # Tensors and integers only: what torch.load of PyTorch 1.13 reads without executing anything.
        optimizer.load_state_dict({**optimizer.state_dict(), "state": saved["optimizer"]})
        ema = saved["ema"]
        step, spent, crops = saved["step"], saved["seconds"], saved["crops"]
        if team.leads:
            print(f"going on from step {step}, {format_time(spent)} into the run", flush=True)

    loading = {"num_workers": options.workers, "prefetch_factor": 4} if options.workers else {}
    loader = torch.utils.data.DataLoader(batches, batch_size=None, sampler=range(step, schedule.steps), **loading)

    log = None
    if team.leads:
        log_path = options.out / "log.csv"
        fresh = not log_path.exists()
        log_file = open(log_path, "a", newline="", encoding="utf-8", buffering=1)
        log = csv.writer(log_file)
        if fresh:
            log.writerow(["step", "crops", "seconds", "rate", *PARTS])

    stop = False

    def ask_to_stop(*_: object) -> None:
        nonlocal stop
        stop = True

    handler_before = signal.signal(signal.SIGTERM, ask_to_stop)
    began = time.monotonic() - spent
    # On the device until they are written: reading a number there waits for all that was asked of it.
    sums = dict.fromkeys(PARTS, torch.zeros((), device=device))
    reported, saved_at = step, time.monotonic()

    def save() -> None:
        save_atomically(
            {"model": model.state_dict(), "dense": head.state_dict() if head else {}, "ema": ema,
             "optimizer": optimizer.state_dict()["state"], "step": step, "seconds": round(time.monotonic() - began), "crops": crops,
             "architecture": recipe.architecture, "profile": recipe.profile}, last)

    for batch in loader:
        if step == schedule.freeze_norms:
            # From here on the network is the running mean, and BatchNorm what it is in inference.
            model.load_state_dict(ema)
            team.average_state(model)
        model.train(step < schedule.freeze_norms)
        rate = learning_rate(step, schedule)
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = {name: value.to(device) for name, value in batch.items()}
        pixels = batch.pop("image")
        outputs = run(pixels)
        loss, parts = multi_task_loss(outputs, batch, recipe.loss)
        if networks:
            taught = teachers_outputs(networks, pixels, batch["network"], outputs)
            distance = teaching_loss(outputs, taught, batch["network"] >= 0, recipe.loss)
            loss, parts["teacher"] = loss + recipe.loss.teacher_weight * distance, distance.detach()
        if head:
            drawn, parts["pixel"] = dense.pixel_loss(head, painter, outputs["features"], pixels, batch, recipe.loss)
            loss = loss + recipe.loss.pixel_weight * drawn
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        # All stop after the same step.
        stopping, = team.average(parameters, float(stop))
        torch.nn.utils.clip_grad_norm_(parameters, 20.0)
        optimizer.step()
        step += 1
        crops += batches.size(pixels.shape[1])
        update_ema(ema, model, schedule.ema, step)
        for name, value in parts.items():
            sums[name] = sums[name] + value
        if team.leads:
            seconds = time.monotonic() - began
            if step % 50 == 0:
                means = {name: float(value) / (step - reported) for name, value in sums.items()}
                log.writerow([step, crops, f"{seconds:.1f}", f"{rate:.6f}", *(f"{v:.4f}" for v in means.values())])
                left = seconds / step * (schedule.steps - step)
                print(f"step {step}  crops {crops}  rate {rate:.5f}  " + "  ".join(f"{n} {v:.3f}" for n, v in means.items())
                      + f"  {format_time(seconds)} done, {format_time(left)} left", flush=True)
                sums, reported = dict.fromkeys(PARTS, torch.zeros((), device=device)), step
            if time.monotonic() - saved_at > 60 * options.save_minutes:
                save()
                saved_at = time.monotonic()
            if step % options.snapshot_steps == 0 or step == schedule.steps:
                save_atomically({"ema": ema}, options.out / f"ema_{step:06d}.pth")
                trial = Network(recipe.architecture, recipe.profile).to(device)
                trial.load_state_dict(ema)
                measure.append_progress(options.out / "dev.csv", step, crops, trial.eval(), dev)
        if stopping:
            break
    signal.signal(signal.SIGTERM, handler_before)
    if team.leads:
        save()
        log_file.close()


if __name__ == "__main__":
    try:
        command = parse_arguments()
        print(train(command, recipe_code.load(command.recipe)))
    except (ValueError, OSError) as error:
        raise SystemExit(str(error)) from None
