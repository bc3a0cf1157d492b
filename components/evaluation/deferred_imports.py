"""Imports of TensorFlow and TFMA, without what an evaluation never asks of them.

TFMA's root imports its Beam evaluators, writers and notebook widgets; through these, Keras and Beam come IPython, NLTK,
SciPy's statistics and Google's clients for BigQuery, Pub/Sub and Dataflow: a quarter of the imports' processor time.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from mainspring.components.common import deferred_imports

ROOT = "tensorflow_model_analysis"

UNUSED = (
    f"{ROOT}.metrics.bleu",  # With sacreBLEU and lxml.
    f"{ROOT}.metrics.rouge",  # With NLTK and rouge_score.
    "IPython",  # Of Keras' viewer of weight files.
    "google.cloud.bigquery",  # Of Beam's readers, with tqdm's and Jupyter's widgets.
    "google.cloud.bigquery_storage_v1",
    "google.cloud.dataflow",
    "google.cloud.pubsub",
    "googleapiclient.discovery",  # Of TensorFlow's way to find machines in Google's cloud.
    "scipy.ndimage",  # Of tf_keras' image generators.
    "scipy.stats",  # Of TFMA's confidence intervals; those here are the jackknife's.
)
"""Imported on first use, not with what names them."""


def deferred() -> AbstractContextManager[None]:
    """Defers what is imported inside, first, of `UNUSED` and of TFMA's root."""
    return deferred_imports.deferred([ROOT], UNUSED)
