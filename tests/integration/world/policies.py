"""A web server for MTA-STS policies (RFC 8461 §3.3): `python -m tests.integration.world.policies ADDRESS CHAIN KEY FOLDER`.

`FOLDER/<host name>` is what is given for `https://<host name>/.well-known/mta-sts.txt`.
"""

from __future__ import annotations

import http.server
import ssl
import sys
from pathlib import Path


class Policies(http.server.BaseHTTPRequestHandler):
    """Gives the policy of the host that is asked for."""

    folder = Path()

    def do_GET(self) -> None:
        host = self.headers.get("Host", "").partition(":")[0]
        file = self.folder / Path(host).name
        found = self.path == "/.well-known/mta-sts.txt" and file.is_file()
        content = file.read_bytes() if found else b"no policy\n"
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def main(address: str, chain: str, key: str, folder: str) -> None:
    Policies.folder = Path(folder)
    server = http.server.ThreadingHTTPServer((address, 443), Policies)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
