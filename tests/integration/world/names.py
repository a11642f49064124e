"""The DNS of the world: NSD serves a signed zone `test.` and the reverse zone, unbound resolves and validates."""

from __future__ import annotations

import ipaddress
import subprocess
from typing import Final

from tests.folders import enterable
from tests.integration.world.namespaces import NETWORK, RESOLVER, Namespace

SERVER_PORT: Final = 5300
TOOLS: Final = ("nsd", "unbound", "ldns-keygen", "ldns-signzone")

_NSD = """
server:
    ip-address: 127.0.0.1@{port}
    username: ""
    zonesdir: "{base}"
    database: ""
    pidfile: "{base}/nsd.pid"
    xfrdfile: "{base}/xfrd.state"
    zonelistfile: "{base}/zone.list"
    server-count: 1
    verbosity: 1
remote-control:
    control-enable: no
zone:
    name: "test."
    zonefile: "test.zone.signed"
zone:
    name: "{reverse}"
    zonefile: "reverse.zone"
"""

_UNBOUND = """
server:
    interface: {resolver}
    access-control: {network}.0/24 allow
    username: ""
    chroot: ""
    directory: "{base}"
    pidfile: "{base}/unbound.pid"
    use-syslog: no
    logfile: ""
    verbosity: 1
    do-ip6: no
    do-not-query-localhost: no
    module-config: "validator iterator"
    trust-anchor-file: "{base}/anchor"
    local-zone: "test." nodefault
    local-zone: "10.in-addr.arpa." nodefault
    domain-insecure: "10.in-addr.arpa."
    cache-max-ttl: 1
    cache-max-negative-ttl: 1
    num-threads: 1
remote-control:
    control-enable: no
stub-zone:
    name: "test."
    stub-addr: 127.0.0.1@{port}
stub-zone:
    name: "{reverse}"
    stub-addr: 127.0.0.1@{port}
"""


class Names:
    """Name servers on a host at `RESOLVER`; `publish` signs the zone anew."""

    def __init__(self, host: Namespace) -> None:
        self._host = host
        self._base = host.directory
        self._records: list[str] = []
        self._pointers: list[str] = []
        self._reverse = ipaddress.ip_network(f"{NETWORK}.0/24").network_address.reverse_pointer.split(".", 1)[1]
        self._keys = [self._key("-k"), self._key()]
        anchor = (self._base / f"{self._keys[0]}.key").read_text()
        (self._base / "anchor").write_text(anchor)
        texts = {
            "base": self._base,
            "port": SERVER_PORT,
            "reverse": self._reverse,
            "resolver": RESOLVER,
            "network": NETWORK,
        }
        (self._base / "nsd.conf").write_text(_NSD.format(**texts))
        (self._base / "unbound.conf").write_text(_UNBOUND.format(**texts))
        self._servers: list[subprocess.Popen[bytes]] = []

    def _key(self, *options: str) -> str:
        """Make a key of the zone (ECDSA P-256, RFC 6605); the stem of its files."""
        made = subprocess.run(
            ["ldns-keygen", *options, "-a", "ECDSAP256SHA256", "test"],
            cwd=self._base, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return made.stdout.strip()

    def add(self, *records: str) -> None:
        """Add records, as lines of a zone file with names that end in a dot."""
        self._records += records

    def host_name(self, name: str, address: str) -> None:
        """Name an address, forth and back (RFC 8601 §2.7.3)."""
        self.add(f"{name}. A {address}")
        self._pointers.append(f"{ipaddress.ip_address(address).reverse_pointer}. PTR {name}.")

    def publish(self) -> None:
        """Write and sign the zones, and start the servers anew: they have nothing cached afterwards."""
        for server in self._servers:
            server.terminate()
            server.wait()
        head = "$TTL 60\n@ SOA ns.test. hostmaster.test. 1 3600 900 86400 60\n@ NS ns.test.\n"
        (self._base / "test.zone").write_text(
            f"$ORIGIN test.\n{head}ns.test. A {RESOLVER}\n" + "\n".join(self._records) + "\n"
        )
        (self._base / "reverse.zone").write_text(f"$ORIGIN {self._reverse}.\n{head}" + "\n".join(self._pointers) + "\n")
        subprocess.run(
            ["ldns-signzone", "-n", "test.zone", *self._keys],
            cwd=self._base, capture_output=True, check=True,
        )  # fmt: skip
        self._servers = [
            self._host.start("nsd", "-d", "-c", str(self._base / "nsd.conf")),
            self._host.start("unbound", "-d", "-c", str(self._base / "unbound.conf")),
        ]
        self._host.wait_for_port(SERVER_PORT)
        self._host.wait_for_port(53)


def make_names(host: Namespace) -> Names:
    """Make the name servers of a world; its directory is readable to whoever they run as."""
    enterable(host.directory)
    return Names(host)


def zone_text(text: str) -> str:
    """Quote a TXT record's data in strings of at most 255 octets (RFC 1035 §3.3.14)."""
    parts = [text[at : at + 250] for at in range(0, len(text), 250)]
    return " ".join(f'"{part}"' for part in parts)
