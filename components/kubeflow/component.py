"""The KFP interface of what is asked of Kubeflow's other services: the Model Registry."""

from typing import NamedTuple

from kfp import dsl

from mainspring.components.common.images import image


@dsl.component(base_image=image("kubeflow"), install_kfp_package=False)
def register_model(version_uri: str, registry: str, name: str = "", author: str = "mainspring") -> NamedTuple(
    "Registered", model_id=str, version_id=str, artifact_id=str
):  # type: ignore[valid-type]
    """Registers a published version in Kubeflow's Model Registry: URI, metrics, fingerprints, run. Once, if repeated.

    What a killed step left half registered is completed. The registry is a directory beside the versions: what is
    served is still whatever the endpoint says.

    Args:
        version_uri: From `deploy_model`.
        registry: The registry's URL, such as `http://model-registry-service.kubeflow.svc.cluster.local:8080` (its REST
            API v1alpha3). A token is read from the file `$KF_PIPELINES_SA_TOKEN_PATH`, else the pod's own.
        name: The registered model's name; empty: the published model's.
        author: Who registers it, and owns a model that is new.

    Returns:
        model_id: The registered model's ID in the registry.
        version_id: The model version's ID.
        artifact_id: The ID of its artifact, which has the URI.
    """
    from mainspring.components.kubeflow.register_model import register_model

    return register_model(version_uri=version_uri, registry=registry, name=name, author=author)
