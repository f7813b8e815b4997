"""A daemon that counts its live objects and SQLite's bytes: SIGUSR2 adds a line to the file COUNTED; nothing else.

Started as a script in the place of fleetd; it imports nothing of the tests.
"""

import gc
import os
import signal
import sys
import threading

import apsw

from fleet.faces import serve


def _count(asked: threading.Event) -> None:
    """Collect what is dead, count the rest, for as long as the process lives."""
    while asked.wait():
        asked.clear()
        gc.collect()
        line = f"{len(gc.get_objects())} {apsw.status(apsw.SQLITE_STATUS_MEMORY_USED)[0]}\n".encode()
        file = os.open(os.environ["COUNTED"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(file, line)
        os.close(file)


if __name__ == "__main__":
    asked = threading.Event()
    signal.signal(signal.SIGUSR2, lambda number, frame: asked.set())
    threading.Thread(target=_count, args=(asked,), daemon=True).start()
    sys.exit(serve.main())
