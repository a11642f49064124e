"""What the use cases ask of other services, so that unit tests need no sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from petitbleu.accounts.v1 import accounts_pb2, people_pb2
from petitbleu.delivery.v1 import scripts_pb2
from petitbleu.store.v1 import mailbox_pb2 as pb
from petitbleu.store.v1 import removed_pb2, sharing_pb2, uploads_pb2

_PERSON: Final = accounts_pb2.ROLE_PERSON
_CHILD: Final = accounts_pb2.ROLE_CHILD


@dataclass(frozen=True, slots=True)
class Identity:
    """A person who has shown a right credential.

    `principal` is the signed token for other services; it ends at `expires_at` (Unix seconds). `account_id` is the account that is
    worked on: the person's own, or one of which others share something; then `own_account_id` is the person's.
    """

    account_id: int
    tenant_id: int
    address: str
    name: str
    roles: tuple[int, ...]
    session_id: int
    principal: str
    expires_at: int
    own_account_id: int = 0

    @property
    def person_id(self) -> int:
        """The person's own account."""
        return self.own_account_id or self.account_id

    @property
    def is_adult(self) -> bool:
        """Whether accounts says that it is an adult's account, and not a child's."""
        return _PERSON in self.roles and not self.is_child

    @property
    def is_child(self) -> bool:
        """Whether accounts says that it is a child's account."""
        return _CHILD in self.roles


@dataclass(frozen=True, slots=True)
class Credential:
    """What a client shows: a login and its password, or a bearer token (then `login` is empty)."""

    login: str
    secret: str

    @property
    def bearer(self) -> bool:
        """Whether it is a bearer token."""
        return not self.login


@dataclass(frozen=True, slots=True)
class Proven:
    """Who proved an app password (RFC 5802), and what shows it again: as good as the password, kept in memory only."""

    identity: Identity
    standing: bytes = field(repr=False)
    renewal: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Profile:
    """What accounts tells of another account."""

    account_id: int
    tenant_id: int
    address: str
    name: str
    active: bool
    guarded: bool


class RefusedError(Exception):
    """The credential is wrong; nothing says in what way."""


class LimitedError(Exception):
    """Too many tries: come again later."""


class AwayError(Exception):
    """The service that must answer does not."""


@dataclass(frozen=True, slots=True)
class NewSession:
    """A bearer session just made; `expires_at` in Unix seconds."""

    token: str
    session_id: int
    expires_at: int


class Accounts(Protocol):
    """Who somebody is. Raises RefusedError, LimitedError or AwayError."""

    async def authenticate(self, credential: Credential, client_ip: str) -> Identity:
        """Check a credential."""

    async def create_session(self, principal: str, label: str, client_ip: str, device: bytes = b"") -> NewSession:
        """Make a bearer session for a person, on a device that is known by 16 octets, or by nothing."""

    async def revoke_session(self, principal: str, session_id: int) -> None:
        """End a bearer session of a person."""


class SignUp(Protocol):
    """Who opens accounts for people. Raises RefusedError, LimitedError or AwayError."""

    async def how(self) -> people_pb2.GetSignUpResponse:
        """Say where accounts may be opened."""

    async def check_name(self, request: people_pb2.CheckNameRequest) -> people_pb2.CheckNameResponse:
        """Say whether an address may be had."""

    async def challenge(self, client_ip: str) -> people_pb2.CreateChallengeResponse:
        """Give work to do."""

    async def sign_up(self, request: people_pb2.SignUpRequest) -> people_pb2.SignUpResponse:
        """Open an account."""

    async def recover(self, request: people_pb2.RecoverRequest) -> people_pb2.RecoverResponse:
        """Set a password by the recovery code."""

    async def open_child(self, principal: str, request: people_pb2.OpenChildRequest) -> people_pb2.OpenChildResponse:
        """Open the account of a person's child."""


class Proofs(Protocol):
    """Who somebody is by SCRAM. Raises RefusedError, LimitedError or AwayError."""

    async def scram_salt(self, login: str, client: str) -> tuple[bytes, int]:
        """Give what an exchange begins with."""

    async def by_proof(self, login: str, message: bytes, proof: bytes, client: str) -> tuple[Proven, bytes]:
        """Check a proof; the server's signature comes with it."""

    async def renewed(self, proven: Proven) -> Identity:
        """Give somebody a new principal whose app password still is one."""


class People(Protocol):
    """What accounts keeps of one person, on that person's behalf. Raises grpc.aio.AioRpcError as accounts answered."""

    async def identities(self, who: Identity) -> accounts_pb2.ListIdentitiesResponse:
        """Give all identities (RFC 8621 §6)."""

    async def identity_changes(
        self, who: Identity, request: accounts_pb2.GetIdentityChangesRequest
    ) -> accounts_pb2.GetIdentityChangesResponse:
        """Give what changed of them."""

    async def update_identities(
        self, who: Identity, request: accounts_pb2.UpdateIdentitiesRequest
    ) -> accounts_pb2.UpdateIdentitiesResponse:
        """Change them in one commit."""


