"""What stops the stack from starting, each said in one line."""

from __future__ import annotations


class StackError(Exception):
    """A reason not to start that a person can act on; its text is one line, shown without a traceback."""


class NotYetError(Exception):
    """A program is on its way and to be asked again; what start-up waits for is on the progress line."""
