"""`petitbleu` and `python -m petitbleu_cli`."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence

import grpc.aio

from petitbleu_cli.failure import Failure, explain
from petitbleu_cli.office import Office
from petitbleu_cli.options import make_parser


async def _run(arguments: Sequence[str] | None) -> int:
    options = make_parser().parse_args(arguments)
    async with Office.open(as_json=getattr(options, "json", False)) as office:
        try:
            return int(await options.run(office, options) or 0)
        except Failure as failure:
            office.fail(str(failure))
        except grpc.aio.AioRpcError as error:
            office.fail(explain(error, office.last_service))
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
