"""Accelerator profiles: which node pool a step needs, checked when a pipeline is compiled.

`apply(train_model(...), "l4", spot=True)` sets a task's selectors, tolerations, accelerator, CPU, memory, shared
memory, retries and timeout in one call. `gpu("a100-40gb", 4)` and `tpu("v5e", "2x4")` name a profile by its parts;
`pool("l4-x8")` is for `train_model_distributed`, `serving_policy("l4", …)` for `deploy_model`; `read(path)` gives the
profiles of any other cluster.
"""

from mainspring.pipelines.accelerators.applying import apply, pool
from mainspring.pipelines.accelerators.gke import SHIPPED, gpu, profile, tpu
from mainspring.pipelines.accelerators.other_clusters import read
from mainspring.pipelines.accelerators.profiles import Profile, Toleration
from mainspring.pipelines.accelerators.serving import serving_policy

__all__ = ["SHIPPED", "Profile", "Toleration", "apply", "gpu", "pool", "profile", "read", "serving_policy", "tpu"]
