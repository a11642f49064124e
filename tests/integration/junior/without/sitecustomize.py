"""Changes modules of a process as they are imported, for tests that see what happens without a rule.

Python imports this by its name where it stands on the path (`site`, "sitecustomize"). `PETITBLEU_TEST_WITHOUT` is a JSON object of modules, each with pairs of
old and new text; a text that does not stand in its module exactly once ends the process, so that no change is left out unseen.
"""

import json
import os
import sys
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType

CHANGES: dict[str, list[tuple[str, str]]] = json.loads(os.environ.get("PETITBLEU_TEST_WITHOUT", "{}"))


class Changed(SourceFileLoader):
    """Loads a module with its changes."""

    def get_code(self, fullname: str) -> CodeType:
        """Return the code of the changed source; nothing compiled is kept."""
        source = self.get_data(self.path).decode()
        for old, new in CHANGES[fullname]:
            if source.count(old) != 1:
                sys.stderr.write(f"{fullname}: {old!r} stands there {source.count(old)} times\n")
                os._exit(70)
            source = source.replace(old, new)
        return compile(source, self.path, "exec")


class Finder:
    """Finds the modules that are changed."""

    @staticmethod
    def find_spec(fullname: str, path: object = None, _target: object = None) -> ModuleSpec | None:
        """Return the module's place, with the loader that changes it."""
        if fullname not in CHANGES:
            return None
        found = PathFinder.find_spec(fullname, path)  # type: ignore[arg-type]
        if found is not None and found.origin:
            found.loader = Changed(fullname, found.origin)
        return found


if CHANGES:
    sys.meta_path.insert(0, Finder)
