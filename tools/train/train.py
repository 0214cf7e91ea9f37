"""Trains RetinaFace (MobileNet-0.25, profile `biubug6`). See README.md for the command of the shipped weights.

The schedule runs against the clock (`--minutes`) or a number of steps (`--steps`), so the same recipe fits any
machine; the learning rate reaches its end exactly when the time is used up. Everything a run needs to go on after a
stop is in `last.pt`, written atomically: give the same command again.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import asdict
import json
import math
import os
from pathlib import Path
import signal
import time

import torch
from torch import Tensor, nn

import data
import evaluate
from losses import LossOptions, multi_task_loss
from model import PIXEL_MEAN_BGR, RetinaFace, load_detector, load_imagenet_backbone, load_mean, restore_norms


RECIPE = LossOptions(
    class_weight=2.5, iou_weight=2.0, landmark_weight=2.0, landmark_size_power=2.0, distill_landmark=1.6)
"""The loss of the shipped weights. (`LossOptions` by itself is the paper's.)"""


PLAIN_AT_END = 0.65
"""Share of undistorted crops in the part of a run that `--plain-end` names."""


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Command line; `--help` is the reference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    source = parser.add_argument_group("data (one of --data, --wider)")
    source.add_argument("--data", type=Path, help="folder with train.tar, train.jsonl, train.teacher.jsonl and, "
                        "optionally, negatives.tar and negatives.jsonl")
    source.add_argument("--wider", type=Path, help="label.txt of retinaface_gt, beside a folder images/")
    source.add_argument("--exclude-source", default=None, help="leave this source out (cross-source check)")
    source.add_argument("--limit", type=int, default=None, help="use this many photographs only")
    source.add_argument("--teacher-mix", type=float, default=0.0, help="how far people's boxes move to the teacher's")
    source.add_argument("--source-weights", nargs="+", metavar="SOURCE=TIMES", help="how much more often than by its number "
                        "a source's photographs are drawn (default: "
                        + " ".join(f"{name}={times}" for name, times in data.AugmentOptions().source_weights.items()) + ")")
    source.add_argument("--dev-share", type=float, default=0.03, help="share of the photographs (by name hash) kept "
                        "out of training, for choosing checkpoints")
    start = parser.add_argument_group("start")
    start.add_argument("--backbone", type=Path, help="ImageNet MobileNet-0.25 checkpoint")
    start.add_argument("--init", type=Path, nargs="+", help="whole detector to go on from (fine-tuning); of several, the mean")
    start.add_argument("--init-shares", type=float, nargs="+", help="shares of several in the mean (default: equal)")
    start.add_argument("--only", nargs="+", metavar="MODULE", help="train these modules (ssh3, BboxHead.2, ...) and leave the "
                       "rest, BatchNorm statistics too, as it is")
    start.add_argument("--teacher", type=Path, help="detector whose raw outputs are copied where it is sure")
    schedule = parser.add_argument_group("schedule")
    schedule.add_argument("--minutes", type=float, help="length of the run on the clock")
    schedule.add_argument("--steps", type=int, help="length of the run in steps (instead of --minutes)")
    schedule.add_argument("--batch", type=int, default=16, help="crops of the first size a step and process; of larger "
                          "ones as many as have the same number of pixels")
    schedule.add_argument("--crops", type=int, nargs="+", default=[256, 512, 768], help="sides of the crops, pixels")
    schedule.add_argument("--crop-shares", type=float, nargs="+", default=[0.66, 0.28, 0.06], help="shares of the steps "
                          "that have crops of those sides")
    schedule.add_argument("--optimizer", choices=("adamw", "sgd"), default="adamw")
    schedule.add_argument("--lr", type=float, default=2e-3, help="peak learning rate (SGD as in the paper: 1e-2)")
    schedule.add_argument("--weight-decay", type=float, default=None, help="default 0.02 for AdamW, 5e-4 for SGD")
    schedule.add_argument("--warmup", type=float, default=0.02, help="share of the run")
    schedule.add_argument("--ema", type=float, default=0.9985, help="decay of the weights' running mean")
    schedule.add_argument("--plain-end", type=float, default=0.0, help="share of the run, at its end, in which "
                          f"{PLAIN_AT_END:.0%} of the crops are resized and mirrored and nothing else".replace("%", "%%"))
    loss = parser.add_argument_group("loss")
    for name, value in asdict(RECIPE).items():
        kind = {"choices": ("ohem", "focal")} if name == "class_loss" else {"type": float}
        loss.add_argument("--" + name.replace("_", "-"), default=value, **kind)
    output = parser.add_argument_group("output")
    output.add_argument("--out", type=Path, required=True, help="folder of the run")
    output.add_argument("--save-minutes", type=float, default=2.0, help="time between writes of last.pt")
    output.add_argument("--snapshot-minutes", type=float, default=10.0, help="time between kept snapshots of the EMA")
    output.add_argument("--eval-data", type=Path, help="folder with val.tar, val.jsonl: AP after every snapshot")
    output.add_argument("--eval-limit", type=int, default=140)
    machine = parser.add_argument_group("machine")
    machine.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    machine.add_argument("--processes", type=int, default=1, help="processes that share the work of a step, each with a "
                         "batch of its own; on a CPU one a core is faster than as many threads")
    machine.add_argument("--threads", type=int, default=1, help="threads a process")
    machine.add_argument("--workers", type=int, default=0, help="loader processes; 0: in this process")
    machine.add_argument("--no-bf16", action="store_true", help="compute in float32")
    machine.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    if (options.data is None) == (options.wider is None):
        parser.error("give either --data or --wider")
    if (options.minutes is None) == (options.steps is None):
        parser.error("give either --minutes or --steps")
    if len(options.crops) != len(options.crop_shares):
        parser.error("--crops and --crop-shares name as many numbers each")
    unknown = [name for name in options.only or [] if name not in dict(RetinaFace().named_modules())]
    if unknown:
        parser.error(f"--only names modules of the network (model.py), found {' '.join(unknown)}")
    if options.source_weights is not None:
        try:
            pairs = [pair.split("=") for pair in options.source_weights]
            options.source_weights = {name: float(times) for name, times in pairs}
        except ValueError:
            parser.error(f"--source-weights wants SOURCE=TIMES..., found {' '.join(options.source_weights)}")
    if options.init_shares is not None and len(options.init_shares) != len(options.init or []):
        parser.error("--init-shares has a number for every detector of --init")
    return options


def read_training_data(options: argparse.Namespace) -> tuple[list[data.Photo], list[data.Photo], list[data.Photo]]:
    """Photographs with faces for training, negatives for training, and the held-out photographs (`dev`)."""
    if options.data is not None:
        teacher = options.data / "train.teacher.jsonl"
        photos = data.read_tar(
            options.data / "train.tar", options.data / "train.jsonl", teacher if teacher.exists() else None,
            options.teacher_mix, options.limit,
        )
    else:
        photos = data.read_wider(options.wider, limit=options.limit)
    negatives = []
    if options.data is not None and (options.data / "negatives.tar").exists():
        negatives = data.read_tar(
            options.data / "negatives.tar", options.data / "negatives.jsonl", limit=options.limit
        )
        # The other half measures false alarms: evaluate.py splits by the same hash.
        negatives = [p for p in negatives if data.name_hash(p.name) < 0.5]
    dev = [p for p in photos if data.name_hash(p.name) < options.dev_share]
    training = [p for p in photos if data.name_hash(p.name) >= options.dev_share]
    if options.exclude_source:
        training = [p for p in training if p.source != options.exclude_source]
    return training, negatives, dev


def prepare(image: Tensor, device: torch.device) -> Tensor:
    """uint8 [B, H, W, 3] (B, G, R) to the network's float input [B, 3, H, W], in channels-last memory."""
    mean = torch.tensor(PIXEL_MEAN_BGR, device=device)
    return (image.to(device).float() - mean).permute(0, 3, 1, 2)


def learning_rate(progress: float, options: argparse.Namespace) -> float:
    """Linear warm-up, then half a cosine to 1 % of the peak. `progress` in 0..1.

    The cosine replaces the paper's steps at fixed epochs: it needs no tuning when the length of a run changes.
    """
    if progress < options.warmup:
        return options.lr * (0.02 + 0.98 * progress / options.warmup)
    rest = (progress - options.warmup) / (1 - options.warmup)
    return options.lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, rest))))


