#!/usr/bin/env python3
"""Faces of a folder of pictures as Parquet, on Apache Spark: spark_faces.py PICTURES OUTPUT [--master local[2,4]]

PICTURES and OUTPUT are anything that Spark reads and writes (hdfs://, s3a://, a shared folder); OUTPUT must be a folder here for what is
done to be left out. A task takes a partition of pictures through one detector; Spark runs a task again, up to four times, whose worker
dies, and commits each task's rows once. Start it again with the same OUTPUT and it does what is not done yet.

On a cluster: spark-submit --py-files faces_table.py spark_faces.py ..., with the retinaface package on every machine.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Iterator

import pandas as pd
from faces_table import PICTURES, finished, row_of
from pyspark.sql import SparkSession
from pyspark.sql.functions import col

SCHEMA = "path string, width int, height int, error string, faces array<struct<score: float, box: array<float>, landmarks: array<float>>>"

# A job's rows appear when all its tasks are done: the pictures of the one that was cut short are done again.
PICTURES_A_JOB = 100_000


def find_faces(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    columns = ["path", "width", "height", "error", "faces"]
    for batch in batches:
        rows = [row_of(path, data) for path, data in zip(batch["path"], batch["content"])]
        frame = pd.DataFrame(rows, columns=columns)
        yield frame.astype({"width": "Int32", "height": "Int32"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures")
    parser.add_argument("output", type=Path)
    parser.add_argument("--master", help="as spark-submit's; local[2,4]: two workers here, four attempts")
    parser.add_argument("--partitions", type=int, default=16, help="tasks a job; some minutes of work each (default: 16)")
    arguments = parser.parse_args()

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # workers' Python; on a cluster the same path on every machine
    builder = SparkSession.builder.appName("faces")
    if arguments.master:
        builder = builder.master(arguments.master)
    # Pictures travel to Python in batches: 32 of a few MB each.
    spark = builder.config("spark.sql.execution.arrow.maxRecordsPerBatch", "32").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")

    suffixes = "|".join(suffix.lstrip(".") for suffix in PICTURES)
    pictures = spark.read.format("binaryFile").option("recursiveFileLookup", "true").load(arguments.pictures)
    files = sorted(row.path for row in pictures.select("path").where(col("path").rlike(rf"(?i)\.({suffixes})$")).collect())
    done = finished(arguments.output)
    todo = [path for path in files if path not in done]
    print(f"{len(files)} pictures, {len(todo)} to do")
    for first in range(0, len(todo), PICTURES_A_JOB):
        (
            spark.read.format("binaryFile")
            .load(todo[first : first + PICTURES_A_JOB])
            .select("path", "content")
            .repartition(arguments.partitions)
            .mapInPandas(find_faces, SCHEMA)
            .write.mode("append")
            .parquet(str(arguments.output.resolve()))
        )
    spark.stop()


if __name__ == "__main__":
    main()
