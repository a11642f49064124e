"""Two deployments of ours and a Debian Postfix exchange signed mail, each host in a network namespace, with a signed DNS of their own."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.integration.world import names as dns
from tests.integration.world import peer as others
from tests.integration.world.authority import Authority
from tests.integration.world.deployment import Deployment
from tests.integration.world.names import Names, make_names, zone_text
from tests.integration.world.namespaces import Network, missing
from tests.integration.world.peer import MX, PeerHost
from tests.ports import offset_of

ABSENT = missing() or ", ".join(tool for tool in (*dns.TOOLS, *others.TOOLS) if shutil.which(tool) is None)
pytestmark = pytest.mark.skipif(bool(ABSENT), reason=f"PEER MISSING: {ABSENT}")
# Two stacks on one file system: SeaweedFS names its sockets by their ports.
OFFSETS = (offset_of(480), offset_of(490))


@dataclass
class World:
    """Everything that is there."""

    names: Names
    a: Deployment
    b: Deployment
    peer: PeerHost


def token() -> str:
    return "world" + os.urandom(5).hex()


def publish_deployment(names: Names, one: Deployment, *, dane: bool) -> None:
    """Publish what an operator publishes for a hosted domain: exchanger, SPF, keys, DMARC, policy."""
    names.host_name(one.mx, one.host.address)
    names.add(
        f"{one.domain}. MX 10 {one.mx}.",
        f'{one.domain}. TXT "v=spf1 ip4:{one.host.address} -all"',
        f'_dmarc.{one.domain}. TXT "v=DMARC1; p=reject; adkim=s; aspf=s"',
        f"{one.policy_host}. A {one.host.address}",
    )
    for key in json.loads(one.cli("domain", "keys", one.domain, "--json")):
        names.add(f"{key['name']}. TXT {zone_text(key['text'])}")
    if dane:
        names.add(f"_25._tcp.{one.mx}. TLSA {one.certificate.tlsa}")
    else:
        policy = json.loads(one.cli("domain", "sts", one.domain, "--mode", "enforce", "--mx", one.mx, "--json"))
        names.add(f'_mta-sts.{one.domain}. TXT "v=STSv1; id={policy["id"]}"')


def publish_peer(names: Names, peer: PeerHost, authority: Authority) -> None:
    """Publish the peer's domain, and those whose exchangers do TLS badly."""
    names.host_name(MX, peer.address)
    names.add(
        f"{others.DOMAIN}. MX 10 {MX}.",
        peer.dkim_record(),
        f'{others.DOMAIN}. TXT "v=spf1 ip4:{peer.address} -all"',
        f'_dmarc.{others.DOMAIN}. TXT "v=DMARC1; p=reject"',
        f"_25._tcp.{MX}. TLSA {peer.certificate.tlsa}",
    )
    folder = peer.base / "policies"
    folder.mkdir()
    hosts = []
    for domain, address in [(one, peer.plain) for one in others.PLAIN] + [
        (one, peer.other_address) for one in others.OTHER_NAME
    ]:
        names.host_name(f"mx.{domain}", address)
        names.add(f"{domain}. MX 10 mx.{domain}.")
        if domain.endswith("-sts.test"):
            hosts.append(f"mta-sts.{domain}")
            names.add(f"mta-sts.{domain}. A {peer.address}", f'_mta-sts.{domain}. TXT "v=STSv1; id=1"')
            (folder / hosts[-1]).write_text(f"version: STSv1\r\nmode: enforce\r\nmx: mx.{domain}\r\nmax_age: 86400\r\n")
        if domain.endswith("-dane.test"):
            names.add(f"_25._tcp.mx.{domain}. TLSA {peer.certificate.tlsa}")
    pair = authority.issue(*hosts)
    module = ("-m", "tests.integration.world.policies", peer.address, str(pair.chain), str(pair.key), str(folder))
    peer.host.start(sys.executable, *module, environment={"PYTHONPATH": str(Path(__file__).parents[3])})
    peer.host.wait_for_port(443)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("world")
    directory.chmod(0o755)
    network = Network(directory)
    started: list[Deployment] = []
    try:
        authority = Authority(directory)
        names = make_names(network.host("dns", 53))
        peer = PeerHost(network.host("peer", 30, 31, 32), authority)
        a, b = (
            Deployment(network.host(letter, last), f"{letter}.test", authority, offset)
            for letter, last, offset in (("a", 10, OFFSETS[0]), ("b", 20, OFFSETS[1]))
        )
        names.publish()
        for one in (a, b):
            started.append(one)
            one.start()
        a.begin("alice")
        b.begin("bob")
        publish_peer(names, peer, authority)
        publish_deployment(names, a, dane=True)
        publish_deployment(names, b, dane=False)
        names.publish()
        peer.start()
        yield World(names, a, b, peer)
    finally:
        for one in started:
            one.stack.stop()
        network.close()


