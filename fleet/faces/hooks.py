"""`fleet hook`: what agent programs run at their events; must never disturb one: silent and 0 whatever goes wrong.

Only a hook that waits beside an idle session ends with 2, to wake it. bin/fleet runs this file itself with `-I -S`, so it
is compiled at every start and stays short; the work is in errand.py, whose compiled form is kept.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace


def command(args: "Namespace", call: object, screen: object) -> int:
    """Take one event that the full grammar read."""
    return main([args.event, "--ide", args.ide or ""])


def main(arguments: list[str]) -> int:
    """Take one event; gives the exit code."""
    try:
        if arguments == ["--help"]:
            return _help()
        from fleet.faces import errand

        return errand.run(arguments)
    except (Exception, SystemExit, KeyboardInterrupt):
        return 0


def _help() -> int:
    """Tell a person what the full grammar says."""
    import site

    site.main()
    from fleet.faces import cli

    try:
        return cli.main(["hook", "--help"])
    finally:
        sys.stdout.flush()


if __name__ == "__main__":
    import os

    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))  # noqa: PTH100, PTH120
    os._exit(main(sys.argv[1:]))  # what was said is flushed; tidying would take as long as the hook
