"""The others: Debian's Postfix with OpenDKIM and OpenDMARC, strict about what it takes and DANE-minded about where it sends."""

from __future__ import annotations

import os
import subprocess
import time
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from typing import Final

from tests.folders import postfix_folders
from tests.integration.world.authority import Authority
from tests.integration.world.names import zone_text
from tests.integration.world.namespaces import RESOLVER, Namespace

DOMAIN: Final = "peer.test"
MX: Final = "mx.peer.test"
# Domains whose mail exchangers offer no TLS, or show a certificate of another name, on addresses of their own
PLAIN: Final = ("plain-sts.test", "plain-dane.test", "plain.test")
OTHER_NAME: Final = ("other-name-sts.test", "other-key-dane.test")
TOOLS: Final = ("postfix", "opendkim", "opendkim-genkey", "opendmarc", "swaks")
_DAEMONS: Final = "/usr/lib/postfix/sbin"
_NOBODY: Final = 65534

_MAIN = """
compatibility_level = 3.6
queue_directory = {base}/queue
data_directory = {base}/data
command_directory = /usr/sbin
daemon_directory = {daemons}
mail_owner = postfix
setgid_group = postdrop
inet_protocols = ipv4
myhostname = {mx}
mydomain = {domain}
myorigin = {domain}
mydestination =
mynetworks = 127.0.0.0/8
smtp_bind_address = {address}
virtual_mailbox_domains = {domains}
virtual_transport = virtual
virtual_mailbox_base = {base}/mail
virtual_mailbox_maps = static:all/
virtual_uid_maps = static:{nobody}
virtual_gid_maps = static:{nobody}
alias_maps =
maillog_file = {base}/data/mail.log
maillog_file_prefixes = {base}
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_tls_security_level = may
smtpd_tls_chain_files = {key}, {chain}
smtpd_tls_loglevel = 1
smtpd_tls_received_header = yes
smtpd_tls_session_cache_database =
smtp_tls_security_level = dane
smtp_dns_support_level = dnssec
smtp_tls_CAfile = {authority}
smtp_tls_loglevel = 1
smtp_tls_session_cache_database =
tls_random_source = dev:/dev/urandom
smtpd_milters = inet:127.0.0.1:8891, inet:127.0.0.1:8893
milter_default_action = tempfail
minimal_backoff_time = 5s
queue_run_delay = 5s
"""

_MASTER = """
{address}:25 inet n - n - - smtpd
127.0.0.1:25 inet n - n - - smtpd
{plain}:25 inet n - n - - smtpd -o smtpd_tls_security_level=none
{other}:25 inet n - n - - smtpd -o smtpd_tls_chain_files={other_key},{other_chain}
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
tlsmgr unix - - n 1000? 1 tlsmgr
smtp unix - - n - - smtp
virtual unix - n n - - virtual
error unix - - n - - error
retry unix - - n - - error
postlog unix-dgram n - n - 1 postlogd
"""

_OPENDKIM = """
Mode sv
Domain {domain}
Selector peer
KeyFile {base}/peer.private
Socket inet:8891@127.0.0.1
AuthservID {mx}
Canonicalization relaxed/relaxed
MinimumKeyBits 1024
RequireSafeKeys no
SyslogSuccess no
Syslog no
AlwaysAddARHeader yes
ResolverConfiguration {base}/libunbound.conf
"""

# OpenDKIM resolves by libunbound, which knows nothing of `test.` unless it is told (RFC 6761 §6.2).
_LIBUNBOUND = """
server:
    local-zone: "test." nodefault
    module-config: "iterator"
forward-zone:
    name: "."
    forward-addr: {resolver}
"""

_OPENDMARC = """
AuthservID {mx}
TrustedAuthservIDs {mx}
Socket inet:8893@127.0.0.1
SPFIgnoreResults true
SPFSelfValidate true
RejectFailures false
RequiredHeaders true
Syslog false
IgnoreHosts {base}/ignored
"""


