"""The command line's grammar, its types and its one-line failures."""

import argparse
import json
from pathlib import Path
from uuid import UUID

import grpc
import grpc.aio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from petitbleu_cli.__main__ import main
from petitbleu_cli.commands.inbound import points
from petitbleu_cli.commands.parked import since
from petitbleu_cli.failure import Failure, explain
from petitbleu_cli.office import Office
from petitbleu_cli.options import accepted_id, count, make_parser, octets, recipient, traced_message
from petitbleu_kit.config import ServiceSettings


@pytest.mark.parametrize(
    "line",
    [
        "",
        "bogus",
        "account",
        "account bogus",
        "account create a@b.test",
        "account create a@b.test --password x --no-password",
        "account create a@b.test --no-password --count 0",
        "account quota a@b.test lots",
        "domain create b.test",
        "domain catch-all b.test",
        "domain keys",
        "domain check",
        "domain sts b.test --mode maybe",
        "domain sts b.test --mode none --max-age 99999999999",
        "junior decide a@b.test not-a-uuid --deliver",
        "parked drop",
        "queue show not-a-uuid",
        "queue pause",
        "queue retry --message 7",
        "trace --since yesterday",
    ],
)
def test_usage_errors_exit_2(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(line.split())
    assert exit_info.value.code == 2
    assert "usage: petitbleu" in capsys.readouterr().err


def test_json_is_understood_everywhere() -> None:
    parser = make_parser()
    for line in ("--json tenant list", "tenant --json list", "tenant list --json"):
        assert parser.parse_args(line.split()).json is True
    assert not hasattr(parser.parse_args(["tenant", "list"]), "json")


@pytest.mark.parametrize("as_json", [False, True])
def test_without_a_token_there_is_one_line_and_exit_1(
    as_json: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PETITBLEU_DATA", str(tmp_path))
    monkeypatch.delenv("PETITBLEU_OPERATOR_TOKEN", raising=False)
    monkeypatch.delenv("PETITBLEU_OPERATOR_TOKEN_FILE", raising=False)
    with pytest.raises(SystemExit) as exit_info:
        main(["tenant", "list", *(["--json"] if as_json else [])])
    assert exit_info.value.code == 1
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("petitbleu: no operator's token")
    assert ("error" in json.loads(captured.out)) if as_json else not captured.out


def test_the_token_comes_from_the_environment_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "operator.token").write_text("from-file\n")
    monkeypatch.delenv("PETITBLEU_OPERATOR_TOKEN", raising=False)
    office = Office(ServiceSettings(data=tmp_path), as_json=False)
    assert office.token() == "from-file"
    monkeypatch.setenv("PETITBLEU_OPERATOR_TOKEN", "from-environment")
    assert office.token() == "from-environment"


def test_the_run_directory_is_where_the_stack_says(tmp_path: Path) -> None:
    (tmp_path / "short").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "short")  # as where the data's own path is too long for a socket
    assert ServiceSettings(data=tmp_path).target("accounts") == f"unix:{tmp_path}/short/accounts.sock"


@pytest.mark.parametrize("as_json", [False, True])
def test_an_unusable_variable_is_one_line_and_exit_1(
    as_json: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PETITBLEU_PORT_OFFSET", "abc")
    with pytest.raises(SystemExit) as exit_info:
        main(["doctor", *(["--json"] if as_json else [])])
    assert exit_info.value.code == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("petitbleu: PETITBLEU_PORT_OFFSET: ")
    assert captured.err.count("\n") == 1
    assert ("error" in json.loads(captured.out)) if as_json else not captured.out


def test_an_empty_table_says_so_beside_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    Office(ServiceSettings(), as_json=False).table([], ["a"])
    assert capsys.readouterr() == ("", "nothing found\n")
    Office(ServiceSettings(), as_json=True).table([], ["a"])
    assert capsys.readouterr() == ("[]\n", "")


def _error(code: grpc.StatusCode, details: str) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details, "")


def test_every_refusal_is_one_line() -> None:
    for code in grpc.StatusCode:
        for details in ("", "something\nlonger"):
            line = explain(_error(code, details), "store")
            assert line
            assert "\n" not in line
    assert "token" in explain(_error(grpc.StatusCode.PERMISSION_DENIED, "x"), "store")
    assert "running" in explain(_error(grpc.StatusCode.UNAVAILABLE, "x"), "store")


def test_sizes() -> None:
    assert [octets(text) for text in ("0", "none", "12", "5k", "2G", "1TiB", "3 MB")] == [
        0, 0, 12, 5120, 2 << 30, 1 << 40, 3 << 20,
    ]  # fmt: skip
    for text in ("", "-1", "1.5G", "9999999999T"):
        with pytest.raises(argparse.ArgumentTypeError):
            octets(text)


@given(st.text(max_size=50))
def test_any_text_is_a_value_or_a_usage_error(text: str) -> None:
    for kind in (octets, count, accepted_id, recipient, since, traced_message):
        try:
            kind(text)
        except argparse.ArgumentTypeError:
            continue


def test_a_message_is_named_as_the_trace_prints_it() -> None:
    text = "01234567-89ab-8def-8123-456789abcdef"
    assert traced_message(f"{text}/2") == traced_message(text) == UUID(text).bytes
    for wrong in (f"{text}/", f"{text}/x", "2", "/2"):
        with pytest.raises(argparse.ArgumentTypeError):
            traced_message(wrong)


def test_tables_line_up_and_json_keeps_everything(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"a": "x", "b": True, "hidden": 1}, {"a": "longer", "b": False, "hidden": 2}]
    Office(ServiceSettings(), as_json=False).table(rows, ["a", "b"])
    assert capsys.readouterr().out == "a       b\nx       yes\nlonger\n"
    Office(ServiceSettings(), as_json=True).table(rows, ["a", "b"])
    assert json.loads(capsys.readouterr().out) == rows
    with pytest.raises(Failure):
        raise Failure("x")


@pytest.mark.parametrize(
    ("text", "hundredths"),
    [("never", 0), ("5", 500), ("0.01", 1), ("12.5", 1250), ("1e1", 1000), ("10000", 1_000_000)],
)
def test_points_are_hundredths(text: str, hundredths: int) -> None:
    assert points(text) == hundredths


@given(st.text(max_size=12) | st.decimals().map(str))
def test_any_text_is_points_or_a_usage_error(text: str) -> None:
    try:
        assert 0 <= points(text) <= 1_000_000
    except argparse.ArgumentTypeError:
        return
