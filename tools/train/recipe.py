"""A recipe: everything that decides what a training makes of its data, read from one TOML file."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
import tomllib
from typing import Any, get_type_hints


NEVER = 2**31
"""A step that no run has."""


@dataclass
class Schedule:
    """Length and rates. Everything is counted in steps, so that a run is the same on any machine, stopped or not."""

    steps: int
    batch: int
    """Crops of the first side a step, over all processes; of larger ones as many as have the same number of pixels."""
    learning_rate: float
    """Peak of AdamW's rate."""
    warmup: int
    """First steps, in which the rate rises in a line."""
    decay: int
    """Last steps of the first cycle, in which it falls by half a cosine to 1 %; between both it stays. What is learnt before the last
    steps does not depend on how many there are."""
    restart: int = NEVER
    """The step at which a second cycle begins, if there is one (Loshchilov & Hutter 2017): the rate is `restart_rate` again, and falls by
    half a cosine over all that is left."""
    restart_rate: float = 0.0
    weight_decay: float = 0.02
    """Of filters; BatchNorm's values and biases are not decayed."""
    ema: float = 0.9995
    """Decay of the running mean of the weights, which is the result."""
    freeze_norms: int = NEVER
    """The step from which on BatchNorm uses the statistics that inference uses (by default never). A step has few large
    crops, whose own statistics differ from those of all crops: what is read from them at the end should be learnt with them too."""
    plain_end: int = 0
    """Last steps of each cycle in which `Crops.plain_at_end` holds."""

    def left(self, step: int) -> int:
        """Steps from `step` to the end of its cycle."""
        return (self.restart if step < self.restart < self.steps else self.steps) - step

    def of_length(self, steps: int) -> Schedule:
        """The same of another number of steps."""
        def scaled(count: int) -> int:
            return count if count == NEVER else round(count * steps / self.steps)

        names = "warmup", "decay", "restart", "freeze_norms", "plain_end"
        return replace(self, steps=steps, **{name: scaled(getattr(self, name)) for name in names})


@dataclass
class Collection:
    """Photographs `name`.tar, labels `name`.jsonl and, where there are any, a teacher's faces `name`.teacher.jsonl."""

    name: str
    labels: str
    """`boxes`: faces drawn by people; `heads`: heads marked by people, faces by the teacher; `none`: no face in them."""
    taught_by: str = ""
    """Weights file, in the folder of `train.py --networks`, whose outputs on crops with these photographs are taught beside the
    labels (`Loss.teacher_weight`). Of a crop's photographs the collection that is listed last decides."""
    weights: dict[str, float] = field(default_factory=dict)
    """How much more often than by its number a source's photographs are drawn (1 where not named). A source is what stands
    before the first underscore of a file's name."""


@dataclass
class Crops:
    """Probabilities and ranges of the random crops. Sides of faces are square roots of their areas, in pixels of the crop."""

    sides: list[int]
    shares: list[float]
    """Share of the steps that have crops of each side."""
    negative: float = 0.10
    """Share of the crops from photographs without a face."""
    mosaic: float = 0.15
    """Share of the crops that are tiled with shrunken photographs."""
    negative_tile: float = 0.15
    """Share of a mosaic's tiles that come from photographs without a face."""
    redistributed: float = 0.5
    """Share of the crops of one photograph that are squares of `shortest_side` times its shorter side ("sample
    redistribution", Guo et al. 2021); in the others one face is brought to a side drawn log-uniformly."""
    shortest_side: list[float] = field(default_factory=lambda: [0.3, 2.0])
    smallest: float = 6.5
    """Smallest side of a chosen face."""
    largest_share: float = 1.0
    """Largest side of a chosen face as a share of the crop's side."""
    upscale: float = 3.0
    """Largest enlargement of a photograph."""
    close_up: float = 0.35
    """Share of the one-photograph crops of over 384 px that are close-ups: the largest face of a photograph that has one of
    at least `close_up_face` px, at a quarter of the crop's side or more."""
    close_up_face: float = 96.0
    close_up_upscale: float = 6.0
    close_up_largest: float = 1.1
    """Largest side of a close-up's face as a share of the crop's side."""
    plain: float = 0.15
    """Share of the crops that are resized, mirrored and nothing else."""
    plain_at_end: float = 0.65
    """The same in the last part of a run: distortions teach generality, the end fits photographs as they come."""
    aspect: float = 0.3
    """Share of the crops whose aspect is changed, by `aspect_range`."""
    aspect_range: list[float] = field(default_factory=lambda: [0.7, 1.4])
    turn: float = 0.25
    """Share of the crops turned by up to `turn_degrees`."""
    turn_degrees: float = 40.0
    quarter_turn: float = 0.02
    """Share of the crops turned by 90, 180 or 270 degrees."""
    occlusion: float = 0.10
    """Share of the faces of 12 px and more that are partly covered."""
    low_light: float = 0.06
    """Share of the crops that are darkened to a fraction, with noise."""


