"""S3: bodies in segments and in objects of their own. Blocking calls run in a bounded pool of threads.

Requests are presigned: the payload is then not hashed for the signature, and a body can be sent from a file. What is
stored is authenticated by its frames, and segments are read back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import UUID

import urllib3
from minio import Minio
from minio.error import S3Error
from prometheus_client import Counter, Histogram

from petitbleu_kit.logs import get_logger
from petitbleu_kit.telemetry import span

Result = TypeVar("Result")
_log = get_logger(__name__)
_seconds = Histogram(
    "petitbleu_store_s3_seconds",
    "Time of S3 requests",
    ["verb"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.3, 1, 3, 10, 30),
)
_failed = Counter("petitbleu_store_s3_failed_total", "S3 requests that failed after their retries", ["verb"])
_octets = Counter("petitbleu_store_s3_octets_total", "Octets sent to and received from S3", ["verb"])

_EXPIRES: Final = timedelta(minutes=10)
_OK: Final = 200
_PARTIAL: Final = 206
_NOT_FOUND: Final = 404
_PIECE: Final = 1 << 20


class ObjectsAwayError(OSError):
    """S3 does not answer or refuses; what was asked may be asked again later."""


class ObjectMissingError(Exception):
    """S3 answers that there is no such object, or not that many octets of it."""


def blob_name(blob_id: UUID) -> str:
    """Name of the object that holds one body alone."""
    return f"blob/{blob_id.hex[-3:]}/{blob_id.hex}"


def segment_name(segment_id: UUID) -> str:
    """Name of the object that is a segment."""
    return f"segment/{segment_id.hex[-3:]}/{segment_id.hex}"


class Objects:
    """The bucket.

    Args:
        endpoint: `host:port`.
        access_key: Access key.
        secret_key: Secret key.
        bucket: Name of the bucket.
        secure: TLS.
        region: Region that requests are signed for; set, it saves a request.
        threads: Requests at once.
    """

    def __init__(
        self, endpoint: str, access_key: str, secret_key: str, bucket: str, *, secure: bool, region: str, threads: int
    ) -> None:
        self._bucket = bucket
        self._http = urllib3.PoolManager(
            num_pools=2, maxsize=threads, block=True, timeout=urllib3.Timeout(connect=3, read=30),
            retries=urllib3.Retry(total=2, backoff_factor=0.2, status_forcelist=(500, 502, 503, 504), allowed_methods=None,
                                  raise_on_status=False),
        )  # fmt: skip
        self._client = Minio(
            endpoint, access_key=access_key, secret_key=secret_key, secure=secure, region=region, http_client=self._http
        )
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="s3")

    async def _run(self, verb: str, work: Callable[[], Result]) -> Result:
        def timed() -> Result:
            with span(f"s3.{verb}"), _seconds.labels(verb=verb).time():
                return work()

        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, timed)
        except S3Error as error:
            _failed.labels(verb=verb).inc()
            if error.code in {"NoSuchKey", "NoSuchObject"}:
                raise ObjectMissingError(verb) from None
            raise ObjectsAwayError(f"S3 {verb}: {error.code}") from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            _failed.labels(verb=verb).inc()
            raise ObjectsAwayError(f"S3 {verb}: {type(error).__name__}") from None

    def _url(self, method: str, name: str) -> str:
        return self._client.get_presigned_url(method, self._bucket, name, expires=_EXPIRES)

    def _send(self, name: str, body: bytes | bytearray | Iterator[bytes], octets: int) -> None:
        headers = {"Content-Length": str(octets), "Content-Type": "application/octet-stream"}
        # A generator cannot be sent again, so a request with one is tried once.
        retries = None if isinstance(body, (bytes, bytearray)) else False
        # A bytearray is sent without a copy; the library's types do not say so.
        payload: Any = body
        answer = self._http.request("PUT", self._url("PUT", name), body=payload, headers=headers, retries=retries)
        if answer.status != _OK:
            raise ObjectsAwayError(f"S3 put: status {answer.status}")
        _octets.labels(verb="put").inc(octets)

    async def put(self, name: str, body: bytes | bytearray) -> None:
        """Store an object that is in memory; it is on stable storage when this returns.

        Raises:
            ObjectsAwayError: it may or may not be there.
        """
        await self._run("put", lambda: self._send(name, body, len(body)))

    async def put_file(self, name: str, path: Path) -> None:
        """Store a file; it is on stable storage when this returns."""

        def work() -> None:
            with path.open("rb") as file:
                octets = path.stat().st_size
                self._send(name, iter(lambda: file.read(_PIECE), b""), octets)

        await self._run("put", work)

    async def get(self, name: str, offset: int, octets: int) -> bytes:
        """Return a range of an object.

        Raises:
            ObjectMissingError: no such object, or fewer octets.
            ObjectsAwayError: S3 does not answer.
        """

        def work() -> bytes:
            headers = {"Range": f"bytes={offset}-{offset + octets - 1}"}
            answer = self._http.request("GET", self._url("GET", name), headers=headers)
            if answer.status in {_NOT_FOUND, 416}:
                raise ObjectMissingError("get")
            if answer.status not in {_OK, _PARTIAL}:
                raise ObjectsAwayError(f"S3 get: status {answer.status}")
            data = answer.data if answer.status == _PARTIAL else answer.data[offset : offset + octets]
            if len(data) != octets:
                raise ObjectMissingError("get")
            _octets.labels(verb="get").inc(octets)
            return data

        return await self._run("get", work)

    async def same(self, name: str, body: bytes | bytearray) -> bool:
        """Whether the object holds exactly these octets; reads it back."""

        def work() -> bool:
            answer = self._http.request("GET", self._url("GET", name), preload_content=False)
            try:
                if answer.status != _OK:
                    return False
                view = memoryview(body)
                position = 0
                for piece in answer.stream(_PIECE):
                    if view[position : position + len(piece)] != piece:
                        return False
                    position += len(piece)
                _octets.labels(verb="get").inc(position)
                return position == len(body)
            finally:
                answer.release_conn()

        return await self._run("same", work)

    async def size(self, name: str) -> int | None:
        """Octets of an object, None when there is none."""
        try:
            found = await self._run("stat", lambda: self._client.stat_object(self._bucket, name))
        except ObjectMissingError:
            return None
        return found.size or 0

    async def delete(self, name: str) -> None:
        """Delete an object; one that is not there is deleted already."""
        await self._run("delete", lambda: self._client.remove_object(self._bucket, name))

    async def names(self, prefix: str) -> list[str]:
        """Names of all objects under a prefix, for tests and verification."""
        return await self._run(
            "list",
            lambda: [
                found.object_name or "" for found in self._client.list_objects(self._bucket, prefix, recursive=True)
            ],
        )

    async def ensure_bucket(self) -> None:
        """Make the bucket when it is missing."""

        def work() -> None:
            if not self._client.bucket_exists(self._bucket):
                self._client.make_bucket(self._bucket)

        await self._run("bucket", work)

    async def answers(self) -> bool:
        """Whether S3 answers, for readiness."""
        return await self._run("bucket", lambda: self._client.bucket_exists(self._bucket))

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._http.clear()