def make_optimizer(model: nn.Module, options: argparse.Namespace) -> torch.optim.Optimizer:
    """AdamW or SGD; BatchNorm parameters and biases are not decayed."""
    decay = options.weight_decay if options.weight_decay is not None else (
        0.02 if options.optimizer == "adamw" else 5e-4)
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if options.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=options.lr, momentum=0.9)
    return torch.optim.AdamW(groups, lr=options.lr)


def update_ema(ema: dict[str, Tensor], model: nn.Module, decay: float, step: int) -> None:
    """Running mean of weights and BatchNorm statistics; it follows faster during the first steps."""
    decay = min(decay, (1 + step) / (10 + step))
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                ema[name].lerp_(value, 1 - decay)
            else:
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
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients] + [torch.tensor(more, device=gradients[0].device)])
        torch.distributed.all_reduce(flat)
        flat /= self.size
        begin = 0
        for gradient in gradients:
            gradient.copy_(flat[begin : begin + gradient.numel()].view_as(gradient))
            begin += gradient.numel()
        return flat[begin:].tolist()

    def close(self) -> None:
        """Leaves the team."""
        if self.size > 1:
            torch.distributed.destroy_process_group()


def train(options: argparse.Namespace) -> Path:
    """Runs the training and returns the path of the final state dict (EMA), `final.pth` in the output folder."""
    options.out.mkdir(parents=True, exist_ok=True)
    if options.processes == 1:
        return train_in(Team(0, 1, options.out), options)
    store = options.out / "team"
    store.unlink(missing_ok=True)
    context = torch.multiprocessing.spawn(train_one_of, (options, store), options.processes, join=False)
    # A stop is every process's to make, so that all leave after the same step.
    forward = signal.signal(signal.SIGTERM, lambda *_: [os.kill(pid, signal.SIGTERM) for pid in context.pids()])
    while not context.join():
        pass
    signal.signal(signal.SIGTERM, forward)
    store.unlink(missing_ok=True)
    final = options.out / "final.pth"
    return final if final.exists() else options.out / "last.pt"


