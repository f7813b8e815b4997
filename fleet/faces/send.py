"""fleet_send: accepts one message, fast; must never load more than the standard library while the daemon answers.

bin/fleet_send runs this file itself with `-I -S`, so it is compiled at every start and stays short; the work is in
quick.py, whose compiled form is kept.
"""

import sys


def main(arguments: list[str] | None = None) -> int:
    """Send as the arguments say; gives the exit code."""
    from fleet.faces import quick

    return quick.main(sys.argv[1:] if arguments is None else arguments)


if __name__ == "__main__":
    import os

    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))  # noqa: PTH100, PTH120
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # nothing is left to tidy up, and tidying would take as long as the send
