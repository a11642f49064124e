"""Passwords, app passwords and sessions over gRPC against a real PostgreSQL."""

import dataclasses
import time
from typing import Any

import grpc
import grpc.aio
import pytest
from libs.petitbleu_mail.tests.scram_client import ScramClient

from petitbleu.accounts.v1 import accounts_pb2, accounts_pb2_grpc
from petitbleu_kit.identity import Principal
from petitbleu_mail import scram

GOOD = "correct horse battery"


async def refused(awaitable: Any, code: grpc.StatusCode = grpc.StatusCode.UNAUTHENTICATED) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await awaitable
    assert error.value.code() == code
    return str(error.value.details())


async def session_call(world: Any, method: str, principal: str, **fields: Any) -> Any:
    peer = world.peer("gateway")
    stub = accounts_pb2_grpc.AuthenticationServiceStub(peer.channel)
    request = getattr(accounts_pb2, f"{method}Request")(**fields)
    return await peer.call(getattr(stub, method), request, timeout=5, principal=principal)


async def test_a_right_password_gives_a_principal_that_services_verify(world: Any) -> None:
    made = (await world.create(address="alice@one.test", password=GOOD, roles=[accounts_pb2.ROLE_TENANT_ADMIN])).account
    who = await world.authenticate(login="ALICE@one.test", password=GOOD, protocol="jmap", client_ip="192.0.2.1")
    assert who.account.address == "alice@one.test"
    assert 0 < who.expires_at - time.time() <= 300
    expected = Principal(made.account_id, made.tenant_id, ("person", "tenant-admin"), 0, guarded=False)
    found = world.principals.principal(who.principal)
    assert dataclasses.replace(found, cooling_until=0) == expected
    assert found.cooling_until > time.time()  # a password alone may be a thief's


async def test_every_wrong_credential_gets_the_same_answer(world: Any) -> None:
    await world.create(address="alice@one.test", password=GOOD)
    await world.create(address="off@one.test", password=GOOD)
    await world.create(address="nopassword@one.test")
    await world.admin("PutAlias", address="alias@one.test", members=["alice@one.test"])
    await world.admin("SetAccountState", address="off@one.test", state=accounts_pb2.ACCOUNT_STATE_DISABLED)
    answers = set()
    for login, password in (
        ("alice@one.test", "wrong password"),
        ("nobody@one.test", GOOD),
        ("off@one.test", GOOD),
        ("nopassword@one.test", ""),
        ("nopassword@one.test", GOOD),
        ("alias@one.test", GOOD),
        ("alice+x@one.test", GOOD),
        ("alice", GOOD),
        ("", ""),
        ("alice@one.test", "x" * 5000),
    ):
        answers.add(await refused(world.authenticate(login=login, password=password, protocol="jmap")))
    answers.add(await refused(world.authenticate(bearer="pb_wrong")))
    answers.add(await refused(world.authenticate(protocol="jmap")))
    assert answers == {"wrong credential"}


