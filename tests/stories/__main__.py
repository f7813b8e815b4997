"""Replays the stories, or writes them down anew."""

import difflib
import sys

from tests.stories.replay import retold, stories


def main(arguments: list[str]) -> int:
    """Replay the stories named, all when none is; `--rewrite` writes them."""
    rewrite, names = "--rewrite" in arguments, [word for word in arguments if not word.startswith("-")]
    wrong = 0
    for path in stories():
        if names and path.stem not in names:
            continue
        old = path.read_text(encoding="utf-8")
        new = retold(path)
        if new == old:
            continue
        wrong += 1
        if rewrite:
            path.write_text(new, encoding="utf-8")
        sys.stdout.writelines(
            difflib.unified_diff(old.splitlines(keepends=True), new.splitlines(keepends=True), path.name, "now")
        )
    return 0 if rewrite else min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
