"""One place in an object store for channels/cloud.py: create once, list, read, delete; never believes a size or a name.

What the store or its library says is matched, never repeated: it holds addresses and, signed, credentials.
"""

from __future__ import annotations

import asyncio
import re
import stat
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnknownConfigurationKeyError,
)
from obstore.store import ObjectStore, from_url

from fleet.errors import Faulty, RoadError, SettingsError, Unreachable

LISTED = 10_000  # objects looked at in one place
READING = 30.0  # seconds a listing or an object may take
CONNECTING = 3.0
_PLACE = re.compile(r"(s3|gs|az)://[A-Za-z0-9][\w.-]{1,254}(/[\w.=-]+)*/?|file:///[\w./=-]+", re.ASCII).fullmatch
_VARIABLE = re.compile(r"(?:AWS|GOOGLE|AZURE)_[A-Z0-9_]{1,64}", re.ASCII).fullmatch
_STATUS = re.compile(r"status code: (\d{3})")
_KEYLESS = re.compile(r"169\.254\.169\.254|metadata\.google|/metadata/|credential", re.IGNORECASE).search
_ENDPOINT = {"s3": "endpoint", "az": "endpoint", "gs": "base_url"}
_WRONG = {  # by status: what is set up wrongly, in our words
    "301": "the bucket is in another region or at another address", "307": "the bucket is at another address",
    "400": "the object store does not take this region or these credentials",
    "401": "the object store does not know our credentials", "403": "the object store does not let us in",
    "404": "there is no such bucket",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Listed:
    """One object as the store lists it; `tag` changes when it does."""

    path: str
    size: int
    tag: str


def is_place(url: str) -> bool:
    """Say whether a URL names a bucket, or a directory, and nothing else."""
    return bool(_PLACE(url)) and not {".", ".."} & set(url.split("/"))


def read_credentials(path: str) -> dict[str, str]:
    """Read a file of NAME=VALUE lines. Raises SettingsError when others can read it, or it is none."""
    try:
        mode, text = Path(path).stat().st_mode, Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise SettingsError("channel.cloud.credentials cannot be read") from None
    if stat.S_IMODE(mode) & 0o077:
        raise SettingsError("others can read channel.cloud.credentials", hint="chmod 600 the file")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    pairs = {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines)}
    if not all(_VARIABLE(name) for name in pairs):
        raise SettingsError("channel.cloud.credentials holds a line that is not AWS_…=…, GOOGLE_…=… or AZURE_…=…")
    return {name.lower(): value for name, value in pairs.items()}


class Bucket:
    """A bucket and a prefix in it."""

    def __init__(self, url: str, settings: Mapping[str, Any], credentials: Mapping[str, str]) -> None:
        """Take the URL, [channel.cloud] and the credentials that did not come from the environment.

        Raises Faulty for settings the provider does not know.
        """
        self._store = _open(url, settings, credentials)

    async def create(self, path: str, data: bytes, timeout: float) -> bool:
        """Store an object unless there is one of this name; False when there was. Raises RoadError."""
        try:
            async with _asked(timeout):
                await obstore.put_async(self._store, path, data, mode="create")
        except AlreadyExistsError:
            return False
        return True

    async def list(self, place: str) -> list[Listed]:
        """List what lies under a place. Raises RoadError."""
        found: list[Listed] = []
        async with _asked(READING):
            async for chunk in obstore.list(self._store, prefix=place, chunk_size=1000):
                found += [Listed(m["path"], m["size"], m["e_tag"] or str(m["last_modified"])) for m in chunk]
                if len(found) >= LISTED:
                    break
        return found

    async def read(self, path: str, limit: int) -> bytes | None:
        """Read an object; None when it is gone or larger than `limit`. Raises RoadError."""
        parts, size = [], 0
        try:
            async with _asked(READING):
                answer = await obstore.get_async(self._store, path)
                async for part in answer.stream(min_chunk_size=1 << 18):
                    size += len(part)
                    if size > limit:
                        return None
                    parts.append(bytes(part))
        except FileNotFoundError:
            return None
        return b"".join(parts)

    async def delete(self, paths: Sequence[str]) -> None:
        """Delete objects; those that are gone are no mistake. Raises RoadError."""
        for at in range(0, len(paths), 1000):
            try:
                async with _asked(READING):
                    await obstore.delete_async(self._store, list(paths[at : at + 1000]))
            except FileNotFoundError:
                for path in paths[at : at + 1000]:
                    await self._delete_one(path)

    async def _delete_one(self, path: str) -> None:
        try:
            async with _asked(READING):
                await obstore.delete_async(self._store, path)
        except FileNotFoundError:
            return


def _open(url: str, settings: Mapping[str, Any], credentials: Mapping[str, str]) -> ObjectStore:
    scheme = url.partition(":")[0]
    if scheme == "file":
        return from_url(url, mkdir=True)
    config: dict[str, Any] = dict(credentials)
    if settings.get("endpoint"):
        config[_ENDPOINT[scheme]] = settings["endpoint"]
    if settings.get("region") and scheme == "s3":
        config["region"] = settings["region"]
    client: Any = {
        "allow_http": bool(settings.get("allow_http")), "connect_timeout": timedelta(seconds=CONNECTING),
        "timeout": timedelta(seconds=READING),
    }  # fmt: skip
    retries: Any = {"max_retries": 0, "retry_timeout": timedelta(seconds=READING)}  # the engine tries again
    try:
        return from_url(url, config=config or None, client_options=client, retry_config=retries)  # type: ignore[arg-type]
    except (UnknownConfigurationKeyError, BaseError, ValueError):
        raise Faulty("the object store does not take these settings") from None


@asynccontextmanager
async def _asked(timeout: float) -> AsyncIterator[None]:
    """Ask the store something within `timeout` seconds; what it fails with becomes a RoadError."""
    try:
        async with asyncio.timeout(timeout):
            yield
    except TimeoutError:
        raise Unreachable(f"the object store did not answer within {timeout:g} s") from None
    except (AlreadyExistsError, FileNotFoundError) as error:
        if "NoSuchBucket" in str(error) or "canonicalize" in str(error):
            raise Faulty(_WRONG["404"]) from None
        raise
    except PermissionDeniedError:
        raise Faulty(_WRONG["403"]) from None
    except UnauthenticatedError:
        raise Faulty(_WRONG["401"]) from None
    except BaseError as error:
        raise _translated(str(error)) from None


def _translated(text: str) -> RoadError:
    """Say in our own words what the library complains of."""
    status = _STATUS.search(text)
    if "without LOCATION" in text:
        return Faulty(_WRONG["301"])
    if _KEYLESS(text):
        return Faulty("there are no credentials for the object store", hint="channel.cloud.credentials")
    if status and status[1] in _WRONG:
        return Faulty(_WRONG[status[1]])
    if status:
        return Unreachable(f"the object store answers {status[1]}")
    if "certificate" in text.lower():
        return Faulty("the object store's certificate is not trusted", security=True)
    return Unreachable("the object store cannot be reached")
