#!/usr/bin/env python3
"""Runs a command in a terminal of a given size and prints what is on its screen, as text.

    scripts/record_terminal.py --columns 80 --at 2 --at 5 -- scriptorium transcribe recordings/ -o out/

With --interrupt SECONDS, Ctrl-C is typed then. The last screen is that when the command has ended.
Needs pyte (scripts/requirements/terminal.txt), which interprets the terminal's control sequences.
"""

import argparse
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from fcntl import ioctl

import pyte


def show(title: str, screen: pyte.Screen) -> None:
    """Prints the lines of the screen that are not empty at its end."""
    lines = [line.rstrip() for line in screen.display]
    while lines and not lines[-1]:
        lines.pop()
    print(f"--- {title}")
    print("\n".join(lines), flush=True)


def run(arguments: argparse.Namespace) -> int:
    screen = pyte.Screen(arguments.columns, arguments.rows)
    stream = pyte.ByteStream(screen)
    process, terminal = pty.fork()
    if process == 0:
        os.environ["TERM"] = "xterm"
        size = struct.pack("HHHH", arguments.rows, arguments.columns, 0, 0)
        ioctl(0, termios.TIOCSWINSZ, size)
        os.execvp(arguments.command[0], arguments.command)
    start = time.monotonic()
    moments = sorted(arguments.at)
    interrupt = arguments.interrupt
    while True:
        readable, _, _ = select.select([terminal], [], [], 0.05)
        if readable:
            try:
                output = os.read(terminal, 65536)
            except OSError:
                break
            if not output:
                break
            stream.feed(output)
        seconds = time.monotonic() - start
        while moments and seconds >= moments[0]:
            show(f"after {moments.pop(0):g} s", screen)
        if interrupt is not None and seconds >= interrupt:
            os.write(terminal, b"\x03")
            interrupt = None
        if seconds > arguments.limit:
            os.kill(process, signal.SIGKILL)
            break
    _, status = os.waitpid(process, 0)
    code = os.waitstatus_to_exitcode(status)
    show(f"at the end, exit code {code}", screen)
    return code


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--columns", type=int, default=80)
    parser.add_argument("--rows", type=int, default=24)
    parser.add_argument("--at", type=float, action="append", default=[], metavar="SECONDS")
    parser.add_argument("--interrupt", type=float, metavar="SECONDS")
    parser.add_argument("--limit", type=float, default=600, metavar="SECONDS")
    parser.add_argument("command", nargs="+")
    return run(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