class PeerHost:
    """The host of `peer.test`, with two further mail exchangers that do TLS badly.

    Args:
        host: Its namespace, with three addresses: its own, that of the exchanger without TLS, that of the one with another name.
        authority: Signs its certificates.
    """

    def __init__(self, host: Namespace, authority: Authority) -> None:
        self.host = host
        self.base = host.directory
        self.certificate = authority.issue(MX)
        self.other = authority.issue("somebody-else.test")
        self.address, self.plain, self.other_address = host.addresses
        self._make_folders()
        subprocess.run(
            ["opendkim-genkey", "-b", "2048", "-d", DOMAIN, "-s", "peer", "-D", str(self.base)], check=True,
            capture_output=True,
        )  # fmt: skip
        texts = {
            "base": self.base, "daemons": _DAEMONS, "mx": MX, "domain": DOMAIN, "address": self.address,
            "domains": ", ".join((DOMAIN, *PLAIN, *OTHER_NAME)), "nobody": _NOBODY, "authority": authority.file,
            "key": self.certificate.key, "chain": self.certificate.chain, "plain": self.plain,
            "other": self.other_address, "resolver": RESOLVER, "other_key": self.other.key, "other_chain": self.other.chain,
        }  # fmt: skip
        for file, text in {
            "conf/main.cf": _MAIN, "conf/master.cf": _MASTER, "opendkim.conf": _OPENDKIM, "opendmarc.conf": _OPENDMARC,
            "libunbound.conf": _LIBUNBOUND,
        }.items():  # fmt: skip
            (self.base / file).write_text(text.format(**texts))
        (self.base / "ignored").write_text("")

    def _make_folders(self) -> None:
        postfix_folders(self.base)
        (self.base / "mail").mkdir()
        os.chown(self.base / "mail", _NOBODY, _NOBODY)

    def dkim_record(self) -> str:
        """The record of its DKIM key, as a line of a zone."""
        public = (self.base / "peer.txt").read_text()
        data = "".join(public.split('"')[1::2])
        return f"peer._domainkey.{DOMAIN}. TXT {zone_text(data)}"

    def start(self) -> None:
        """Start the three programs."""
        self.host.start("opendkim", "-f", "-x", str(self.base / "opendkim.conf"))
        self.host.start("opendmarc", "-f", "-c", str(self.base / "opendmarc.conf"))
        self.host.wait_for_port(8891)
        self.host.wait_for_port(8893)
        self.host.start(
            f"{_DAEMONS}/master", "-c", str(self.base / "conf"), "-d",
            environment={"MAIL_CONFIG": str(self.base / "conf")},
        )  # fmt: skip
        self.host.wait_for_port(25)

    def send(self, recipient: str, token: str, sender: str = f"paul@{DOMAIN}") -> None:
        """Submit a message, which OpenDKIM signs."""
        self.host.run(
            "swaks", "--server", "127.0.0.1", "--from", sender, "--to", recipient, "--helo", MX,
            "--h-Subject", token, "--body", f"From the peer: {token}",
        )  # fmt: skip

    def log(self) -> str:
        """What Postfix logged."""
        file = self.base / "data/mail.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def mails(self) -> list[EmailMessage]:
        """What was delivered."""
        found = []
        for file in sorted((self.base / "mail/all/new").glob("*")):
            message = BytesParser(policy=default).parsebytes(file.read_bytes())
            assert isinstance(message, EmailMessage)
            found.append(message)
        return found

    def wait_for(self, token: str, seconds: float = 60) -> EmailMessage:
        """Wait for the one message with this subject."""
        deadline = time.monotonic() + seconds
        while True:
            found = [mail for mail in self.mails() if mail["Subject"] == token]
            if found:
                assert len(found) == 1, f"{token} came {len(found)} times"
                return found[0]
            assert time.monotonic() < deadline, f"{token} did not come:\n{self.log()[-3000:]}"
            time.sleep(0.2)
