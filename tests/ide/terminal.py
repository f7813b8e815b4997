"""A program in a terminal of its own (tmux), as a person has it: keys in, the screen out; must leave no server behind."""

import contextlib
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.support.nodes import until

WIDTH, HEIGHT = "150", "50"


class Terminal:
    """A context manager around one program."""

    def __init__(self, words: Sequence[str], directory: Path, environ: Mapping[str, str]) -> None:
        """Take the program, its working directory and its whole environment."""
        self._words, self._directory, self._environ = words, directory, environ

    def __enter__(self) -> Self:
        self._place = tempfile.TemporaryDirectory(prefix="fleet-tmux-")
        self._tmux("new-session", "-d", "-x", WIDTH, "-y", HEIGHT, "-c", str(self._directory), *self._words)
        return self

    def __exit__(self, *exc: object) -> None:
        self._tmux("kill-server", check=False)
        self._place.cleanup()

    def _tmux(self, *words: str, check: bool = True) -> str:
        command = ["tmux", "-S", f"{self._place.name}/socket", "-f", "/dev/null", *words]
        done = subprocess.run(command, env=self._environ, capture_output=True, text=True, timeout=20, check=check)
        return done.stdout

    @property
    def screen(self) -> str:
        """What is seen."""
        return self._tmux("capture-pane", "-p")

    def shows(self, words: str) -> None:
        """Wait until the screen shows these words."""
        until(lambda: words in self.screen or None, f"the screen shows {words!r}")

    def type(self, text: str) -> None:
        """Type a line, then Return."""
        self._tmux("send-keys", "-l", text)
        until(lambda: text in self.screen, f"{text!r} was taken")
        self.press("Enter")

    def press(self, *keys: str) -> None:
        """Press keys by their tmux names."""
        self._tmux("send-keys", *keys)

    def press_until(self, words: str, key: str) -> None:
        """Press a key until the screen shows what it brings; one that the program did not take is pressed again."""

        def shown() -> bool:
            self.press(key)
            with contextlib.suppress(AssertionError):
                until(lambda: words in self.screen, words, patience=2.0)
            return words in self.screen

        until(shown, f"{key} brings {words!r}")
