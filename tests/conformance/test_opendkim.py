"""OpenDKIM, as Debian has it, takes what we sign: by RSA and by Ed25519, and refuses it when it was changed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from services.delivery.tests.test_delivery_signing import DOMAIN, HEADER, MESSAGE, TRACE, Post

BODIES = [
    b"",
    b"Hello \t Bob\r\n\r\n\r\n",
    b"..dots\r\n.\r\n\t\r\n",
    "Ünïcode, déjà vu\r\n".encode(),
    b"x" * 998 + b"\r\n" + b"word  word\t word \r\n" * 5000,
]


def verified(message: bytes, post: Post, folder: Path) -> str:
    """What OpenDKIM says of a message in its test mode, with the keys that we would publish."""
    program = shutil.which("opendkim", path="/usr/sbin:/usr/bin:/sbin:/bin")
    if program is None:
        pytest.skip("NO OPENDKIM: apt-get install opendkim to have its word on our signatures")
    keys = folder / "keys"
    keys.write_text("".join(f"{key.record_name} {key.record_text}\n" for key in post.rows.of(DOMAIN)))
    (folder / "conf").write_text(f"TestPublicKeys {keys}\nMode v\nSyslog no\n")
    (folder / "message").write_bytes(message)
    done = subprocess.run(
        [program, "-x", str(folder / "conf"), "-t", str(folder / "message"), "-vv"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return done.stdout


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
async def test_opendkim_takes_both_signatures(body: bytes, tmp_path: Path) -> None:
    post = Post()
    signed = await post.signer.sign(TRACE + HEADER + b"\r\n" + body, DOMAIN)
    said = verified(signed, post, tmp_path)
    assert "dkim=pass (2048-bit key) header.d=post.example" in said
    assert "dkim=pass header.d=post.example header.i=@post.example header.a=ed25519-sha256" in said


async def test_opendkim_refuses_what_was_changed_or_added(tmp_path: Path) -> None:
    post = Post()
    signed = await post.signer.sign(MESSAGE, DOMAIN)
    for changed in (
        signed.replace(b"hello", b"hallo"),
        signed.replace(b"Hello", b"Hallo"),
        b"Subject: new\r\n" + signed,
    ):
        said = verified(changed, post, tmp_path)
        assert "dkim=pass" not in said
        assert said.count("dkim=fail") == 2
