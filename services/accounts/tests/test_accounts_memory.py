"""What a process remembers of credentials, and how it counts failures."""

import asyncio
import time

import pytest

from petitbleu_accounts.adapters.argon2_pool import PasswordPool
from petitbleu_accounts.adapters.windows import MemoryWindows
from petitbleu_accounts.config import Settings
from petitbleu_accounts.domain.people import AccountInfo, Role, State
from petitbleu_accounts.errors import AccountsError, Fault
from petitbleu_accounts.service.limits import LoginLimits
from petitbleu_accounts.service.memory import CredentialMemory, Known


def known(account_id: int) -> Known:
    return Known(AccountInfo(account_id, 1, "a@one.test", "A", State.ACTIVE, (Role.PERSON,), 0, False, (), "fr"))


def quick(**changes: float) -> Settings:
    values = {"argon2_memory_kib": 64, "argon2_passes": 1, "argon2_lanes": 1, **changes}
    return Settings.model_validate(values)


def test_credentials_are_told_apart_however_their_parts_are_cut() -> None:
    memory = CredentialMemory(10)
    prints = {memory.fingerprint(*parts) for parts in (("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("\ud800",))}
    assert len(prints) == 5
    assert CredentialMemory(10).fingerprint("ab", "c") not in prints  # each process has a key of its own


def test_a_change_forgets_the_account_and_only_it() -> None:
    memory = CredentialMemory(10)
    for number in (1, 1, 2):
        memory.remember(memory.fingerprint(str(number), str(len(memory))), known(number), 60, memory.generation)
    memory.forget([1, 3])
    assert len(memory) == 1
    assert memory.find(memory.fingerprint("2", "2")) is not None
    memory.forget_all()
    assert len(memory) == 0


def test_a_check_that_was_under_way_during_a_change_is_not_remembered() -> None:
    memory = CredentialMemory(10)
    before = memory.generation
    memory.forget([1])
    memory.remember(b"x", known(1), 60, before)
    assert memory.find(b"x") is None


def test_memory_is_bounded_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = CredentialMemory(3)
    for number in range(5):
        memory.remember(bytes([number]), known(number), 60, memory.generation)
    assert [memory.find(bytes([number])) is not None for number in range(5)] == [False, False, True, True, True]
    later = time.monotonic() + 61
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert memory.find(bytes([4])) is None


async def test_failures_are_counted_by_login_address_and_both_and_right_ones_are_not() -> None:
    settings = quick(login_failures_per_account=4, login_failures_per_ip=6, login_failures_per_pair=2)
    limits = LoginLimits(settings, MemoryWindows(60))
    for _ in range(10):
        await limits.give_back(await limits.take("a@one.test", "192.0.2.1"))
    for _ in range(2):
        await limits.take("a@one.test", "192.0.2.1")
    with pytest.raises(AccountsError) as refused:
        await limits.take("a@one.test", "192.0.2.1")
    assert refused.value.fault is Fault.LIMITED
    await limits.take("a@one.test", "192.0.2.2")
    with pytest.raises(AccountsError):
        await limits.take("a@one.test", "192.0.2.3")
    await limits.take("", "not an address")  # nothing to count by


async def test_windows_end_and_are_bounded() -> None:
    windows = MemoryWindows(0)
    assert await windows.take(["a", "b"]) == [1, 1]
    assert await windows.take(["a"]) == [1]
    long = MemoryWindows(60)
    await long.take([str(number) for number in range(100_010)])
    assert await long.take(["0"]) == [1]
    assert await long.take(["100009"]) == [2]


async def test_passwords_are_hashed_off_the_loop_and_the_queue_is_bounded() -> None:
    pool = PasswordPool(quick(password_threads=1, password_queue=1))
    await pool.start()
    made = await pool.hash("correct horse")
    assert made.startswith("$argon2id$v=19$m=64,t=1,p=1$")
    assert await pool.verify(made, "correct horse")
    assert not await pool.verify(made, "wrong horse")
    assert not await pool.verify(None, "there is nobody by this name")
    assert not await pool.verify("not a hash", "x")
    checks = [pool.verify(made, "x") for _ in range(2)]
    running = [asyncio.ensure_future(check) for check in checks]
    await asyncio.sleep(0)
    with pytest.raises(AccountsError) as busy:
        await pool.verify(made, "x")
    assert busy.value.fault is Fault.LIMITED
    assert [await check for check in running] == [False, False]
    pool.close()
