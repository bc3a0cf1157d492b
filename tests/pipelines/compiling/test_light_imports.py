"""Importing Mainspring costs little more than importing kfp, and loads no TensorFlow and no Beam.

It is held as a share of the processor time that importing kfp takes, so it holds on a slow machine and on a busy one.
"""

from __future__ import annotations

import json
import subprocess
import sys

from mainspring.pipelines import environments

CODE = """
import json, sys, time
start = time.process_time()
import kfp, kfp.dsl, kfp.compiler
kfp_seconds = time.process_time() - start
import mainspring.components, mainspring.pipelines
from mainspring.components import *
from mainspring.pipelines import continuous_training
print(json.dumps({"share": (time.process_time() - start - kfp_seconds) / kfp_seconds, "modules": sorted(sys.modules)}))
"""


def test_importing_everything_public_is_quick_and_light() -> None:
    runs = [
        json.loads(subprocess.run([sys.executable, "-c", CODE], capture_output=True, check=True).stdout)
        for _ in range(3)
    ]
    heavy = {"tensorflow", "apache_beam", "tensorflow_data_validation", "tensorflow_model_analysis", "duckdb", "pandas"}
    assert not heavy & set(runs[0]["modules"])
    assert min(run["share"] for run in runs) < 0.5


COMPILING = """
import json, sys
from mainspring.pipelines.compiling import catalogue, kfp_yaml
text = kfp_yaml.compiled(catalogue.load("continuous_monitoring"))
modules = sorted(sys.modules)
import kfp
from kfp import Client
from kfp.client import Client as the_same
print(json.dumps({"modules": modules, "is_whole": Client is the_same is kfp.Client, "text": text}))
"""


def test_what_is_compiled_to_be_submitted_needs_no_client_of_kubernetes_and_leaves_kfp_whole() -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", COMPILING], capture_output=True, check=True)
    found = json.loads(done.stdout)
    assert not {"kubernetes", "kfp_server_api", "google.auth"} & set(found["modules"])
    assert found["is_whole"]
    assert found["text"] == (environments.PIPELINES / "continuous_monitoring.yaml").read_text(encoding="utf-8")
