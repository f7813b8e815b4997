"""Where the secret halves of keys lie: private files, or the keyring of the user's session; never what they mean.

The keyring (macOS Keychain, Secret Service, Windows Credential Locker) is the `keyring` package, loaded only when
`[keys] store = "keyring"` asks for it. A key that still lies in a file then moves into it when it is first read. Tried
against a stand-in only: never yet with a real Keychain or Secret Service.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from fleet.errors import StoreError
from fleet.store.files import atomic_write, check_private, remove

_SERVICE = "fleet"
_BACK = "fleet config set keys.store file"


class Vault(Protocol):
    """What the keys ask of the place where they lie."""

    def place(self, name: str) -> str:
        """Say where a key lies, for people."""
        ...

    def read(self, name: str) -> bytes | None:
        """Give what is kept under `name`, None for nothing. Raises LooseKey or StoreError."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Keep something under `name`. Raises DiskFull or StoreError."""
        ...

    def remove(self, name: str) -> None:
        """Forget it; it is no mistake when there is nothing. Raises StoreError."""
        ...


class Files:
    """Files of a private directory, readable by their owner only."""

    def __init__(self, directory: Path) -> None:
        """Take the directory."""
        self._directory = directory

    def place(self, name: str) -> str:
        """Say where a key lies, for people."""
        return str(self._directory / name)

    def read(self, name: str) -> bytes | None:
        """Read a file, after making sure that nobody else could."""
        path = self._directory / name
        try:
            check_private(path)
            return path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror}") from error

    def write(self, name: str, data: bytes) -> None:
        """Write a file whole or not at all."""
        atomic_write(self._directory / name, data)

    def remove(self, name: str) -> None:
        """Delete a file for good."""
        remove(self._directory / name)


class SessionKeyring:
    """The keyring of the user's session; entries are named by the directory, so that two nodes never share one."""

    def __init__(self, directory: Path) -> None:
        """Open it. Raises StoreError where there is none."""
        self._files = Files(directory)
        self._directory = directory
        try:
            import keyring
            from keyring.backends import fail
            from keyring.errors import KeyringError
        except ImportError:
            hint = f"pip install 'fleet[keyring]', or {_BACK}"
            raise StoreError("the keyring package is not installed", hint=hint) from None
        if isinstance(keyring.get_keyring(), fail.Keyring):
            raise StoreError("this session has no keyring", hint=_BACK)
        self._keyring: Any = keyring
        self._errors = KeyringError

    def place(self, name: str) -> str:
        """Say where a key lies, for people."""
        return f"{self._directory / name} in the keyring"

    def read(self, name: str) -> bytes | None:
        """Ask the keyring; what still lies in a file moves there."""
        word = self._ask("read", self._keyring.get_password, _SERVICE, self._entry(name))
        if word is not None:
            return str(word).encode("ascii", "replace")
        data = self._files.read(name)
        if data is not None:
            self.write(name, data)
        return data

    def write(self, name: str, data: bytes) -> None:
        """Put it into the keyring; a file of that name goes."""
        self._ask("written", self._keyring.set_password, _SERVICE, self._entry(name), data.decode("ascii"))
        self._files.remove(name)

    def remove(self, name: str) -> None:
        """Take it out of the keyring, and the file if there is one."""
        entry = self._entry(name)
        if self._ask("read", self._keyring.get_password, _SERVICE, entry) is not None:
            self._ask("removed", self._keyring.delete_password, _SERVICE, entry)
        self._files.remove(name)

    def _entry(self, name: str) -> str:
        return str(self._directory / name)

    def _ask(self, done: str, act: Any, *words: str) -> Any:
        """Do it; the library's words stay here, they might quote what was given."""
        try:
            return act(*words)
        except self._errors as error:
            reason = type(error).__name__
        raise StoreError(f"a key could not be {done}: the keyring says {reason}", hint=f"unlock it, or {_BACK}")


def open_vault(store: str, directory: Path) -> Vault:
    """Open the place that `[keys] store` names. Raises StoreError."""
    return SessionKeyring(directory) if store == "keyring" else Files(directory)
