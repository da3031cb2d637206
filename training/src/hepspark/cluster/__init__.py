"""What the driver asks of Kubernetes and tells it: room for executors, their state, the run's Lease, Events."""
