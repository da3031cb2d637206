// The oldest Kubernetes that the charts take, as their kubeVersion says. Nothing is built of it: its OpenAPI file tells
// which manifests it knows.
module hepspark/tools/oldest-kubernetes

go 1.26.0

require k8s.io/kubernetes v1.30.14
