"""Code that runs a job on another machine, and forwards messages to and from its launcher."""

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
_SILENCE_SECONDS = 60.0  # without a heartbeat the launcher counts as gone; shared folders lag


class Channel(Protocol):
    """Transfers messages between a job's machine and its launcher."""

    def say(self, kind: str, values: dict[str, Any]) -> None:
        """Sends a message to the launcher."""
        ...

    def commands(self) -> list[Any]:
        """Returns the launcher's commands since the last call: `True`, `False` or `"stop"`."""
        ...

    def gone(self) -> bool:
        """Returns whether the launcher is gone."""
        ...


class Relay:
    """Runs a job in a fresh process of this machine, and forwards messages.

    Args:
        order: Specification of the job.
        channel: Channel to its launcher.
        has_turns: Whether a job that is stopped from outside is queued again.
            Defaults to False.

    Attributes:
        lost: Whether the job was stopped from outside.
    """

    def __init__(self, order: JobSpec, channel: Channel, *, has_turns: bool = False) -> None:
        self._channel, self._has_turns = channel, has_turns
        self.lost = False
        self._process = JobProcess(order)
        self._stopping = False

    def run(self) -> None:
        """Forwards messages until the job has ended."""
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
        """Waits briefly for a message of the job and forwards it; returns False at its end."""
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
            self.lost = True  # by a scheduler or a shutdown, not by the launcher
            return True
        self._channel.say(kind, values)
        return True

    def _stop(self) -> None:
        if not self._stopping:
            self._stopping = True
            self._process.stop()

    def interrupt(self) -> None:
        """Ends the job within a few seconds; its last completed epoch is saved."""
        self._process.stop()
        self._process.end_by(_INTERRUPT_SECONDS)
        self._process.close()


class Folder:
    """Transfers messages through a folder that both machines share.

    Each side appends lines to its own file, without locks, which do not behave
    the same on all network file systems.

    Args:
        path: Path to the folder.
        beat: Path to the launcher's heartbeat file.
    """

    def __init__(self, path: Path, beat: Path) -> None:
        self._events, self._commands = JsonLines(path / EVENTS), JsonLines(path / COMMANDS)
        self._beat = beat
        self._heard, self._heard_at = "", time.monotonic()

    def say(self, kind: str, values: dict[str, Any]) -> None:
        """Sends a message to the launcher."""
        self._events.write([kind, values])

    def commands(self) -> list[Any]:
        """Returns the launcher's commands since the last call."""
        return self._commands.read()

    def awaits_beat(self) -> bool:
        """Waits up to 60 s for a heartbeat of the launcher; returns whether there was one."""
        self.gone()
        first = self._heard
        end = time.monotonic() + _SILENCE_SECONDS
        while self._heard == first and time.monotonic() < end:
            time.sleep(_LOOK_SECONDS)
            self.gone()
        return self._heard != first

    def gone(self) -> bool:
        """Returns whether there was no heartbeat for over 60 s, by this machine's clock."""
        try:
            now = self._beat.read_text(encoding="utf-8")
        except OSError:
            now = self._heard
        if now != self._heard:
            self._heard, self._heard_at = now, time.monotonic()
        return time.monotonic() - self._heard_at > _SILENCE_SECONDS


class JsonLines:
    """Accesses a file of JSON lines: one side appends, the other reads new lines.

    Args:
        path: Path to the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def write(self, value: Any) -> None:
        """Appends a value as one line."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(value, default=float) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> list[Any]:
        """Returns the values appended since the last call, without an incomplete last line."""
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
    """Writes a heartbeat file for jobs, from a thread, since the launcher may be busy.

    Args:
        path: Path to the file, in a folder that the jobs' machines share.
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
            except OSError:  # a full disk or an unreachable network folder may be temporary
                continue

    def _write(self) -> None:
        self.path.write_text(repr(time.monotonic()), encoding="utf-8")

    def end(self) -> None:
        """Stops the heartbeat."""
        self._ended.set()
