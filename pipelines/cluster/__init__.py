"""A Kubeflow Pipelines cluster: pipelines by content, runs that are followed, schedules as code."""

from __future__ import annotations

from mainspring.pipelines.cluster.connection import Cluster as Cluster
from mainspring.pipelines.cluster.connection import connect as connect
