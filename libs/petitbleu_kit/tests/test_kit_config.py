"""Settings come from the environment, and what cannot be is one line."""

from __future__ import annotations

import pytest

from petitbleu_kit.config import ServiceSettings, SettingsError


def test_unusable_variables_are_one_line_without_their_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PETITBLEU_PORT_OFFSET", "s3cret")
    monkeypatch.setenv("PETITBLEU_PG_POOL_SIZE", "")
    with pytest.raises(SettingsError) as refused:
        ServiceSettings.read()
    line = str(refused.value)
    assert "PETITBLEU_PORT_OFFSET: " in line
    assert "PETITBLEU_PG_POOL_SIZE: " in line
    assert "s3cret" not in line
    assert "\n" not in line


def test_a_service_without_usable_settings_ends_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PETITBLEU_PORT_OFFSET", "many")
    with pytest.raises(SystemExit) as ended:
        ServiceSettings.read_or_exit("store")
    assert ended.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith("store: PETITBLEU_PORT_OFFSET: ")
    assert error.count("\n") == 1


def test_usable_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PETITBLEU_PORT_OFFSET", "300")
    assert ServiceSettings.read_or_exit("store").port_offset == 300
