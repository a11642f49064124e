"""Settings of the store."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from petitbleu_kit.config import ServiceSettings

_HERE = Path(__file__).parent


def _migrations() -> Path:
    """Folder of the migrations: beside the source, or inside the installed package."""
    source = _HERE.parents[1] / "migrations"
    return source if source.is_dir() else _HERE / "migrations"


class StoreSettings(ServiceSettings):
    """What the store reads from `PETITBLEU_…` variables."""

    migrations_dir: Path = Field(default_factory=_migrations, description="Folder of the SQL migrations.")
    kek_file: Path | None = Field(
        None, description='Key-encryption keys: JSON {"active": id, "keys": {id: base64 of 32 octets}}, mode 0600.'
    )

    s3_endpoint: str = Field(
        "127.0.0.1:28333", description="`host:port` of the S3 service; it must sync before it answers."
    )
    s3_access_key: str = Field("", description="S3 access key.")
    s3_secret_key: str = Field("", description="S3 secret key.")
    s3_bucket: str = Field("petitbleu", description="Bucket of bodies; made when missing and allowed.")
    s3_secure: bool = Field(False, description="Whether S3 is spoken over TLS.")
    s3_region: str = Field("us-east-1", description="Region that requests are signed for.")
    s3_threads: int = Field(8, description="S3 requests at once.")

    zstd_level: int = Field(
        1, description="Compression level: 1 costs 32 µs and 3 costs 43 µs an 7 KiB message, for 2 % of size."
    )
    inline_octets: int = Field(
        128 << 10, description="A sealed body up to this many octets goes in a hot table, a larger one straight to S3."
    )
    max_body_octets: int = Field(
        64 << 20, description="Largest body staged, as SIZE of RFC 1870 allows (Postfix: 10 MiB)."
    )
    max_stages: int = Field(32, description="Bodies staged at once; each holds at most 0.5 MiB of memory.")
    spool_octets: int = Field(2 << 30, description="Most octets of sealed bodies in the spool directory.")
    spool_dir: Path | None = Field(
        None, description="Where bodies being staged lie, sealed; `{data}/store-spool` when unset."
    )
    max_upload_stages: int = Field(
        128, description="Large uploads of people on their way at once, apart from those stages: a browser may be slow."
    )
    staged_seconds: int = Field(3600, description="What was staged and not accepted after this long is deleted.")

    upload_days: float = Field(
        3,
        gt=0.05,
        description="How long an upload that no message took is kept; RFC 8620 §6 asks for an hour at least.",
    )
    upload_quota_octets: int = Field(
        256 << 20, description="Octets of an account's uploads; beyond, its oldest go. Five of the largest upload."
    )
    upload_quota_count: int = Field(2000, ge=64, description="Uploads of an account; beyond, its oldest go.")

    undo_days: float = Field(
        30, ge=0, description="How long deleted mail and mailboxes can be brought back; 0 keeps nothing."
    )
    undo_messages: int = Field(
        100_000, ge=100, description="Deleted messages kept of an account; beyond, drafts go first, then the oldest."
    )
    undo_octets: int = Field(
        10 << 30,
        description="Octets of deleted mail kept of an account without quota; others keep as much as their quota.",
    )
    undo_mailboxes: int = Field(500, ge=1, le=1000, description="Deleted mailboxes kept of an account; the oldest go.")

    max_open_recipients: int = Field(
        2_000_000, description="Open recipients beyond which nothing is accepted (452 4.3.1)."
    )
    max_hot_octets: int = Field(
        8 << 30, description="Octets of hot tables beyond which nothing is accepted (452 4.3.1)."
    )

    seal_octets: int = Field(16 << 20, description="The written hot table is packed once it holds this much.")
    seal_seconds: float = Field(
        900, description="The written hot table is packed once it is this old, if it holds anything."
    )
    segment_octets: int = Field(32 << 20, description="A segment is closed at this size.")
    pack_tick_seconds: float = Field(2, description="How often the packer looks at the ring.")
    segment_retention_days: float = Field(
        35, description="A dead segment is deleted only after back-ups that may name it expired."
    )
    compact_dead_percent: int = Field(30, description="A segment with more dead octets than this is rewritten.")

    search_idle_seconds: float = Field(
        5, description="New mail is indexed for search once none came for this long, or slowly after two minutes."
    )
    search_sweep_seconds: float = Field(
        300, gt=0, description="How often mail is looked for that no process remembers to index."
    )

    words_junk_probability: float = Field(
        0.99,
        gt=0.5,
        description="New mail is Junk from this probability on by what its account's junk was made of; over 1 for never.",
    )

    retry_open_seconds: int = Field(600, description="A recipient open this long is published again.")
    keep_accepted_days: int = Field(30, description="How long rows of settled mail stay for tracing.")
    keep_key_hours: int = Field(24, description="How long an idempotency key is known (architecture, promise 1).")
    keep_sent_hours: int = Field(
        24, description="How long mail can be read for a report after its last recipient left the outbound queue."
    )
    keep_audit_days: int = Field(365, description="How long looks by Trace stay in the audit table.")

    def spool(self) -> Path:
        """Directory of bodies being staged."""
        return self.spool_dir or self.data / "store-spool"
