"""On another machine: starts a job there, and passes on what it and its launcher say."""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Protocol

from kx.launch.engines.child import JobSpec
from kx.launch.engines.processes import JobProcess

STOP = "stop"
EVENTS, COMMANDS = "events", "commands"  # files of a job's folder
_LOOK_SECONDS = 0.2
_BEAT_SECONDS = 2.0
_INTERRUPT_SECONDS = 5.0  # a preempted job has little time
_SILENCE_SECONDS = 60.0  # of a launcher, after which it counts as gone: a shared folder is slow


class Channel(Protocol):
    """Carries words between a job's machine and its launcher."""

    def say(self, kind: str, values: dict[str, Any]) -> None:
        """Says a thing to the launcher."""
        ...

    def commands(self) -> list[Any]:
        """Returns what the launcher has said since: `True`, `False` or `"stop"`."""
        ...

    def gone(self) -> bool:
        """Says whether the launcher is gone."""
        ...


class Relay:
    """Runs a job in a fresh process of this machine, and passes words on.

    Args:
        order: the job.
        channel: to its launcher.
        has_turns: whether a job that somebody else stops has another turn.

    Attributes:
        lost: whether somebody else has stopped it.
    """

    def __init__(self, order: JobSpec, channel: Channel, *, has_turns: bool = False) -> None:
        self._channel, self._has_turns = channel, has_turns
        self.lost = False
        self._process = JobProcess(order)
        self._stopping = False

    def run(self) -> None:
        """Passes words on until the job has ended."""
        while self._hear():
            for command in self._channel.commands():
                if command == STOP:
                    self._stop()
                else:
                    self._process.answer(command)
            if self._channel.gone():
                self._stop()
            self._process.insist()
        ending = self._process.ending()
        self._process.close()
        if self.lost and self._has_turns:
            self._channel.say("queued", {})
        else:
            self._channel.say("exit", {"ending": "stopped by its machine" if self.lost else ending})

    def _hear(self) -> bool:
        """Passes on what the job says for a moment; returns False once it has ended."""
        ready = wait(self._process.sources(), timeout=_LOOK_SECONDS)
        if not ready or self._process.is_silent():
            return True
        said = self._process.read()
        if said is None:
            return False
        kind, values = said
        if kind == "process":
            values = {**values, "place": platform.node()}
        if kind == "end" and values["state"] == "KILLED" and not self._stopping:
            self.lost = True  # a scheduler, or a machine that goes down: not the launcher
            return True
        self._channel.say(kind, values)
        return True

    def _stop(self) -> None:
        if not self._stopping:
            self._stopping = True
            self._process.stop()

    def interrupt(self) -> None:
        """Ends the job now, in a few seconds at most: its last epoch is kept."""
        self._process.stop()
        self._process.end_by(_INTERRUPT_SECONDS)
        self._process.close()


class Folder:
    """Carries words through a folder that both machines see.

    Each side appends lines to a file of its own; nothing is locked, which
    network file systems do not do alike.

    Args:
        path: of the folder.
        beat: file in which the launcher beats.
    """

    def __init__(self, path: Path, beat: Path) -> None:
        self._events, self._commands = JsonLines(path / EVENTS), JsonLines(path / COMMANDS)
        self._beat = beat
        self._heard, self._heard_at = "", time.monotonic()

    def say(self, kind: str, values: dict[str, Any]) -> None:
        """Says a thing to the launcher."""
        self._events.write([kind, values])

    def commands(self) -> list[Any]:
        """Returns what the launcher has said since."""
        return self._commands.read()

    def awaits_beat(self) -> bool:
        """Waits for the launcher to beat; returns False if it does not."""
        self.gone()
        first = self._heard
        end = time.monotonic() + _SILENCE_SECONDS
        while self._heard == first and time.monotonic() < end:
            time.sleep(_LOOK_SECONDS)
            self.gone()
        return self._heard != first

    def gone(self) -> bool:
        """Says whether the launcher has been silent for too long, by this machine's clock."""
        try:
            now = self._beat.read_text(encoding="utf-8")
        except OSError:
            now = self._heard
        if now != self._heard:
            self._heard, self._heard_at = now, time.monotonic()
        return time.monotonic() - self._heard_at > _SILENCE_SECONDS


class JsonLines:
    """Holds a file of JSON lines: one side appends, the other reads what is new.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def write(self, value: Any) -> None:
        """Appends a value."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(value, default=float) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> list[Any]:
        """Returns the values that were appended since the last call; half a line waits."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._read)
                text = file.read()
        except OSError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        return [json.loads(line) for line in whole.splitlines()]


class Heartbeat:
    """Tells jobs that their launcher is there, from a thread: the launcher may be busy.

    Args:
        path: of a file that they see.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ended = threading.Event()
        self._write()
        threading.Thread(target=self._beat, daemon=True).start()

    def _beat(self) -> None:
        while not self._ended.wait(_BEAT_SECONDS):
            try:
                self._write()
            except OSError:  # a full disk, or a network folder that is away: perhaps not for long
                continue

    def _write(self) -> None:
        self.path.write_text(repr(time.monotonic()), encoding="utf-8")

    def end(self) -> None:
        """Beats no more."""
        self._ended.set()
