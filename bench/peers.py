"""A private Postfix + Dovecot, from Debian's packages, at their default durability: the peer that we are measured against.

Postfix takes mail by SMTP and hands it to Dovecot by LMTP over a unix socket; Dovecot keeps a Maildir a user and serves
IMAP. Both run from directories of their own and touch nothing of the machine's installation. Postfix's master needs root.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import textwrap
import time
from pathlib import Path

POSTFIX_LIBEXEC = Path("/usr/lib/postfix/sbin")
PASSWORD = "peer-password"


def missing() -> str:
    """Say what the peer lacks here; empty when it can run."""
    if os.geteuid() != 0:
        return "Postfix's master needs root"
    for program in ("/usr/sbin/postfix", "/usr/sbin/dovecot", "/usr/sbin/smtp-source"):
        if not Path(program).exists():
            return f"{program} is not installed"
    return ""


class Peer:
    """One Postfix + Dovecot.

    Args:
        root: An empty directory that the mail users may enter (0755 all the way up).
        smtp_port: Postfix's port on 127.0.0.1.
        imap_port: Dovecot's port on 127.0.0.1.
        domain: The one domain that is delivered.
        milter: Port on 127.0.0.1 of a milter that looks mail through, 0 for none.
    """

    def __init__(self, root: Path, smtp_port: int, imap_port: int, domain: str = "demo.test", milter: int = 0) -> None:
        self.root = root
        self.smtp_port = smtp_port
        self.imap_port = imap_port
        self.domain = domain
        self.milter = milter
        self._dovecot: subprocess.Popen[bytes] | None = None
        self._master: subprocess.Popen[bytes] | None = None

    def start(self, users: list[str]) -> None:
        """Write the configuration and start both."""
        owner = pwd.getpwnam("nobody")
        root = self.root
        for name in ("dovecot/run", "dovecot/state", "mail", "postfix/etc", "postfix/queue", "postfix/data", "log"):
            (root / name).mkdir(parents=True, exist_ok=True)
        shutil.chown(root / "mail", owner.pw_uid, owner.pw_gid)
        shutil.chown(root / "postfix/data", "postfix")
        (root / "users").write_text("".join(f"{user}@{self.domain}:{{PLAIN}}{PASSWORD}\n" for user in users))
        (root / "users").chmod(0o644)
        (root / "dovecot/dovecot.conf").write_text(
            textwrap.dedent(f"""\
                base_dir = {root}/dovecot/run
                state_dir = {root}/dovecot/state
                log_path = {root}/log/dovecot.log
                ssl = no
                disable_plaintext_auth = no
                protocols = imap lmtp
                listen = 127.0.0.1
                mail_location = maildir:{root}/mail/%n
                mail_uid = {owner.pw_uid}
                mail_gid = {owner.pw_gid}
                first_valid_uid = 1
                first_valid_gid = 1
                default_internal_user = dovecot
                default_login_user = dovenull
                passdb {{
                  driver = passwd-file
                  args = username_format=%u {root}/users
                }}
                userdb {{
                  driver = static
                  args = uid={owner.pw_uid} gid={owner.pw_gid} home={root}/mail/%n allow_all_users=yes
                }}
                service imap-login {{
                  inet_listener imap {{
                    port = {self.imap_port}
                  }}
                  inet_listener imaps {{
                    port = 0
                  }}
                }}
                service lmtp {{
                  unix_listener lmtp {{
                    mode = 0666
                  }}
                }}
                """)
        )
        (root / "postfix/etc/main.cf").write_text(
            textwrap.dedent(f"""\
                compatibility_level = 3.6
                queue_directory = {root}/postfix/queue
                data_directory = {root}/postfix/data
                command_directory = /usr/sbin
                daemon_directory = {POSTFIX_LIBEXEC}
                mail_owner = postfix
                setgid_group = postdrop
                myhostname = peer.{self.domain}
                mydestination =
                mynetworks = 127.0.0.0/8
                inet_interfaces = 127.0.0.1
                inet_protocols = ipv4
                maillog_file_prefixes = {root}
                maillog_file = {root}/log/postfix.log
                virtual_mailbox_domains = {self.domain}
                virtual_mailbox_maps = static:OK
                virtual_transport = lmtp:unix:{root}/dovecot/run/lmtp
                alias_maps =
                alias_database =
                local_recipient_maps =
                smtpd_client_connection_count_limit = 0
                message_size_limit = 52428800
                virtual_mailbox_limit = 0
                mailbox_size_limit = 0
                smtpd_milters = {f"inet:127.0.0.1:{self.milter}" if self.milter else ""}
                """)
        )
        master = Path("/etc/postfix/master.cf").read_text() if Path("/etc/postfix/master.cf").exists() else ""
        if not master:
            master = Path("/usr/share/postfix/master.cf.dist").read_text()
        lines = []
        for line in master.splitlines():
            if line.startswith("smtp ") and "inet" in line:
                lines.append(f"127.0.0.1:{self.smtp_port} inet n - n - - smtpd")
            elif line[:1].strip() and not line.startswith("#"):
                fields = line.split()
                if len(fields) > 7 and fields[4] in {"y", "-"}:
                    fields[4] = "n"  # no chroot: it would need copies of the machine's files
                lines.append(" ".join(fields))
            elif line.startswith((" ", "\t")):
                lines.append(line)
        (root / "postfix/etc/master.cf").write_text("\n".join(lines) + "\n")
        config = ["-c", str(root / "postfix/etc")]
        subprocess.run(["/usr/sbin/postfix", *config, "check"], check=False, capture_output=True)
        self._dovecot = subprocess.Popen(
            ["/usr/sbin/dovecot", "-F", "-c", str(root / "dovecot/dovecot.conf")], stdout=subprocess.DEVNULL,
            stderr=(root / "log/dovecot.err").open("wb"),
        )  # fmt: skip
        self._master = subprocess.Popen(
            [POSTFIX_LIBEXEC / "master", *config, "-d"], stdout=subprocess.DEVNULL,
            stderr=(root / "log/postfix.err").open("wb"), env={**os.environ, "MAIL_CONFIG": str(root / "postfix/etc")},
        )  # fmt: skip
        for port, log in ((self.smtp_port, "postfix"), (self.imap_port, "dovecot")):
            self._wait_port(port, log)

    def pids(self) -> list[int]:
        """Process ids of the two masters; their children are found from them."""
        return [process.pid for process in (self._dovecot, self._master) if process is not None]

    def stop(self) -> None:
        """End both."""
        for process in (self._master, self._dovecot):
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in (self._master, self._dovecot):
            if process is not None:
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def _wait_port(self, port: int, log: str, seconds: float = 60) -> None:
        """Wait for a greeting; when there is none, say what its logs say last."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port), 1) as connection:
                    if connection.recv(64):
                        return
            except OSError:
                pass
            if time.monotonic() > deadline or any(program.poll() is not None for program in self._programs()):
                said = "".join(
                    path.read_text(errors="replace")[-500:] for path in sorted(self.root.glob(f"log/{log}.*"))
                )
                raise RuntimeError(f"the peer does not answer on port {port}: {said.strip()}")
            time.sleep(0.1)

    def _programs(self) -> list[subprocess.Popen[bytes]]:
        return [program for program in (self._dovecot, self._master) if program is not None]