class RemovedMail(Protocol):
    """What one person deleted, on that person's behalf. Raises grpc.aio.AioRpcError as store answered."""

    async def query(self, who: Identity, request: removed_pb2.QueryRemovedRequest) -> removed_pb2.QueryRemovedResponse:
        """Find deleted messages."""

    async def messages(self, who: Identity, message_ids: Sequence[int]) -> removed_pb2.GetRemovedResponse:
        """Give at most 1,000 deleted messages."""

    async def mailboxes(self, who: Identity) -> removed_pb2.ListRemovedMailboxesResponse:
        """Give all deleted mailboxes."""

    async def restore(
        self, who: Identity, request: removed_pb2.RestoreMessagesRequest
    ) -> removed_pb2.RestoreMessagesResponse:
        """Bring messages back in one commit."""

    async def restore_mailboxes(
        self, who: Identity, request: removed_pb2.RestoreMailboxesRequest
    ) -> removed_pb2.RestoreMailboxesResponse:
        """Bring mailboxes and what was in them back in one commit."""

    async def purge(self, who: Identity, request: removed_pb2.PurgeRemovedRequest) -> removed_pb2.PurgeRemovedResponse:
        """Delete for ever."""


class Directory(Protocol):
    """Who others are. Raises AwayError."""

    async def profiles(self, account_ids: Sequence[int]) -> Sequence[Profile]:
        """Give what is known of at most 1,000 accounts; those that do not exist are left out."""

    async def reached(self, address: str) -> Sequence[int]:
        """Give the accounts that an address reaches."""


class Sharing(Protocol):
    """What others share with a person. Raises grpc.aio.AioRpcError as store answered."""

    async def received(self, who: Identity) -> Sequence[sharing_pb2.ReceivedShare]:
        """Give the accounts that share something."""

    async def notifications(self, who: Identity) -> sharing_pb2.ListNotificationsResponse:
        """Give the notifications that are not dismissed, oldest first."""

    async def dismiss(
        self, who: Identity, notification_ids: Sequence[int], if_modseq: int
    ) -> sharing_pb2.DismissNotificationsResponse:
        """Destroy notifications."""


class Scripts(Protocol):
    """One person's rules, on that person's behalf. Raises grpc.aio.AioRpcError as delivery answered."""

    most_octets: int
    """Octets that a script may have."""

    async def scripts(self, who: Identity) -> scripts_pb2.ListScriptsResponse:
        """Give all scripts."""

    async def content(self, who: Identity, content_id: int) -> bytes | None:
        """Give a content, None when no script has it."""

    async def update(
        self, who: Identity, request: scripts_pb2.UpdateScriptsRequest
    ) -> scripts_pb2.UpdateScriptsResponse:
        """Change scripts in one commit."""

    async def check(self, who: Identity, content: bytes) -> scripts_pb2.CheckScriptResponse:
        """Say what is wrong with a script."""

    async def vacation(self, who: Identity) -> scripts_pb2.GetVacationResponse:
        """Give the answer while the person is away."""

    async def set_vacation(
        self, who: Identity, request: scripts_pb2.SetVacationRequest
    ) -> scripts_pb2.SetVacationResponse:
        """Replace it."""


class MailStore(Protocol):
    """One person's mail, on that person's behalf. Raises grpc.aio.AioRpcError as store answered."""

    @property
    def scripts(self) -> Scripts:
        """That person's rules, which delivery keeps."""

    @property
    def removed(self) -> RemovedMail:
        """What that person deleted."""

    async def state(self, who: Identity) -> pb.GetStateResponse:
        """Give the account's modseq and quota."""

    async def mailboxes(self, who: Identity) -> pb.ListMailboxesResponse:
        """Give all mailboxes."""

    async def query(self, who: Identity, request: pb.QueryMessagesRequest) -> pb.QueryMessagesResponse:
        """Find messages."""

    async def query_changes(
        self, who: Identity, request: pb.QueryMessageChangesRequest
    ) -> pb.QueryMessageChangesResponse:
        """Tell what became of a query's list."""

    async def snippets(self, who: Identity, request: pb.GetSnippetsRequest) -> pb.GetSnippetsResponse:
        """Show what a filter finds in at most 500 messages."""

    async def messages(
        self, who: Identity, message_ids: Sequence[int], *, without_meta: bool = False
    ) -> pb.GetMessagesResponse:
        """Give rows of at most 1,000 messages."""

    async def threads(self, who: Identity, thread_ids: Sequence[int]) -> pb.GetThreadsResponse:
        """Give threads."""

    async def changes(self, who: Identity, request: pb.GetChangesRequest) -> pb.GetChangesResponse:
        """Give what changed."""

    async def update(self, who: Identity, request: pb.UpdateMessagesRequest) -> pb.UpdateMessagesResponse:
        """Change messages in one commit."""

    async def update_mailboxes(self, who: Identity, request: pb.UpdateMailboxesRequest) -> pb.UpdateMailboxesResponse:
        """Change mailboxes in one commit."""

    async def import_message(self, who: Identity, request: pb.ImportMessageRequest) -> pb.ImportMessageResponse:
        """Store a message that the person made."""

    async def upload(self, who: Identity, pieces: AsyncIterator[bytes]) -> uploads_pb2.StoredUpload:
        """Keep an upload; nothing is kept when the pieces end with an error."""

    async def uploads(self, who: Identity, upload_ids: Sequence[int]) -> Sequence[uploads_pb2.StoredUpload]:
        """Give those of at most 1,000 uploads that are there."""

    def read_upload(self, who: Identity, upload_id: int, offset: int, length: int) -> AsyncIterator[bytes]:
        """Stream octets of an upload; `length` 0 means to its end."""

    def read(self, who: Identity, message_id: int, offset: int, length: int) -> AsyncIterator[bytes]:
        """Stream octets of a message as served; `length` 0 means to its end."""


class Policies(Protocol):
    """What hosted domains have us say to the world."""

    async def sts_policy(self, domain: str) -> str | None:
        """Give the text of a domain's MTA-STS policy (lower case, A-labels), None when there is none.

        Raises:
            AwayError: nobody answers.
        """
        ...
