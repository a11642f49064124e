"""The transparency of SMTP's DATA (RFC 5321 §4.5.2) for streams that arrive in pieces of any size.

`DotDecoder` finds the end of data across seams and removes the stuffed dots; `LineCheck` looks at line ends and line
lengths, and serves BDAT (RFC 3030) as well, which has no dots. Both work on whole pieces at the speed of `bytes.find`.
"""

from __future__ import annotations

# RFC 5321 §4.5.3.1.6: a text line holds at most 1,000 octets with its CRLF; a stuffed dot does not count.
MAX_TEXT_LINE = 1000

_END = b"\r\n.\r\n"
_STUFFED = b"\r\n."


class LineCheck:
    """Watches a stream for what RFC 5321 forbids in mail data: bare CR, bare LF, NUL and over-long lines.

    `long_lines` counts lines of more than `max_line` octets, their line end included. A line ends at LF, so that a
    stream with bare LFs still has lines. The result does not depend on how the stream is cut into pieces.
    """

    __slots__ = ("_cr", "_line", "bare_cr", "bare_lf", "long_lines", "max_line", "nul")

    def __init__(self, max_line: int = MAX_TEXT_LINE) -> None:
        self.max_line = max_line
        self.bare_cr = False
        self.bare_lf = False
        self.nul = False
        self.long_lines = 0
        self._cr = False  # the last octet seen was a CR that may yet get its LF
        self._line = 0  # octets of the line that is still open

    @property
    def bare(self) -> bool:
        """Whether a CR without LF or a LF without CR was seen: the stuff that SMTP smuggling is made of."""
        return self.bare_cr or self.bare_lf

    def feed(self, piece: bytes) -> None:
        """Look at the next octets."""
        if not piece:
            return
        # RFC 5321 §2.3.8: CR and LF occur only as CRLF. Counting is several times as fast as any search for the odd one.
        pairs = piece.count(b"\r\n")
        crs = piece.count(b"\r")
        lfs = piece.count(b"\n")
        if self._cr:
            crs += 1
            if piece[0] == 0x0A:
                pairs += 1
            self._cr = False
        if piece[-1] == 0x0D:
            crs -= 1
            self._cr = True
        if crs != pairs:
            self.bare_cr = True
        if lfs != pairs:
            self.bare_lf = True
        if not self.nul and b"\0" in piece:
            self.nul = True
        self._measure(piece)

    def finish(self) -> None:
        """Say that the stream is over: a CR at its very end is a bare one."""
        if self._cr:
            self.bare_cr = True
            self._cr = False

    def _measure(self, piece: bytes) -> None:
        """Count over-long lines by jumping from window to window: one step for each `max_line` octets, not for each line."""
        limit = self.max_line
        size = len(piece)
        start = 0  # where the line begins; its octets of earlier pieces are `used`
        used = self._line
        while True:
            window = start + max(limit - used, 0)
            if window >= size:
                last = piece.rfind(b"\n", start)
                self._line = size - last - 1 if last >= 0 else used + size - start
                return
            last = piece.rfind(b"\n", start, window)
            if last < 0:
                if used <= limit:  # else it was counted when an earlier piece went over
                    self.long_lines += 1
                last = piece.find(b"\n", window)
                if last < 0:
                    self._line = used + size - start
                    return
            start = last + 1
            used = 0


class DotDecoder:
    """Decodes the octets that follow a 354 reply, in pieces of any size (RFC 5321 §4.5.2).

    Feed it until `done`; `rest` is then what the client had pipelined behind the end. `size` counts decoded octets.
    `lines` holds the verdict on line ends; only CRLF.CRLF ends the data, whatever bare CR or LF surround other dots.
    """

    __slots__ = ("_carry", "_virtual", "done", "lines", "rest", "size")

    def __init__(self, max_line: int = MAX_TEXT_LINE) -> None:
        self.lines = LineCheck(max_line)
        self.done = False
        self.rest = b""
        self.size = 0
        # The data begins at the start of a line: pretend that a CRLF came before and take it off again.
        self._carry = b"\r\n"
        self._virtual = 2

    @property
    def bare(self) -> bool:
        """Whether a bare CR or a bare LF was seen so far (RFC 5321 §2.3.8)."""
        return self.lines.bare

    def feed(self, chunk: bytes) -> bytes:
        """Take the next octets from the wire and return the decoded message octets that they settle.

        At most four octets are held back for the next call. After the end, further octets gather in `rest`.
        """
        if self.done:
            self.rest += chunk
            return b""
        buffer = self._carry + chunk if self._carry else chunk
        dot = buffer.find(
            _STUFFED
        )  # most pieces have no line that begins with a dot: one search settles both questions
        end = buffer.find(_END, dot) if dot >= 0 else -1
        if end >= 0:
            self.done = True
            self.rest = buffer[end + len(_END) :]
            self._carry = b""
            piece = buffer[: end + 2]  # RFC 5321 §4.1.1.4: the CRLF before the final dot belongs to the message
        else:
            keep = _open_suffix(buffer)
            self._carry = buffer[len(buffer) - keep :] if keep else b""
            piece = buffer[: len(buffer) - keep] if keep else buffer
        if dot >= 0 and dot != end:
            # RFC 5321 §4.5.2: the first of a line's octets is a dot and others follow: the dot is deleted
            piece = piece.replace(_STUFFED, b"\r\n")
        if self._virtual and piece:
            piece = piece[2:]
            self._virtual = 0
        self.size += len(piece)
        self.lines.feed(piece)
        if self.done:
            self.lines.finish()
        return piece


def _open_suffix(buffer: bytes) -> int:
    """Return how many octets at the end could be the beginning of CRLF.CRLF."""
    for size in (4, 3, 2, 1):
        if buffer.endswith(_END[:size]):
            return size
    return 0


def stuff(message: bytes) -> bytes:
    """Encode a whole message of CRLF lines for DATA: dots stuffed, the final CRLF.CRLF added (RFC 5321 §4.5.2)."""
    body = message.replace(_STUFFED, b"\r\n..")
    if body.startswith(b"."):
        body = b"." + body
    if not body:
        return b".\r\n"
    return body + (b".\r\n" if body.endswith(b"\r\n") else b"\r\n.\r\n")
