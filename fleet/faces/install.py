"""`fleet install` and `fleet uninstall`: hooks, tools and skills for the agent programs; must never decide their content.

Everything is tried dry first, so that a file that cannot be read or is somebody else's stops it before anything is written.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fleet.errors import NotFound, UsageError
from fleet.faces import agents, manifests
from fleet.faces.caller import Caller
from fleet.faces.manifests import Graft, Place, Tree
from fleet.faces.planting import Deed, Garden
from fleet.faces.programs import PROGRAMS
from fleet.faces.render import Screen, visible

Act = Callable[[Garden, Tree | Graft], list[Deed]]


def install(args: Namespace, call: Caller, screen: Screen) -> int:
    """Write what the named programs, or all that are here, need; says the steps that are left to a person."""
    present = agents.here(call.environ)
    names = _named(args.ide) or list(present)
    if not names:
        raise NotFound("none of the agent programs is on PATH", hint=f"fleet install --ide {','.join(PROGRAMS)}")
    files = _done(names, args, call, Garden.install)
    steps = [{"ide": name, "found": name in present, "step": agents.STEPS[name]} for name in names]
    _print(files, steps, args, screen)
    return 0


def uninstall(args: Namespace, call: Caller, screen: Screen) -> int:
    """Take it all away again: files come back byte for byte, or only our part leaves them."""
    files = _done(_named(args.ide) or list(PROGRAMS), args, call, Garden.uninstall)
    _print(files, [], args, screen)
    return 0


def _named(words: str | None) -> list[str]:
    names = [word.strip() for word in (words or "").split(",") if word.strip()]
    wrong = [name for name in names if name not in PROGRAMS]
    if wrong:
        raise UsageError(f"there is no agent program {wrong[0]!a}", hint=f"--ide {','.join(PROGRAMS)}")
    return list(dict.fromkeys(names))


def _done(names: list[str], args: Namespace, call: Caller, act: Act) -> list[dict[str, Any]]:
    project = Path(args.project).absolute() if args.project else None
    if project and not project.is_dir():
        raise NotFound(f"{project} is no directory")
    where = agents.place(Path.home(), project, call.environ)
    source = manifests.source()
    files = _acted(names, where, source, act, dry=True)
    return files if args.dry_run else _acted(names, where, source, act, dry=False)


def _acted(names: list[str], where: Place, source: manifests.Source, act: Act, *, dry: bool) -> list[dict[str, Any]]:
    files = []
    for name in names:
        things = manifests.made(name, where, source)
        garden = Garden(agents.fence(where, things), dry, 0o644 if where.project else 0o600)
        for thing in things:
            files += [{"ide": name, **_shown(deed)} for deed in act(garden, thing)]
    return files


def _shown(deed: Deed) -> dict[str, Any]:
    return {"path": str(deed.path), "action": deed.action, "backup": str(deed.backup) if deed.backup else None}


def _print(files: list[dict[str, Any]], steps: list[dict[str, Any]], args: Namespace, screen: Screen) -> None:
    if screen.json:
        screen.value({"files": files, "steps": steps, "dry_run": bool(args.dry_run)})
        return
    for file in files:
        backup = f"  (before: {file['backup']})" if file["backup"] else ""
        screen.line(visible(f"{file['action']:9}  {file['path']}{backup}"))
    for step in steps:
        absent = "" if step["found"] else f" ({PROGRAMS[step['ide']].title} is not on PATH here)"
        screen.talk(visible(f"next: {step['step']}{absent}"))
    if args.dry_run:
        screen.talk("nothing was written (--dry-run)")
    elif not files:
        screen.talk("there was nothing of fleet to take away")
