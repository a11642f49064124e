"""A name server for tests, on the loopback by UDP and TCP: names from a table, and some that never answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import cast

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

SILENT = "SILENT"
SERVFAIL = "SERVFAIL"


class NameServer(asyncio.DatagramProtocol):
    """Answers from `names`: lower-case names without final dot, and their records as zone-file text (`TXT "x"`), or what goes wrong.

    `asked` lists name and type of each question that came by UDP.
    """

    def __init__(self, names: Mapping[str, Sequence[str]], ttl: int = 300) -> None:
        self.names = names
        self.ttl = ttl
        self.asked: list[tuple[str, str]] = []
        self.by_tcp = 0
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        self.asked.append((question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype)))
        answer = self.answer(query)
        if answer is not None and self.transport is not None:
            with contextlib.suppress(dns.exception.TooBig):
                self.transport.sendto(answer.to_wire(max_size=1232), addr)
                return
            cut = dns.message.make_response(query)
            cut.flags |= dns.flags.TC
            self.transport.sendto(cut.to_wire(), addr)

    def answer(self, query: dns.message.Message) -> dns.message.Message | None:
        question = query.question[0]
        records = self.names.get(question.name.to_text(omit_final_dot=True).lower())
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if records is None:
            response.set_rcode(dns.rcode.NXDOMAIN)
        elif SILENT in records:
            return None
        elif SERVFAIL in records:
            response.set_rcode(dns.rcode.SERVFAIL)
        else:
            self._fill(response, question.name, question.rdtype, records)
        return response

    def _fill(
        self, response: dns.message.Message, name: dns.name.Name, kind: dns.rdatatype.RdataType, records: Sequence[str]
    ) -> None:
        wanted = dns.rdatatype.to_text(kind)
        data = [text.partition(" ")[2] for text in records if text.partition(" ")[0] == wanted]
        aliases = [text.partition(" ")[2] for text in records if text.startswith("CNAME ")]
        if data:
            response.answer.append(dns.rrset.from_text_list(name, self.ttl, "IN", kind, data))
        elif aliases:
            response.answer.append(dns.rrset.from_text(name, self.ttl, "IN", "CNAME", aliases[0]))
            target = dns.name.from_text(aliases[0])
            behind = self.names.get(target.to_text(omit_final_dot=True).lower())
            if behind is not None and len(response.answer) < 20:
                self._fill(response, target, kind, behind)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.by_tcp += 1
        query = dns.message.from_wire(await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big")))
        answer = self.answer(query)
        if answer is not None:
            wire = answer.to_wire(max_size=65_535)
            writer.write(len(wire).to_bytes(2, "big") + wire)
            await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def name_server(
    names: Mapping[str, Sequence[str]], ttl: int = 300
) -> AsyncIterator[tuple[NameServer, tuple[str, int]]]:
    """Run one; gives it and its address."""
    served = NameServer(names, ttl)
    streams = await asyncio.start_server(served.connected, "127.0.0.1", 0)
    port = streams.sockets[0].getsockname()[1]
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: served, ("127.0.0.1", port))
    try:
        yield served, ("127.0.0.1", port)
    finally:
        transport.close()
        streams.close()
        await streams.wait_closed()
