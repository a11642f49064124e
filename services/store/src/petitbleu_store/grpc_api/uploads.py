"""UploadService: translation only. Every call is a person's, for their own account."""

from __future__ import annotations

from collections.abc import AsyncIterator

from petitbleu.store.v1 import uploads_pb2 as pb
from petitbleu.store.v1 import uploads_pb2_grpc
from petitbleu_store.errors import Problem, StoreError
from petitbleu_store.grpc_api.answers import Context, answered, streamed
from petitbleu_store.grpc_api.reads import Reads
from petitbleu_store.service.uploads import Upload, Uploads


class UploadServicer(uploads_pb2_grpc.UploadServiceServicer):
    """One account's uploads."""

    def __init__(self, reads: Reads, uploads: Uploads) -> None:
        self._account = reads.account
        self._uploads = uploads

    @answered
    async def Upload(self, request: AsyncIterator[pb.UploadRequest], _context: Context) -> pb.UploadResponse:
        """Keep an upload."""
        first = await anext(aiter(request), None)
        if first is None or first.WhichOneof("part") != "header":
            raise StoreError(Problem.INVALID, "no header")
        account = await self._account(first.header.account_id)
        return pb.UploadResponse(upload=_stored(await self._uploads.add(account, _pieces(request))))

    @answered
    async def GetUploads(self, request: pb.GetUploadsRequest, _context: Context) -> pb.GetUploadsResponse:
        """Say which are there."""
        account = await self._account(request.account_id)
        found = await self._uploads.find(account, request.upload_ids)
        return pb.GetUploadsResponse(uploads=[_stored(one) for one in found])

    @streamed
    async def ReadUpload(
        self, request: pb.ReadUploadRequest, _context: Context
    ) -> AsyncIterator[pb.ReadUploadResponse]:
        """Stream a range."""
        account = await self._account(request.account_id)
        async for piece in self._uploads.read(account, request.upload_id, request.offset, request.length):
            yield pb.ReadUploadResponse(data=piece)


def _stored(upload: Upload) -> pb.StoredUpload:
    return pb.StoredUpload(upload_id=upload.upload_id, size=upload.size)


async def _pieces(request: AsyncIterator[pb.UploadRequest]) -> AsyncIterator[bytes]:
    """Give the octets; raise when they do not end, so that nothing is kept of what was cut off."""
    octets = 0
    ended = False
    async for part in request:
        match part.WhichOneof("part"):
            case "data" if not ended:
                octets += len(part.data)
                yield part.data
            case "end" if not ended:
                ended = True
                if part.end.octets != octets:
                    raise StoreError(Problem.INVALID, "octets do not add up")
            case _:
                raise StoreError(Problem.INVALID, "parts out of order")
    if not ended:
        raise StoreError(Problem.INVALID, "the upload does not end")
