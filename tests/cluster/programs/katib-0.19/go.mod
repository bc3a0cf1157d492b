module mainspring.test/katib

go 1.24.0

require github.com/kubeflow/katib v0.19.0