def train_one_of(rank: int, options: argparse.Namespace, store: Path) -> None:
    """What each of several processes runs."""
    team = Team(rank, options.processes, store)
    train_in(team, options)
    team.close()


def train_in(team: Team, options: argparse.Namespace) -> Path:
    """One process's part of `train`."""
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    # Gradients that have decayed to denormals cost a hundred times the time of ordinary numbers on x86.
    torch.set_flush_denormal(True)
    device = torch.device(options.device)
    last = options.out / "last.pt"

    photos, negatives, dev = read_training_data(options)
    if team.leads:
        print(f"{len(photos)} photographs, {sum(len(p.boxes) for p in photos)} faces, "
              f"{len(negatives)} negatives, {len(dev)} held out", flush=True)
    held_out = {"dev": dev}
    if options.eval_data is not None and team.leads:
        held_out["val"] = data.read_tar(
            options.eval_data / "val.tar", options.eval_data / "val.jsonl", limit=options.eval_limit)

    augment = data.AugmentOptions()
    if options.source_weights is not None:
        augment.source_weights = options.source_weights
    model = RetinaFace()
    if options.init is not None:
        model = load_mean(options.init, options.init_shares)
        if options.init[0].suffix == ".safetensors":
            # The same crops in every process of a team.
            crops_to_measure = next(iter(data.CropDataset(photos, negatives, [(512, 12, 1.0)], augment, options.seed)))
            restore_norms(model, prepare(crops_to_measure["image"], torch.device("cpu")))
    elif options.backbone is not None:
        load_imagenet_backbone(model, str(options.backbone))
    model = model.to(device, memory_format=torch.channels_last).train()
    if options.only:
        model.eval().requires_grad_(False)
        for name in options.only:
            model.get_submodule(name).requires_grad_(True)
    teacher = None
    if options.teacher is not None and (options.distill_box > 0 or options.distill_landmark > 0):
        teacher = load_detector(str(options.teacher)).to(device, memory_format=torch.channels_last).eval()
        teacher.requires_grad_(False)
    optimizer = make_optimizer(model, options)
    ema = {name: value.detach().clone() for name, value in model.state_dict().items()}
    loss_options = LossOptions(**{name: getattr(options, name) for name in asdict(LossOptions())})

    step, spent, crops = 0, 0.0, 0
    if last.exists():
        saved = torch.load(last, map_location=device, weights_only=True)
        model.load_state_dict(saved["model"])
        # Tensors and integers only: what torch.load of PyTorch 1.13 reads without executing anything.
        optimizer.load_state_dict({**optimizer.state_dict(), "state": saved["optimizer"]})
        ema = saved["ema"]
        step, spent, crops = saved["step"], saved["seconds"], saved["crops"]
        if team.leads:
            print(f"going on from step {step}, {format_time(spent)} into the run", flush=True)

    sizes = [(side, max(1, round(options.batch * (options.crops[0] / side) ** 2)), share)
             for side, share in zip(options.crops, options.crop_shares)]
    dataset = data.CropDataset(photos, negatives, sizes, augment, options.seed + step, team.rank)
    loading = {"num_workers": options.workers, "prefetch_factor": 4} if options.workers else {}
    batches = iter(torch.utils.data.DataLoader(dataset, batch_size=None, **loading))

    log = None
    names = ["class", "box", "iou", "landmark", "distill_box", "distill_landmark"]
    if team.leads:
        (options.out / "options.json").write_text(
            json.dumps({name: str(value) for name, value in vars(options).items()}, indent=1))
        log_path = options.out / "log.csv"
        fresh = not log_path.exists()
        log_file = open(log_path, "a", newline="", encoding="utf-8", buffering=1)
        log = csv.writer(log_file)
        if fresh:
            log.writerow(["step", "crops", "seconds", "lr", *names])

    stop = False

    def ask_to_stop(*_: object) -> None:
        nonlocal stop
        stop = True

    handler_before = signal.signal(signal.SIGTERM, ask_to_stop)
    began = time.monotonic() - spent
    sums: dict[str, float] = {}
    reported, saved_at, snapshot_at = step, time.monotonic(), time.monotonic()

    def save() -> None:
        save_atomically(
            {"model": model.state_dict(), "ema": ema, "optimizer": optimizer.state_dict()["state"], "step": step,
             "seconds": round(time.monotonic() - began), "crops": crops}, last)

    def snapshot(tag: str) -> None:
        save_atomically(ema, options.out / f"ema_{tag}.pth")
        if any(held_out.values()):
            trial = RetinaFace().to(device)
            trial.load_state_dict(ema)
            evaluate.append_progress(options.out / "ap.csv", step, crops, trial, held_out, options.eval_limit)
        plot(options.out)

    progress, stopping = spent / (60 * options.minutes) if options.minutes else step / options.steps, 0.0
    parameters = list(model.parameters())
    while progress < 1 and not stopping:
        rate = learning_rate(progress, options)
        for group in optimizer.param_groups:
            group["lr"] = rate
        if progress > 1 - options.plain_end:
            dataset.plain.fill_(PLAIN_AT_END)
        batch = {name: value.to(device) for name, value in next(batches).items()}
        image = prepare(batch.pop("image"), device)
        with torch.autocast(device.type, torch.bfloat16, enabled=not options.no_bf16):
            outputs = model(image)
            with torch.no_grad():
                reference = teacher(image) if teacher is not None else None
        loss, parts = multi_task_loss(outputs, batch, reference, loss_options)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        step += 1
        crops += image.shape[0] * team.size
        seconds = time.monotonic() - began
        progress = seconds / (60 * options.minutes) if options.minutes else step / options.steps
        # All agree on how far the run is, and stop after the same step.
        progress, stopping = team.average(parameters, progress, float(stop))
        torch.nn.utils.clip_grad_norm_(parameters, 20.0)
        optimizer.step()
        update_ema(ema, model, options.ema, step)
        for name, value in parts.items():
            sums[name] = sums.get(name, 0.0) + value
        if not team.leads:
            continue
        if step % 50 == 0:
            count = step - reported
            means = {name: value / count for name, value in sums.items()}
            log.writerow([step, crops, f"{seconds:.1f}", f"{rate:.6f}", *(f"{means.get(n, 0):.4f}" for n in names)])
            left = seconds * (1 - progress) / max(progress, 1e-6)
            print(f"step {step}  crops {crops}  lr {rate:.5f}  "
                  + "  ".join(f"{n} {means[n]:.3f}" for n in names if n in means)
                  + f"  {format_time(seconds)} done, {format_time(left)} left", flush=True)
            sums, reported = {}, step
        now = time.monotonic()
        if now - saved_at > 60 * options.save_minutes:
            save()
            saved_at = now
        if now - snapshot_at > 60 * options.snapshot_minutes:
            snapshot(f"{step:06d}")
            snapshot_at = time.monotonic()
    signal.signal(signal.SIGTERM, handler_before)
    final = options.out / "final.pth"
    if team.leads:
        save()
        log_file.close()
        if stopping:
            print("stopped; the same command goes on from here", flush=True)
        else:
            save_atomically(ema, final)
            snapshot(f"{step:06d}")
            print(f"done: {final}", flush=True)
    return last if stopping else final


def plot(folder: Path) -> None:
    """Writes losses.png and ap.png from the CSV files, when matplotlib is installed."""
    try:
        import matplotlib
    except ImportError:
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot

    for name in ("log", "ap"):
        path = folder / f"{name}.csv"
        if not path.exists():
            continue
        with open(path, encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
        if not rows:
            continue
        figure, axes = pyplot.subplots(figsize=(9, 5))
        for column in rows[0]:
            if column not in ("step", "crops", "seconds", "lr"):
                axes.plot([int(r["crops"]) for r in rows], [float(r[column]) for r in rows], label=column)
        axes.set_xlabel("crops seen")
        axes.set_ylabel("loss" if name == "log" else "House AP")
        if name == "log":
            axes.set_yscale("log")
        axes.grid(alpha=0.3)
        axes.legend()
        figure.savefig(folder / f"{'losses' if name == 'log' else 'ap'}.png", dpi=110, bbox_inches="tight")
        pyplot.close(figure)


if __name__ == "__main__":
    train(parse_arguments())
