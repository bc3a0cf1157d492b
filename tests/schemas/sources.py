"""Which kinds are checked, and where their schemas come from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """A release of a project, and its files that hold schemas."""

    name: str
    """The file that holds what is derived: `<name>.json`."""
    repository: str
    """On GitHub."""
    tag: str
    licence: str
    files: tuple[str, ...]
    """Custom resource definitions (YAML), or one OpenAPI 2 document."""
    kinds: tuple[str, ...] = ()
    """From an OpenAPI document that names its kinds: those to take, as `<apiVersion>/<kind>`."""
    definitions: tuple[tuple[str, str], ...] = ()
    """From an OpenAPI document that does not: each kind, and the name of its definition."""


_KSERVE = "config/crd/full/serving.kserve.io_{}.yaml"
_TRAINER = "manifests/base/crds/trainer.kubeflow.org_{}.yaml"
_KUEUE = "config/components/crd/bases/kueue.x-k8s.io_{}.yaml"
_PROMETHEUS = "example/prometheus-operator-crd/monitoring.coreos.com_{}.yaml"
_PIPELINES = "manifests/kustomize/base/crds/pipelines.kubeflow.org_{}.yaml"

SOURCES = (
    Source(
        "kubernetes",
        "kubernetes-client/python",  # Carries the API server's own document, release by release.
        "v36.0.3",
        "Apache-2.0",
        ("kubernetes/swagger.json.unprocessed",),
        (
            *(f"v1/{kind}" for kind in ("ConfigMap", "Event", "LimitRange", "Namespace", "PersistentVolumeClaim")),
            *(f"v1/{kind}" for kind in ("Pod", "ResourceQuota", "Secret", "Service", "ServiceAccount")),
            *(f"apps/v1/{kind}" for kind in ("DaemonSet", "Deployment", "StatefulSet")),
            *(f"batch/v1/{kind}" for kind in ("CronJob", "Job")),
            "autoscaling/v2/HorizontalPodAutoscaler",
            "policy/v1/PodDisruptionBudget",
            "networking.k8s.io/v1/NetworkPolicy",
            *(
                f"rbac.authorization.k8s.io/v1/{kind}"
                for kind in ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
            ),
            "scheduling.k8s.io/v1/PriorityClass",
            "authorization.k8s.io/v1/SelfSubjectAccessReview",
        ),
    ),
    Source(
        "kserve",
        "kserve/kserve",
        "v0.20.0",
        "Apache-2.0",
        (
            *(
                _KSERVE.format(plural)
                for plural in ("inferenceservices", "servingruntimes", "clusterservingruntimes", "inferencegraphs")
            ),
            "config/crd/full/clusterstoragecontainer/serving.kserve.io_clusterstoragecontainers.yaml",
        ),
    ),
    Source(
        "trainer",
        "kubeflow/trainer",
        "v2.3.0",
        "Apache-2.0",
        tuple(_TRAINER.format(plural) for plural in ("trainjobs", "clustertrainingruntimes", "trainingruntimes")),
    ),
    Source(
        "jobset",
        "kubernetes-sigs/jobset",
        "v0.12.0",  # The one that Trainer 2.3.0 installs.
        "Apache-2.0",
        ("config/components/crd/bases/jobset.x-k8s.io_jobsets.yaml",),
    ),
    Source(
        "kueue",
        "kubernetes-sigs/kueue",
        "v0.19.2",
        "Apache-2.0",
        tuple(_KUEUE.format(plural) for plural in ("clusterqueues", "localqueues", "resourceflavors", "topologies")),
    ),
    Source(
        "prometheus-operator",
        "prometheus-operator/prometheus-operator",
        "v0.93.0",
        "Apache-2.0",
        tuple(_PROMETHEUS.format(plural) for plural in ("podmonitors", "servicemonitors", "prometheusrules")),
    ),
    Source(
        "pipelines",
        "kubeflow/pipelines",
        "2.17.0",
        "Apache-2.0",
        tuple(_PIPELINES.format(plural) for plural in ("pipelines", "pipelineversions")),
    ),
    Source(
        "katib",
        "kubeflow/katib",
        "v0.19.0",
        "Apache-2.0",
        ("api/openapi-spec/swagger.json",),  # Its CustomResourceDefinition leaves the fields open; this says them.
        definitions=(("kubeflow.org/v1beta1/Experiment", "v1beta1.Experiment"),),
    ),
    Source(
        "model-registry",
        "kubeflow/model-registry",
        "v0.3.8",
        "Apache-2.0",
        ("api/openapi/model-registry.yaml",),
        definitions=tuple(
            (f"model-registry/v1alpha3/{name}", name)
            for name in (
                *("RegisteredModelCreate", "ModelVersionCreate", "ModelArtifactCreate", "ModelArtifactUpdate"),
                *("RegisteredModel", "ModelVersion", "ModelArtifact"),
            )
        ),
    ),
)
