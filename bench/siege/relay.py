"""A slow way to the store: `python -m bench.siege.relay LISTEN TARGET SECONDS` holds back what comes from it for so long."""

import asyncio
import sys
from functools import partial

__all__ = ["main"]

SIZE = 1 << 16


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    loop = asyncio.get_running_loop()
    while octets := await reader.read(SIZE):
        if delay:
            loop.call_later(delay, writer.write, octets)
        else:
            writer.write(octets)
    writer.close()


async def _serve(listen: str, target: str, delay: float) -> None:
    async def connected(near: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
        far, to_far = await asyncio.open_unix_connection(target)
        await asyncio.gather(_pass_on(near, to_far, 0), _pass_on(far, to_near, delay))

    server = await asyncio.start_unix_server(partial(connected), listen)
    await server.serve_forever()


def main(listen: str, target: str, delay: float) -> None:
    """Until it is ended."""
    asyncio.run(_serve(listen, target, delay))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
