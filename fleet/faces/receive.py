"""fleet receive: what another node may do here over SSH; must never run a word of what it was asked.

bin/fleet runs this file itself with `-I -S`, so it stays short; the work is in inlet.py, whose compiled form is kept.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from fleet.faces.caller import Caller
    from fleet.faces.render import Screen


def command(args: "Namespace", call: "Caller", screen: "Screen") -> int:
    """Do what `fleet receive` was asked for."""
    return main([args.action] if args.action else [])


def main(arguments: list[str] | None = None) -> int:
    """Do the one thing that was asked; gives the exit code."""
    from fleet.faces import inlet

    return inlet.main(sys.argv[1:] if arguments is None else arguments)


if __name__ == "__main__":
    import os

    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))  # noqa: PTH100, PTH120
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
