"""How far a job has come, shared by the thread that works and the loop that reports."""

import threading
from dataclasses import dataclass, field


class Stopped(Exception):  # noqa: N818  no error: somebody else has the job, or it was cancelled
    """The job is no longer this runner's."""


@dataclass(slots=True)
class Progress:
    """The phase and how much of it is done; `stop` asks the work to end at its next step."""

    phase: str = "waiting"
    done: int = 0
    total: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def begin(self, phase: str, total: int = 0) -> None:
        """Enter a phase of so many steps.

        Raises:
            Stopped: if the work is to end.
        """
        self.phase, self.done, self.total = phase, 0, total
        self.advance(0)

    def advance(self, steps: int) -> None:
        """Count steps as done.

        Raises:
            Stopped: if the work is to end.
        """
        if self._stop.is_set():
            raise Stopped
        self.done += steps

    def stop(self) -> None:
        """Ask the work to end."""
        self._stop.set()

    def as_json(self) -> dict[str, str | int]:
        """Return it as it is stored and shown."""
        return {"phase": self.phase, "done": self.done, "total": self.total}
