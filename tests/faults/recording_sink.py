"""A mail server in a process of its own that keeps no mail and writes down each recipient of what it took: `python recording_sink.py PORT FILE`.

Whoever is called nobody is refused. A line is written, `<subject> <recipient>`, before the 250 to the final dot leaves: what a client may know to be taken is in the file.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, log: int) -> None:
    """Take mail on one connection."""
    recipients: list[str] = []
    writer.write(b"220 sink ESMTP\r\n")
    try:
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb == b"EHLO":
                writer.write(b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n")
            elif verb == b"RCPT":
                recipient = line.split(b"<", 1)[1].split(b">", 1)[0].decode()
                if recipient.startswith("nobody@"):
                    writer.write(b"550 5.1.1 no such mailbox\r\n")
                else:
                    recipients.append(recipient)
                    writer.write(b"250 2.1.5 fine\r\n")
            elif verb == b"DATA" and not recipients:
                writer.write(b"554 5.5.1 no valid recipients\r\n")
            elif verb == b"DATA":
                writer.write(b"354 go on\r\n")
                await writer.drain()
                body = await reader.readuntil(b"\r\n.\r\n")
                subject = body.split(b"\r\nSubject: ", 1)[1].split(b"\r\n", 1)[0].decode()
                os.write(log, "".join(f"{subject} {one}\n" for one in recipients).encode())
                recipients = []
                writer.write(b"250 2.0.0 taken\r\n")
            elif verb == b"QUIT":
                writer.write(b"221 2.0.0 bye\r\n")
                break
            else:
                if verb in {b"MAIL", b"RSET"}:
                    recipients = []
                writer.write(b"250 2.0.0 fine\r\n")
            await writer.drain()
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        pass  # a client that was killed
    finally:
        writer.close()


async def main(port: int, path: Path) -> None:
    """Serve until killed."""
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    server = await asyncio.start_server(lambda r, w: serve(r, w, log), "127.0.0.1", port, limit=16 << 20)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))
