"""Importing Mainspring costs little more than importing kfp, and loads no TensorFlow and no Beam."""

from __future__ import annotations

import json
import subprocess
import sys

CODE = """
import json, sys, time
start = time.perf_counter()
import kfp, kfp.dsl, kfp.compiler
kfp_seconds = time.perf_counter() - start
import mainspring.components, mainspring.pipelines
from mainspring.components import *
from mainspring.pipelines import continuous_training
print(json.dumps({"ours": time.perf_counter() - start - kfp_seconds, "modules": sorted(sys.modules)}))
"""


def test_importing_everything_public_is_quick_and_light() -> None:
    runs = [
        json.loads(subprocess.run([sys.executable, "-c", CODE], capture_output=True, check=True).stdout)
        for _ in range(3)
    ]
    heavy = {"tensorflow", "apache_beam", "tensorflow_data_validation", "tensorflow_model_analysis", "duckdb", "pandas"}
    assert not heavy & set(runs[0]["modules"])
    assert min(run["ours"] for run in runs) < 0.3
