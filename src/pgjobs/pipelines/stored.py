"""A pipeline as stored rows: what claims and listings have to know of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from pgjobs.jobs.job import task_name

if TYPE_CHECKING:
    from pgjobs.jobs.pipeline import Pipeline


class StoredStage(NamedTuple):
    """A row of `pipeline_stages`, without what its place says."""

    name: str
    task: str
    queue: str


@dataclass(frozen=True, slots=True)
class StoredPipeline:
    """A pipeline as a row of `pipelines`, without its state, and those of its stages in their order."""

    name: str
    app: str
    at_most: int
    stages: tuple[StoredStage, ...]

    @classmethod
    def of(cls, pipeline: Pipeline[..., Any]) -> StoredPipeline:
        """Return what is stored of a pipeline."""
        names = pipeline.stage_names()
        return cls(
            pipeline.pipeline_name,
            pipeline.app,
            pipeline.at_most,
            tuple(
                StoredStage(name, task_name(job), job.job_options.queue)
                for name, job in zip(names, pipeline.stages, strict=True)
            ),
        )

    def digest(self) -> bytes:
        """Return what differs between two declarations."""
        from hashlib import sha256  # imported lazily: hashlib is slow to import

        return sha256(repr(self).encode()).digest()

    def stage_values(self) -> dict[str, Any]:
        """Return its stages as parameters."""
        keys = [f"{self.name}/{stage.name}" for stage in self.stages]
        return {
            "pipeline": self.name,
            "keys": keys,
            "places": list(range(1, len(keys) + 1)),
            "names": [stage.name for stage in self.stages],
            "tasks": [stage.task for stage in self.stages],
            "queues": [stage.queue for stage in self.stages],
            "nexts": [*keys[1:], None],
        }

    def to_message(self) -> dict[str, Any]:
        """Return it as plain values of JSON."""
        return asdict(self)

    @classmethod
    def from_message(cls, values: Mapping[str, Any]) -> StoredPipeline:
        """Return the pipeline that `to_message` wrote."""
        return cls(**{**values, "stages": tuple(StoredStage(*stage) for stage in values["stages"])})
