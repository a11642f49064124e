"""Members of a child's groups, whoever made the group: all under the lock of the child's row."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from petitbleu_junior_guard.adapters import voices
from petitbleu_junior_guard.adapters.connection import Connection
from petitbleu_junior_guard.ports import Correspondent
from petitbleu_kit.ids import partition_of_account

_CLEAR: Final = """/* cold:junior-guard.members_gone */
DELETE FROM circle_member WHERE partition = $1 AND account_id = $2 AND circle_id = $3 RETURNING address_hash"""

_FILL: Final = """/* cold:junior-guard.members_new */
INSERT INTO circle_member (partition, account_id, circle_id, address_hash, is_teacher)
SELECT $1, $2, $3, hash, teacher FROM unnest($4::bytea[], $5::boolean[]) AS i (hash, teacher)"""


async def replace(
    connection: Connection, account_id: int, circle_id: int, members: Sequence[Correspondent],
    teachers: Collection[bytes] = (),
) -> set[bytes]:  # fmt: skip
    """Give a group these members in place of those before, and let each of either stand as it now does; the hashes of those before.

    Args:
        connection: In a transaction.
        account_id: The child.
        circle_id: The group.
        members: Who is in it now, nobody twice.
        teachers: Hashes of those who teach in it.
    """
    partition = partition_of_account(account_id)
    gone = {row["address_hash"] for row in await connection.fetch(_CLEAR, partition, account_id, circle_id)}
    hashes = [one.address_hash for one in members]
    if members:
        await voices.know(connection, account_id, members)
        taught = [one in teachers for one in hashes]
        await connection.execute(_FILL, partition, account_id, circle_id, hashes, taught)
    await voices.stand(connection, account_id, {*gone, *hashes})
    return gone
