"""An asyncio client of the Kubernetes API: requests, watches, informers, work queues, events, leader election."""

from __future__ import annotations

from halab.cluster.client.client import Client
from halab.cluster.client.clock import micro, rfc3339, seconds_of
from halab.cluster.client.events import EventRecorder, reference
from halab.cluster.client.informer import Informer, Key, SharedInformers, key_of
from halab.cluster.client.leader import Identity, LeaderElector
from halab.cluster.client.queue import WorkQueue

__all__ = [
    "Client",
    "EventRecorder",
    "Identity",
    "Informer",
    "Key",
    "LeaderElector",
    "SharedInformers",
    "WorkQueue",
    "key_of",
    "micro",
    "reference",
    "rfc3339",
    "seconds_of",
]
