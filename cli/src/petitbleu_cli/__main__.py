"""`petitbleu` and `python -m petitbleu_cli`."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence

import grpc.aio

from petitbleu_cli.failure import Failure, explain
from petitbleu_cli.office import Office, fail
from petitbleu_cli.options import make_parser
from petitbleu_kit.config import ServiceSettings, SettingsError


async def _run(arguments: Sequence[str] | None) -> int:
    options = make_parser().parse_args(arguments)
    as_json = getattr(options, "json", False)
    try:
        settings = ServiceSettings.read()
    except SettingsError as error:
        fail(str(error), as_json=as_json)
        return 1
    async with Office.open(settings, as_json=as_json) as office:
        try:
            return int(await options.run(office, options) or 0)
        except Failure as failure:
            fail(str(failure), as_json=as_json)
        except grpc.aio.AioRpcError as error:
            fail(explain(error, office.last_service), as_json=as_json)
    return 1


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 done, 1 failed, 2 called wrongly."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # the library's own lines would stand beside our one clear line
    try:
        status = asyncio.run(_run(arguments))
        sys.stdout.flush()
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    except OSError as error:
        print(f"petitbleu: {error.strerror or type(error).__name__}", file=sys.stderr)
        status = 1
    sys.exit(status)


if __name__ == "__main__":
    main()
