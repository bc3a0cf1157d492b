"""Deployments and rollbacks in processes of their own, which can be killed.

An interpreter that has imported everything forks them. It reads an order a line (JSON: `kubeconfig`, `version`,
`percents`, `policy`; the first alone: a rollback), and says the process's number,
then its exit status: 0; 1 where it ended by a `UserError`; negative: the signal that ended it.
"""

from __future__ import annotations

import json
import os
import sys

import kserve_cluster
import kubernetes.config.kube_config as kube_config

from mainspring.components.common.errors import UserError
from mainspring.components.deployment.kserve import target
from mainspring.components.deployment.kserve.objects import Version
from mainspring.components.deployment.rollouts import Plan


def main() -> None:
    kserve_cluster.set_quick()
    for line in sys.stdin:
        child = os.fork()
        if not child:
            os._exit(done(json.loads(line)))
        print(child, flush=True)
        status = os.waitpid(child, 0)[1]
        print(os.waitstatus_to_exitcode(status), flush=True)


def done(order: dict) -> int:
    kube_config.KUBE_CONFIG_DEFAULT_LOCATION = order["kubeconfig"]
    os.dup2(2, 1)  # What it says is not for whoever reads our numbers.
    try:
        if "version" not in order:
            target.rollback(kserve_cluster.WHERE, reason="late")
            return 0
        kserve_cluster.deploy(Version(**order["version"]), Plan(tuple(order["percents"]), 0.0), **order["policy"])
    except UserError:
        return 1
    return 0


if __name__ == "__main__":
    main()