async def test_an_unknown_login_costs_a_hash_too(idle_world: Any) -> None:
    async with idle_world.running(argon2_memory_kib=32768, argon2_passes=3, login_failures_per_account=1000):
        await idle_world.admin("CreateTenant", name="one")
        await idle_world.admin("CreateDomain", tenant="one", name="one.test")
        await idle_world.create(address="alice@one.test", password=GOOD)
        times: dict[str, list[float]] = {"alice@one.test": [], "nobody@one.test": []}
        for n in range(9):
            for login, seen in times.items():
                # processor time of this process, the service's hashing thread included: whoever else is busy does not matter
                start = time.process_time()
                await refused(idle_world.authenticate(login=login, password=f"wrong {n}"))
                seen.append(time.process_time() - start)
        middle = {login: sorted(seen)[len(seen) // 2] for login, seen in times.items()}
        ratio = middle["nobody@one.test"] / middle["alice@one.test"]
        print(f"unknown against wrong: {ratio:.2f}")
        assert 0.6 < ratio < 1.6


async def test_a_success_is_remembered_and_forgotten_with_a_change(world: Any) -> None:
    await world.create(address="alice@one.test", password=GOOD)
    await world.authenticate(login="alice@one.test", password=GOOD)
    await world.sql("UPDATE person SET password_hash = NULL")  # behind the service's back: the memory answers
    assert (await world.authenticate(login="alice@one.test", password=GOOD)).principal
    await refused(world.authenticate(login="alice@one.test", password=GOOD, protocol="imap"))
    await world.admin("SetPassword", address="alice@one.test", password="a new password")
    await refused(world.authenticate(login="alice@one.test", password=GOOD))
    assert (await world.authenticate(login="alice@one.test", password="a new password")).principal


async def test_another_replica_forgets_by_the_event(world: Any) -> None:
    await world.create(address="alice@one.test", password=GOOD)
    socket = f"unix:{world.settings.data}/second.sock"
    async with world.running(listen=socket):
        assert (await world.authenticate(target=socket, login="alice@one.test", password=GOOD)).principal
        await world.admin("SetAccountState", address="alice@one.test", state=accounts_pb2.ACCOUNT_STATE_DISABLED)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            try:
                await world.authenticate(target=socket, login="alice@one.test", password=GOOD)
            except grpc.aio.AioRpcError:
                break
        else:
            pytest.fail("the second replica still lets in")


async def test_app_passwords_open_their_protocols_only(world: Any) -> None:
    await world.create(address="alice@one.test", password=GOOD)
    await world.create(address="bob@one.test", password=GOOD)
    made = await world.admin(
        "CreateAppPassword", address="alice@one.test", label="telephone", protocols=["imap", "smtp"]
    )
    assert len(made.password.replace("-", "")) == 26
    for form in (made.password, made.password.upper().replace("-", " ")):
        assert (await world.authenticate(login="alice@one.test", password=form, protocol="imap")).principal
    await refused(world.authenticate(login="alice@one.test", password=made.password, protocol="jmap"))
    await refused(world.authenticate(login="bob@one.test", password=made.password, protocol="imap"))
    (row,) = await world.sql("SELECT digest, last_used_at FROM app_password")
    assert row["last_used_at"] is not None
    assert made.password.encode() not in row["digest"]
    with pytest.raises(grpc.aio.AioRpcError, match="protocol"):
        await world.admin("CreateAppPassword", address="alice@one.test", label="x", protocols=["telnet"])


async def test_sessions_open_slide_end_and_belong_to_one_account(world: Any) -> None:
    for name in ("alice@one.test", "bob@two.test"):
        await world.create(address=name, password=GOOD)
    alice = (await world.authenticate(login="alice@one.test", password=GOOD)).principal
    bob = (await world.authenticate(login="bob@two.test", password=GOOD)).principal
    made = await session_call(world, "CreateSession", alice, label="browser", client_ip="192.0.2.7")
    who = await world.authenticate(bearer=made.token)
    assert (who.account.address, who.session_id) == ("alice@one.test", made.session_id)
    assert world.principals.principal(who.principal).session_id == made.session_id
    assert not await world.sql("SELECT 1 FROM session WHERE position($1::bytea IN digest) > 0", made.token.encode()[:8])
    # another tenant's person cannot end it, and nobody without a principal can open one
    await refused(session_call(world, "RevokeSession", bob, session_id=made.session_id), grpc.StatusCode.NOT_FOUND)
    await refused(session_call(world, "CreateSession", "", label="x"))
    await refused(session_call(world, "CreateSession", who.principal, label="x"), grpc.StatusCode.FAILED_PRECONDITION)
    await session_call(world, "RevokeSession", who.principal, session_id=made.session_id)
    await refused(world.authenticate(bearer=made.token))


async def test_a_session_ends_by_idleness_by_age_and_with_the_password(world: Any) -> None:
    await world.create(address="alice@one.test", password=GOOD)
    alice = (await world.authenticate(login="alice@one.test", password=GOOD)).principal
    tokens = [(await session_call(world, "CreateSession", alice, label=str(n))).token for n in range(3)]
    await world.sql("UPDATE session SET idle_ends_at = now() - interval '1 second' WHERE label = '0'")
    await world.sql("UPDATE session SET ends_at = now() - interval '1 second' WHERE label = '1'")
    await world.sql("UPDATE session SET used_at = now() - interval '1 hour', idle_ends_at = now() + interval '1 minute'"
                    " WHERE label = '2'")  # fmt: skip
    for token in tokens[:2]:
        await refused(world.authenticate(bearer=token))
    assert (await world.authenticate(bearer=tokens[2])).session_id
    (slid,) = await world.sql("SELECT idle_ends_at > now() + interval '1 day' AS slid FROM session WHERE label = '2'")
    assert slid["slid"]
    await world.admin("SetPassword", address="alice@one.test", password="a new password")
    await refused(world.authenticate(bearer=tokens[2]))


async def test_guessing_is_limited_for_the_login_and_for_the_address(idle_world: Any) -> None:
    limited = grpc.StatusCode.RESOURCE_EXHAUSTED
    async with idle_world.running(
        login_failures_per_account=6, login_failures_per_ip=8, login_failures_per_pair=3, remember_success_seconds=0.0
    ):
        world = idle_world
        await world.admin("CreateTenant", name="one")
        await world.admin("CreateDomain", tenant="one", name="one.test")
        for name in ("alice", "bob"):
            await world.create(address=f"{name}@one.test", password=GOOD)

        async def guess(login: str, ip: str, code: grpc.StatusCode = grpc.StatusCode.UNAUTHENTICATED) -> None:
            await refused(world.authenticate(login=login, password="guess of it", client_ip=ip), code)

        for _ in range(20):  # right ones do not count
            await world.authenticate(login="alice@one.test", password=GOOD, client_ip="192.0.2.1")
        for _ in range(3):
            await guess("alice@one.test", "192.0.2.1")
        await guess("alice@one.test", "192.0.2.1", limited)
        await refused(world.authenticate(login="alice@one.test", password=GOOD, client_ip="192.0.2.1"), limited)
        await world.authenticate(login="alice@one.test", password=GOOD, client_ip="198.51.100.1")
        for n in range(8):
            await guess(f"somebody{n}@one.test", f"2001:db8::{n}")
        await guess("bob@one.test", "2001:db8::ffff", limited)
        await guess("bob@one.test", "2001:db8:0:1::1")


async def test_a_hash_of_other_parameters_is_made_anew(idle_world: Any) -> None:
    async with idle_world.running():
        await idle_world.admin("CreateTenant", name="one")
        await idle_world.admin("CreateDomain", tenant="one", name="one.test")
        await idle_world.create(address="alice@one.test", password=GOOD)
    async with idle_world.running(argon2_memory_kib=512):
        assert (await idle_world.authenticate(login="alice@one.test", password=GOOD)).principal
        (row,) = await idle_world.sql("SELECT password_hash FROM person")
        assert row["password_hash"].startswith("$argon2id$v=19$m=512,t=1,p=1$")


async def as_ingest(world: Any, method: str, request: Any) -> Any:
    peer = world.peer("ingest")
    return await peer.call(
        getattr(accounts_pb2_grpc.AuthenticationServiceStub(peer.channel), method), request, timeout=10
    )


async def prove(world: Any, login: str, password: str, protocol: str = "smtp", **more: Any) -> Any:
    """Log in by SCRAM; the answer, once the server has shown that it knows the password."""
    salt = await as_ingest(world, "GetScramSalt", accounts_pb2.GetScramSaltRequest(login=login))
    client = ScramClient(login, password)
    first = scram.client_first(client.first().encode())
    challenge = scram.server_first(first, "server", salt.salt, salt.iterations)
    final = scram.client_final(client.final(challenge).encode())
    credential = accounts_pb2.ScramCredential(
        login=login, auth_message=scram.signed_by_all(first, challenge, final), client_proof=final.proof
    )
    request = accounts_pb2.AuthenticateRequest(scram=credential, protocol=protocol, **more)
    answer = await as_ingest(world, "Authenticate", request)
    assert client.believes(scram.server_final(answer.server_signature))
    return answer


async def test_rfc7677_app_passwords_are_proved_and_main_passwords_are_not(world: Any) -> None:
    await world.create(address="alice@one.test", password=GOOD)
    await world.create(address="bob@one.test", password=GOOD)
    telephone, laptop = [
        (await world.admin("CreateAppPassword", address="alice@one.test", label=label, protocols=protocols)).password
        for label, protocols in (("telephone", ["smtp", "imap"]), ("laptop", []))
    ]
    for password in (telephone, laptop):
        answer = await prove(world, "Alice@one.test", password)
        assert answer.account.address == "alice@one.test"
        assert world.principals.principal(answer.principal).credential_id
    for login, password, protocol in (
        ("alice@one.test", telephone, "dav"), ("alice@one.test", GOOD, "smtp"), ("bob@one.test", telephone, "smtp"),
        ("nobody@one.test", telephone, "smtp"), ("alice@one.test", telephone + "a", "smtp"),
    ):  # fmt: skip
        await refused(prove(world, login, password, protocol))
    await world.admin("SetAccountState", address="alice@one.test", state=accounts_pb2.ACCOUNT_STATE_DISABLED)
    await refused(prove(world, "alice@one.test", laptop))
    for row in await world.sql("SELECT digest, scram_stored_key, scram_server_key FROM app_password"):
        for kept in row.values():
            assert telephone.encode() not in kept


async def test_rfc5802_9_a_salt_tells_nobody_who_exists(world: Any) -> None:
    await world.create(address="alice@one.test", password=GOOD)
    await world.create(address="bob@one.test", password=GOOD)

    async def salt(login: str) -> tuple[bytes, int]:
        found = await as_ingest(world, "GetScramSalt", accounts_pb2.GetScramSaltRequest(login=login))
        return found.salt, found.iterations

    logins = ["alice@one.test", "bob@one.test", "nobody@one.test", "not an address", ""]
    told = [await salt(login) for login in logins]
    # neither does it change with the first app password
    first = (await world.admin("CreateAppPassword", address="alice@one.test", label="x", protocols=[])).password
    assert [await salt(login) for login in logins] == told
    assert (await prove(world, "alice@one.test", first)).account.address == "alice@one.test"
    assert {(len(octets), iterations) for octets, iterations in told} == {(16, 4096)}
    assert len({octets for octets, _ in told}) == len(logins)


async def test_other_addresses_of_an_account_have_salts_of_their_own_and_no_proofs(world: Any) -> None:
    await world.create(address="alice@one.test", password=GOOD)
    alice = (await world.authenticate(login="alice@one.test", password=GOOD)).account
    await world.sql(
        "INSERT INTO address (address, domain_id, account_id) SELECT 'other@one.test', domain_id, account_id FROM account "
        "WHERE account_id = $1", alice.account_id,
    )  # fmt: skip
    password = (await world.admin("CreateAppPassword", address="other@one.test", label="x", protocols=[])).password
    salts = [
        (await as_ingest(world, "GetScramSalt", accounts_pb2.GetScramSaltRequest(login=login))).salt
        for login in ("alice@one.test", "other@one.test")
    ]
    assert salts[0] != salts[1]
    assert (await prove(world, "alice@one.test", password)).account.account_id == alice.account_id
    await refused(prove(world, "other@one.test", password))
    assert (await world.authenticate(login="other@one.test", password=password)).account.account_id == alice.account_id


async def test_a_client_does_not_ask_for_salts_without_end(world: Any) -> None:
    async def ask(client: str) -> None:
        await as_ingest(world, "GetScramSalt", accounts_pb2.GetScramSaltRequest(login="x@one.test", client_ip=client))

    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        for _ in range(10_000):
            await ask("192.0.2.66")
    assert refusal.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    await ask("192.0.2.67")


async def test_guesses_at_proofs_count_with_guesses_at_passwords(world: Any) -> None:
    await world.create(address="alice@one.test", password=GOOD)
    codes = set()
    for number in range(200):
        try:
            await prove(world, "alice@one.test", f"guess{number}", client_ip="192.0.2.55")
        except grpc.aio.AioRpcError as error:
            codes.add(error.code())
        if grpc.StatusCode.RESOURCE_EXHAUSTED in codes:
            break
    assert codes == {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.RESOURCE_EXHAUSTED}
    await refused(
        world.authenticate(login="alice@one.test", password=GOOD, client_ip="192.0.2.55"),
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    )


async def test_a_login_by_proof_is_renewed_while_its_app_password_is_one(world: Any) -> None:
    await world.create(address="alice@one.test", password=GOOD)
    made = await world.admin("CreateAppPassword", address="alice@one.test", label="x", protocols=[])
    proved = await prove(world, "alice@one.test", made.password)

    async def renew(standing: bytes, renewal: bytes) -> Any:
        request = accounts_pb2.CheckStandingRequest(standing=standing, renewal=renewal)
        return await as_ingest(world, "CheckStanding", request)

    again = await renew(proved.standing, proved.renewal)
    assert (again.account.address, bool(again.principal)) == ("alice@one.test", True)
    assert again.expires_at >= proved.expires_at
    # without it there is no principal, and nobody makes one up; nor is there one for who came by password
    assert not (await renew(proved.standing, b"")).principal
    by_password = await world.authenticate(login="alice@one.test", password=GOOD)
    assert not by_password.renewal
    for standing, renewal in (
        (proved.standing, bytes(32)), (proved.standing, proved.renewal[:16]), (by_password.standing, proved.renewal),
    ):  # fmt: skip
        await refused(renew(standing, renewal))
    await world.sql("DELETE FROM app_password")
    await refused(renew(proved.standing, proved.renewal))
