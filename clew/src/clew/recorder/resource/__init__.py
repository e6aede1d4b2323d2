"""The resource: what produces the spans. Attributes of the process, the container, and of installed detectors."""

from __future__ import annotations

from clew.recorder.resource.resource import UNKNOWN_SERVICE, Resource, default_resource

__all__ = ["UNKNOWN_SERVICE", "Resource", "default_resource"]
