"""Settings of the service, from `PETITBLEU_…` variables."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from petitbleu_kit.config import ServiceSettings


def _migrations() -> Path:
    packaged = Path(__file__).parent / "migrations"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "migrations"


class Settings(ServiceSettings):
    """Everything that an operator may change."""

    migrations_dir: Path = Field(default_factory=_migrations, description="Folder of the schema's migrations.")

    # Two passes over 19 MiB with one lane (OWASP, Password Storage), salt of 128 bits, tag of 256; ADR 51 says why not more.
    argon2_passes: int = Field(2, ge=1, description="Passes over the memory (RFC 9106 §4).")
    argon2_memory_kib: int = Field(19_456, ge=8, description="Memory of one hash in KiB (RFC 9106 §4).")
    argon2_lanes: int = Field(1, ge=1, description="Lanes of one hash (RFC 9106 §4).")
    password_threads: int = Field(2, ge=1, description="Hashes made at once; each takes `argon2_memory_kib`.")
    password_queue: int = Field(64, ge=1, description="Logins that may wait for a hash; beyond, the answer is busy.")
    password_min_length: int = Field(8, ge=1, description="Fewest characters of a new password (NIST SP 800-63B).")
    remember_success_seconds: float = Field(
        300, ge=0, le=300, description="How long a right password is known without hashing it again; at most 5 minutes."
    )
    remember_session_seconds: float = Field(
        5, ge=0, le=30, description="How long a session is known without asking the database."
    )
    remembered: int = Field(50_000, ge=1, description="Credentials remembered at once.")

    principal_seconds: int = Field(300, ge=30, le=300, description="Life of a signed principal.")
    session_idle_seconds: int = Field(14 * 86_400, ge=60, description="A session unused for so long ends.")
    session_seconds: int = Field(90 * 86_400, ge=60, description="A session ends after so long, used or not.")

    cooling_seconds: int = Field(
        86_400,
        ge=0,
        description="How long a new device or a new password opens no door of a child's, and takes nobody in.",
    )

    login_window_seconds: int = Field(900, ge=1, description="Window in which failed logins are counted.")
    login_failures_per_account: int = Field(
        50, ge=1, description="Failed logins a window for one login, from anywhere."
    )
    login_failures_per_ip: int = Field(
        100, ge=1, description="Failed logins a window from one client address (IPv6: /64)."
    )
    login_failures_per_pair: int = Field(10, ge=1, description="Failed logins a window for one login from one address.")

    sign_up_lowest_bits: int = Field(
        16, ge=0, le=32, description="Zero bits that a hash must have before an account is opened, when it is quiet."
    )
    sign_up_highest_bits: int = Field(22, ge=0, le=32, description="The same at most.")
    sign_up_free_network: int = Field(
        10, ge=1, description="Challenges an hour for one network (IPv6: /64) before its work doubles."
    )
    sign_up_free: int = Field(2_000, ge=1, description="Challenges an hour for all before everybody's work doubles.")
    sign_up_challenge_seconds: int = Field(600, ge=10, description="A challenge is over after so long.")
    sign_up_network_hour: int = Field(100, ge=1, description="Accounts opened an hour from one network.")
    sign_up_quota_octets: int = Field(
        1 << 30, ge=0, description="Quota of an account that a person opens; 0: as `default_quota_octets`."
    )
    open_child_hour: int = Field(10, ge=1, description="Children's accounts that a guardian opens in an hour.")

    default_quota_octets: int = Field(
        10 << 30, ge=0, description="Quota of an account when none is given; 0: no limit."
    )
    default_language: str = Field("fr", description="Language of an account when none is given (BCP 47).")
    push_seconds: int = Field(
        7 * 86_400, ge=60, description="A push subscription ends after so long unless it is renewed (RFC 8620 §7.2)."
    )
    push_subscriptions_account: int = Field(32, ge=1, description="Push subscriptions of an account at once.")
    push_made_per_hour: int = Field(60, ge=1, description="Push subscriptions that an account may make in an hour.")
    push_lease_seconds: int = Field(20, ge=2, description="How long a sender of pushes that is silent keeps its share.")
    sweep_seconds: float = Field(10, gt=0, description="Pause between sweeps for accounts half made or half closed.")
    sweep_after_seconds: float = Field(
        30, gt=0, description="Age at which a half-made account is taken up by the sweep."
    )
