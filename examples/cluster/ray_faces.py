#!/usr/bin/env python3
"""Faces of a folder of pictures as Parquet, on Ray Data: ray_faces.py PICTURES OUTPUT [--workers N]

PICTURES and OUTPUT are folders that every machine sees (for object storage give `read_binary_files` and `write_parquet` a pyarrow
filesystem). A worker is an actor with one detector; a worker or machine that dies is replaced and its batches run again. Start it again
with the same OUTPUT and it does what is not done yet.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
import ray
from faces_table import PICTURES, finished, table_of

# A job writes its rows when its files are complete: the pictures of the one that was cut short are done again.
PICTURES_A_JOB = 100_000


class FaceFinder:
    """A worker: keeps its detector from batch to batch."""

    def __call__(self, batch: dict[str, np.ndarray]) -> pa.Table:
        return table_of(batch["path"], batch["bytes"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--workers", type=int, default=1, help="processes, one core each (default: 1)")
    parser.add_argument("--files", type=int, default=16, help="Parquet files a job (default: 16)")
    arguments = parser.parse_args()

    files = sorted(str(path) for path in arguments.pictures.resolve().rglob("*") if path.suffix.lower() in PICTURES)
    done = finished(arguments.output)
    todo = [path for path in files if path not in done]
    print(f"{len(files)} pictures, {len(todo)} to do")
    ray.init(log_to_driver=False, num_cpus=None if ray.is_initialized() else arguments.workers + 1)
    for first in range(0, len(todo), PICTURES_A_JOB):
        (
            ray.data.read_binary_files(todo[first : first + PICTURES_A_JOB], include_paths=True, override_num_blocks=arguments.files)
            .map_batches(
                FaceFinder,
                batch_size=32,
                concurrency=arguments.workers,
                num_cpus=1,
                # A lost actor is started again, and what it was doing is done again.
                max_restarts=-1,
                max_task_retries=-1,
            )
            .write_parquet(str(arguments.output.resolve()))
        )
    ray.shutdown()


if __name__ == "__main__":
    main()
