"""From bare hosts to a Kubernetes cluster: the mirror, the lab, the playbooks and their verification."""
