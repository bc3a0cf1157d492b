"""Prints the seconds of TFX's ExampleGen and StatisticsGen on Parquet files, on Beam's DirectRunner, imports left out.

Run in an environment of its own that holds TFX, as `data_bench` does: `python tfx_path.py FOLDER`.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from tfx import v1 as tfx
from tfx.components.example_gen.component import FileBasedExampleGen
from tfx.components.example_gen.custom_executors import parquet_executor
from tfx.dsl.components.base import executor_spec


def main(source: str) -> None:
    """Runs the two components by TFX's local runner."""
    with tempfile.TemporaryDirectory() as folder:
        examples = FileBasedExampleGen(
            input_base=source, custom_executor_spec=executor_spec.BeamExecutorSpec(parquet_executor.Executor)
        )
        statistics = tfx.components.StatisticsGen(examples=examples.outputs["examples"])
        pipeline = tfx.dsl.Pipeline(
            pipeline_name="bench",
            pipeline_root=folder,
            metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
                str(Path(folder) / "metadata.db")
            ),
            components=[examples, statistics],
            beam_pipeline_args=["--runner=DirectRunner"],
        )
        started = time.perf_counter()
        tfx.orchestration.LocalDagRunner().run(pipeline)
        seconds = time.perf_counter() - started
        written = sorted(path.name for path in Path(folder).rglob("FeatureStats.pb"))
    if not written:
        sys.exit("TFX wrote no statistics")
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main(sys.argv[1])
