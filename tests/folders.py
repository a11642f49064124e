"""Folders of programs that others wrote and that run as users of their own."""

from __future__ import annotations

import grp
import os
import pwd
import tempfile
from pathlib import Path

_QUEUE = "active bounce corrupt defer deferred flush hold incoming private saved trace pid public maildrop"


def enterable(path: Path) -> None:
    """Let other users into a folder of a test: pytest's folders, whatever runner made them, are its user's own."""
    top = Path(tempfile.gettempdir())
    for one in (path, *path.parents):
        if one.is_relative_to(top) and one != top and one.stat().st_uid == os.geteuid():
            one.chmod(one.stat().st_mode | 0o055)


def postfix_folders(base: Path) -> None:
    """Make what a Postfix of its own wants to find: its configuration, data and queue."""
    owner, group = pwd.getpwnam("postfix").pw_uid, grp.getgrnam("postdrop").gr_gid
    for name in ("conf", "data", "queue"):
        (base / name).mkdir(parents=True)
    os.chown(base / "data", owner, -1)
    for name in _QUEUE.split():
        folder = base / "queue" / name
        folder.mkdir()
        if name != "pid":
            os.chown(folder, owner, group if name in {"public", "maildrop"} else -1)
