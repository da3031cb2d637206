"""Kubernetes Events on the run's Job: what `kubectl describe job` and `kubectl events` tell of it. Best effort."""

import threading
import time
import uuid
from collections import deque
from datetime import UTC, datetime

from hepspark.cluster.client import ApiError, Cluster, Object

FLOODING = ("Epoch",)
"""Reasons of which only the last matters, when several come within `INTERVAL_SECONDS`."""
INTERVAL_SECONDS = 5.0
_LONGEST_MESSAGE = 1024
_CLOSE_SECONDS = 10.0


class Events:
    """Sends Events from a thread of its own, so that a slow API server delays no training.

    Args:
        cluster: Where the Job is.
        job: The Job that the Events are about.
        pod: Who tells.
        interval_seconds: Least time between two Events of a flooding reason.
    """

    def __init__(self, cluster: Cluster, job: Object, pod: str, interval_seconds: float = INTERVAL_SECONDS) -> None:
        self._cluster, self._job, self._pod, self._interval = cluster, job, pod, interval_seconds
        self._waiting: deque[tuple[str, str, bool]] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._flooded_at = -interval_seconds
        self._thread = threading.Thread(target=self._send_all, name="hepspark-events", daemon=True)
        self._thread.start()

    def tell(self, reason: str, message: str, *, warning: bool = False) -> None:
        """Queue an Event; one of a flooding reason replaces the one before it that was not sent yet."""
        with self._changed:
            if reason in FLOODING and self._waiting and self._waiting[-1][0] == reason:
                self._waiting.pop()
            self._waiting.append((reason, message, warning))
            self._changed.notify()

    def close(self) -> None:
        """Send what waits, for some seconds at most."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout=_CLOSE_SECONDS)

    def _send_all(self) -> None:
        while True:
            with self._changed:
                while not self._is_due():
                    if self._closing and not self._waiting:
                        return
                    self._changed.wait(self._pause())
                reason, message, warning = self._waiting.popleft()
            if reason in FLOODING:
                self._flooded_at = time.monotonic()
            self._send(reason, message, warning)

    def _is_due(self) -> bool:
        if not self._waiting:
            return False
        return self._waiting[0][0] not in FLOODING or len(self._waiting) > 1 or self._closing or self._pause() == 0

    def _pause(self) -> float | None:
        """How long nothing can be sent unless something changes; None where nothing waits."""
        return max(self._flooded_at + self._interval - time.monotonic(), 0.0) if self._waiting else None

    def _send(self, reason: str, message: str, warning: bool) -> None:
        meta = self._job["metadata"]
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{meta['name'][:200]}.{uuid.uuid4().hex[:16]}"},
            "involvedObject": {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "name": meta["name"],
                "namespace": meta["namespace"],
                "uid": meta["uid"],
                "resourceVersion": meta["resourceVersion"],
            },
            "reason": reason,
            "message": message[:_LONGEST_MESSAGE],
            "type": "Warning" if warning else "Normal",
            "source": {"component": "hepspark", "host": self._pod},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            self._cluster.request("POST", self._cluster.path("events"), event)
        except ApiError:
            return  # told on standard error too; an Event is only a convenience