def passes(field: str, *checks: str) -> bool:
    """Whether an Authentication-Results says pass to each of these checks."""
    return all(f"{check}=pass" in field for check in checks)


def test_from_one_deployment_to_the_other_and_back(world: World) -> None:
    there, back = token(), token()
    world.a.send("alice", "bob@b.test", there)
    world.b.send("bob", "alice@a.test", back)
    for one, person, subject in ((world.b, "bob", there), (world.a, "alice", back)):
        mail = one.wait_for(person, subject)
        (results,) = mail["header:Authentication-Results:asText:all"]
        assert results.startswith(f"{one.mx};")
        assert passes(results, "spf", "dkim", "dmarc"), results
        assert len(mail["header:DKIM-Signature:asRaw:all"]) == 2
        assert any("ESMTPS" in line for line in mail["header:Received:asRaw:all"])


def test_to_a_postfix_that_checks_and_from_one_that_signs(world: World) -> None:
    there, back = token(), token()
    world.a.send("alice", f"paul@{others.DOMAIN}", there)
    world.peer.send("alice@a.test", back)
    taken = world.peer.wait_for(there)
    results = " ".join(taken.get_all("Authentication-Results", []))
    assert "dmarc=pass" in results, results
    assert "dkim=pass" in results, results
    assert any("TLSv1" in line for line in taken.get_all("Received", []))
    mail = world.a.wait_for("alice", back)
    # the peer's own, of when it signed, are there as well: they are in its name
    (found,) = [one for one in mail["header:Authentication-Results:asText:all"] if one.startswith(f"{world.a.mx};")]
    assert passes(found, "spf", "dkim", "dmarc"), found
    # the strictest sender there is: our certificate is the one that our signed zone names
    assert "Verified TLS connection established to mx.a.test" in world.peer.log()


def test_mail_in_somebodys_name_is_refused(world: World) -> None:
    forged = token()
    said = world.peer.host.run(
        "swaks", "--server", world.a.host.address, "--from", "bob@b.test", "--to", "alice@a.test", "--helo", MX,
        "--h-Subject", forged, check=False,
    )  # fmt: skip
    assert "550 5.7.1" in said
    assert world.a.mails("alice", forged) == []


def test_no_downgrade_where_tls_is_promised(world: World) -> None:
    """To each exchanger without TLS, or with another's certificate: nothing goes where a policy or DANE forbids it, and it waits."""
    promised = [one for one in (*others.PLAIN, *others.OTHER_NAME) if one != "plain.test"]
    free, held = token(), {domain: token() for domain in promised}
    for domain, subject in held.items():
        world.b.send("bob", f"paul@{domain}", subject)
    world.b.send("bob", "paul@plain.test", free)
    # the same exchanger takes what nobody promised TLS for
    assert world.peer.wait_for(free)
    deadline = time.monotonic() + 60
    while True:
        waiting = {row["destination"]: row for row in json.loads(world.b.cli("queue", "list", "--json"))}
        tried = {domain for domain in promised if "4.7" in json.dumps(waiting.get(domain, {}))}
        if tried == set(promised):
            break
        assert time.monotonic() < deadline, f"not tried: {set(promised) - tried} of {waiting}\n{world.b.logs()}"
        time.sleep(0.5)
    came = {str(mail["Subject"]) for mail in world.peer.mails()}
    assert not came & set(held.values())