@dataclass
class Loss:
    """Weights and shapes of the terms. Every term is a weighted mean over its anchors, summed over its values."""

    class_weight: float = 1.0
    box_weight: float = 1.0
    overlap_weight: float = 0.0
    """Of 1 - generalised IoU (Rezatofighi et al. 2019): smooth-L1 measures an error against the anchor, which for an 8 px
    face is twice the face or more; detections are judged by overlap."""
    landmark_weight: float = 1.0
    landmark_size_power: float = 1.0
    """Power of an anchor's weight, which grows with its face, in the landmark term: above 1, large faces own more of it. Tiny
    faces' landmarks are mostly noise; large faces' are what alignment lives on."""
    landmark_centred_power: float = 0.0
    """Power of an anchor's IoU with its face, relative to the face's best anchor, in the landmark term: suppression keeps
    one anchor of a face, nearly always a well centred one, and only its landmarks are used."""
    negatives: float = 7.0
    """Mined negatives per positive, over the whole batch: photographs without a face give their hardest anchors too."""
    negative_weight: float = 12.0
    """Weight in the class loss of a photograph without a face: among thousands of mined negatives beside faces, a dog taken
    for a face would hardly count."""
    crowd_power: float = 0.0
    """A crop of more than `crowd_anchors` positive anchors weighs, whole, their number to 1 minus this power: with 0, a crop of
    a hundred faces counts a hundred times as much as a portrait, with 1 as much as any."""
    crowd_anchors: float = 12.0
    teacher_weight: float = 0.0
    """Of the same terms towards the outputs that the network `Collection.taught_by` has for the crop: labels name a face's best
    anchors, a network says what it makes of each."""
    pixel_weight: float = 0.0
    """Of the dense part (`dense.py`): faces drawn from 144 numbers of their anchor, held against the photograph. 0: it is not computed.
    It teaches features only; a weights file has no such numbers."""
    pixel_faces: int = 8
    """Faces a step and process that are drawn."""
    pixel_least: float = 24.0
    """Smallest side in pixels of a face that is drawn."""
    pixel_prior: float = 0.02
    """Of the mean squares of a face's numbers, beside the pixels' mean distance."""
    pixel_points: float = 2.0
    """Where landmarks are taught: of the distance of the drawn mesh's own five points from them, as a share of what is drawn over."""
    box_beta: float = 0.3
    landmark_beta: float = 0.2
    """Where smooth-L1 turns from quadratic to linear, in units of 0.1 anchor sizes. Below 1, the loss keeps pulling at
    errors of a few percent, which is what landmark accuracy is about."""


@dataclass
class Weights:
    """What the weights file says about itself, and what its scores mean."""

    version: str
    source: str
    licence: str
    precision: float
    """Share of the detections that is right where the score is 0.5 or more, on crowds kept out of training."""


@dataclass
class Recipe:
    """One training from data to a weights file."""

    architecture: str
    profile: str
    weights: Weights
    schedule: Schedule
    collections: list[Collection]
    crops: Crops
    loss: Loss

    def networks(self) -> list[str]:
        """The weights files whose outputs are taught, in the order of the collections."""
        return list(dict.fromkeys(c.taught_by for c in self.collections if c.taught_by)) if self.loss.teacher_weight else []

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for files."""
        return asdict(self)


LABELS = ("boxes", "heads", "none")


def load(path: Path) -> Recipe:
    """Reads a recipe. Raises ValueError that names the key, what was expected and what was found."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: expected TOML: {error}") from None
    recipe = _read(Recipe, content, str(path))
    crops = recipe.crops
    for problem, words in (
        (not recipe.collections, "[[collections]]: expected one or more, found none"),
        (len(crops.sides) != len(crops.shares) or not crops.sides,
         f"crops.shares: expected a number for each of the {len(crops.sides)} sides, found {len(crops.shares)}"),
        (any(side % 32 or side < 64 for side in crops.sides),
         f"crops.sides: expected multiples of 32 from 64 on, found {crops.sides}"),
        (recipe.schedule.steps < 1, f"schedule.steps: expected 1 or more, found {recipe.schedule.steps}"),
        (recipe.schedule.warmup < 0 or recipe.schedule.decay < 0 or recipe.schedule.warmup + recipe.schedule.decay > recipe.schedule.left(0),
         f"schedule: expected a warmup and a decay within the {recipe.schedule.left(0)} steps of the first cycle, "
         f"found {recipe.schedule.warmup} and {recipe.schedule.decay}"),
        (recipe.schedule.restart != NEVER and not 0 < recipe.schedule.restart <= recipe.schedule.steps,
         f"schedule.restart: expected a step of the run's {recipe.schedule.steps}, found {recipe.schedule.restart}"),
        (recipe.schedule.restart != NEVER and recipe.schedule.restart_rate <= 0,
         f"schedule.restart_rate: expected a rate for the second cycle, found {recipe.schedule.restart_rate:g}"),
    ):
        if problem:
            raise ValueError(f"{path}: {words}")
    for collection in recipe.collections:
        if collection.labels not in LABELS:
            raise ValueError(
                f"{path}: collection {collection.name}: expected labels {', '.join(LABELS)}, found {collection.labels!r}")
    return recipe


def _read(kind: type, content: dict[str, Any], where: str) -> Any:
    """A dataclass from a table of the same names; what the table leaves out has its default."""
    types = get_type_hints(kind)
    known = {f.name: f for f in fields(kind)}
    for name in content:
        if name not in known:
            raise ValueError(f"{where}: expected one of {', '.join(known)}, found {name!r}")
    values = {}
    for name, value in content.items():
        wanted = types[name]
        if is_dataclass(wanted):
            value = _read(wanted, value, f"{where}: {name}")
        elif wanted == list[Collection]:
            value = [_read(Collection, item, f"{where}: {name}") for item in value]
        elif wanted is float and type(value) is int:
            value = float(value)
        elif wanted in (int, float, str) and type(value) is not wanted:
            raise ValueError(f"{where}: {name}: expected {wanted.__name__}, found {value!r}")
        values[name] = value
    try:
        return kind(**values)
    except TypeError as error:
        raise ValueError(f"{where}: {error}".replace(f"{kind.__name__}.__init__() ", "")) from None
