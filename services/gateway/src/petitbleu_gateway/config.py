"""Settings of the gateway, from the environment only."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from petitbleu_kit.config import ServiceSettings

_HEALTH_PORTS = {"ingest": 2801, "store": 2802, "delivery": 2803, "junior-guard": 2804, "accounts": 2805}


class GatewaySettings(ServiceSettings):
    """What the gateway reads from `PETITBLEU_…`; every figure says why it is that one."""

    http_host: str = Field("127.0.0.1", description="Address that both HTTP doors are bound to.")
    http_port: int = Field(8080, description="Port of the plain HTTP door, before `port_offset`; 0 for none.")
    https_port: int = Field(8443, description="Port of the HTTPS door, before `port_offset`; 0 for none.")
    tls_cert: Path | None = Field(None, description="Certificate chain (PEM) of the HTTPS door; without it, no HTTPS.")
    tls_key: Path | None = Field(None, description="Private key (PEM) of the HTTPS door.")
    tls_reload_seconds: float = Field(5.0, description="How often the certificate's files are looked at for a change.")
    web_root: Path | None = Field(
        None, description="Folder of the built web app (`web/dist`); without it, there is none."
    )
    managesieve_port: int = Field(
        2190,
        description="Port of ManageSieve (RFC 5804) at `http_host`, before `port_offset`; 0 for none. It needs a certificate.",
    )
    managesieve_connections: int = Field(500, description="Connections of ManageSieve at once; beyond, BYE.")
    managesieve_idle_seconds: float = Field(
        1800.0, description="Time that an idle client of ManageSieve is kept; RFC 5804 §1.2 wants at least 30 minutes."
    )
    public_url: str = Field(
        "", description="Origin that clients use, as https://mail.example.org; the Host when unset."
    )
    proxies: str = Field("", description="Networks (comma separated) whose X-Forwarded-For and -Proto are believed.")

    http_connections: int = Field(6000, description="Connections a door, those of push streams with them; beyond, 503.")
    http_connections_client: int = Field(
        500,
        ge=1,
        description="Connections of one client (IPv6: of one /64), all doors together; beyond, 429 (RFC 6585 §4). A browser has six; a "
        "school is one address.",
    )
    http_exempt: str = Field(
        "127.0.0.0/8,::1", description="Networks (comma separated) free of that limit; those of `proxies` are too."
    )
    http_header_octets: int = Field(32768, description="Octets of a request's head; beyond, 431 (RFC 6585 §5).")
    http_header_fields: int = Field(100, description="Fields of a request's head; beyond, 431.")
    http_head_seconds: float = Field(15.0, description="Time for a request's head, so that slow senders hold no place.")
    http_body_seconds: float = Field(60.0, description="Time for a request's whole body; beyond, 408.")
    http_stall_seconds: float = Field(60.0, description="A reader that takes no octet for so long is cut off.")
    http_idle_seconds: int = Field(75, description="Time that an idle connection is kept.")
    http_octets_in_flight: int = Field(
        256 << 20,
        description="Octets of request bodies, of answers until they are read, and of blobs being shaped that the process holds; beyond, 503.",
    )
    http_octets_account: int = Field(
        128 << 20, description="Most of these for one account: the largest answer, and a request beside it."
    )

    # RFC 8620 §2: the suggested minimum of each limit, or more where it costs nothing.
    jmap_max_size_request: int = Field(10_000_000, description="maxSizeRequest, octets.")
    jmap_max_calls_in_request: int = Field(32, description="maxCallsInRequest.")
    jmap_max_objects_in_get: int = Field(500, le=1000, description="maxObjectsInGet; store gives at most 1,000.")
    jmap_max_objects_in_set: int = Field(500, le=1000, description="maxObjectsInSet; store takes at most 1,000.")
    jmap_max_concurrent_requests: int = Field(8, description="maxConcurrentRequests an account and process.")
    jmap_turns: int = Field(
        48, ge=1, description="Requests worked on at once a process; accounts get their turns one after the other."
    )
    jmap_turns_account: int = Field(
        4, ge=1, description="The same of an account: what it sends beyond waits behind its own, not before others'."
    )
    jmap_rate: float = Field(
        200.0,
        ge=0,
        description="Method calls (and 64 KiB of answers) a second that an account may keep up; 0 is no limit.",
    )
    jmap_burst: float = Field(
        2000.0, ge=1, description="Calls that it may make at once before: a client that synchronises anew."
    )
    jmap_patience: float = Field(
        1.0, ge=0, description="Who is faster is answered later, up to so many seconds; beyond, 429 with Retry-After."
    )
    principal_lookups: int = Field(
        30, ge=1, description="Addresses that an account may look people up by a minute, and process."
    )
    jmap_max_concurrent_downloads: int = Field(8, description="Downloads at once an account and process; then 429.")
    jmap_max_size_upload: int = Field(50_000_000, description="maxSizeUpload, octets; store takes at most 64 MiB.")
    jmap_max_concurrent_uploads: int = Field(4, description="maxConcurrentUpload, an account and process; then 429.")
    jmap_upload_seconds: float = Field(
        900.0,
        description="Time for a whole upload: the largest one at 56 kB/s. A stall of `http_stall_seconds` ends it sooner.",
    )
    jmap_max_query: int = Field(1000, le=1000, description="Most ids that one Email/query gives; store's own limit.")
    jmap_max_blob_octets: int = Field(
        48 << 20, description="Octets of blobs that one request may read for headers, body values and drafts."
    )
    jmap_max_response_octets: int = Field(
        64 << 20,
        ge=1 << 16,
        description="Octets of a request's answer: a call whose response has no room gets an error.",
    )
    jmap_max_submission_octets: int = Field(
        50 << 20, description="Largest message that is sent (RFC 8621 §7.5); what ingest takes by SMTP."
    )
    jmap_max_draft_octets: int = Field(25_000_000, description="maxSizeAttachmentsPerEmail, before encoding.")

    rendering_workers: int = Field(2, ge=1, description="Processes that render messages at once; some 30 MiB each.")
    rendering_at_once: int = Field(3, description="Renderings of an account at once; beyond, 429.")
    rendering_cpu_seconds: int = Field(
        5, description="Processor time for one message; the largest newsletters take a second."
    )
    rendering_memory_octets: int = Field(512 << 20, description="Address space of the process that renders a message.")
    image_seconds: int = Field(3600, ge=60, description="Signed addresses of images hold for one to two times as long.")
    image_max_octets: int = Field(10 << 20, description="Octets of an image from elsewhere.")
    image_fetch_seconds: float = Field(20.0, description="Time for an image from elsewhere, to its last octet.")
    image_at_once: int = Field(8, description="Images from elsewhere of an account at once; beyond, 429.")
    image_rate: float = Field(5.0, description="Images from elsewhere a second of an account, in the long run.")
    image_burst: int = Field(300, description="The same at once: a few newsletters, the largest have a hundred each.")

    push_streams: int = Field(4000, description="Event streams and WebSockets at once a process; beyond, 503.")
    push_streams_account: int = Field(
        32, description="The same of an account: a person's devices and their open pages; beyond, 429."
    )
    push_recheck_seconds: float = Field(
        3600.0, description="How long a stream's credential holds without another look; what changes is told at once."
    )

    vapid_key: Path | None = Field(
        None,
        description="Private key (PEM, P-256) by which push services know us (RFC 8292), the same in all processes; with another one "
        "clients must subscribe anew. Without it, pushes are posted by nobody in particular, which most browsers' services refuse.",
    )
    push_contact: str = Field("", description="`mailto:` or `https:` URI at which a push service finds the operator.")
    push_posts: int = Field(128, description="Posts to push services at once a process; 0: this one posts none.")
    push_posts_host: int = Field(64, description="The same to one host; what is more waits.")
    push_verifications_host: int = Field(4, description="The same of first posts, which anybody can make us do.")
    push_post_seconds: float = Field(10.0, description="Time for one post.")
    push_fold_seconds: float = Field(2.0, description="Changes of an account are posted at least this far apart.")

    credential_seconds: float = Field(300.0, description="How long a right credential is remembered, with the bus up.")
    credential_seconds_without_bus: float = Field(60.0, description="The same while no event can say that it changed.")
    rpc_seconds: float = Field(15.0, description="Deadline of a call to another service.")

    ready_services: str = Field(
        "", description="What /readyz asks: `name=http://host:port`, comma separated; the embedded stack's when unset."
    )
    ready_backends: str = Field(
        "", description="Backends that /readyz greets: `postgresql|nats|redis|s3=address`, comma separated; embedded."
    )

    def port(self, default: int) -> int:
        """Return a door's port with the offset, 0 when it is closed."""
        return default + self.port_offset if default else 0

    def services_to_probe(self) -> dict[str, str]:
        """Name → origin of each service's health port."""
        if self.ready_services:
            return _pairs(self.ready_services)
        return {name: f"http://127.0.0.1:{port + self.port_offset}" for name, port in _HEALTH_PORTS.items()}

    def backends_to_probe(self) -> dict[str, str]:
        """Name → address of each backend: `unix:/path` or `host:port`."""
        if self.ready_backends:
            return _pairs(self.ready_backends)
        run = self.sockets().resolve()
        return {
            "postgresql": f"unix:{run / 'pg' / '.s.PGSQL.5432'}",
            "redis": f"unix:{run / 'redis.sock'}",
            "nats": f"127.0.0.1:{24222 + self.port_offset}",
            "s3": f"127.0.0.1:{28333 + self.port_offset}",
        }


def _pairs(text: str) -> dict[str, str]:
    pairs = (entry.partition("=") for entry in text.split(",") if entry.strip())
    return {name.strip(): address.strip() for name, _, address in pairs}
