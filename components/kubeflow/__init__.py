"""The environment of components that ask Kubeflow's other services, by the `kubeflow` SDK."""
