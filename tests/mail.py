"""A mail server on loopback: it takes letters as SMTP says (RFC 5321), and keeps them to be looked at."""

from __future__ import annotations

import contextlib
import email
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from typing import ClassVar


@dataclass
class Letterbox:
    """What arrived, and how the server is to behave."""

    port: int = 0
    refuses: bool = False
    letters: list[tuple[str, Message]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"


class _Session(socketserver.StreamRequestHandler):
    box: ClassVar[Letterbox]

    def handle(self) -> None:
        self._say("220 letterbox.test ESMTP")
        to = ""
        while line := self.rfile.readline().decode().strip():
            verb = line[:4].upper()
            if verb in ("EHLO", "HELO"):
                self._say("250 letterbox.test")
            elif verb == "RCPT":
                to = line.partition("<")[2].partition(">")[0]
                self._say("550 no such mailbox" if self.box.refuses else "250 ok")
            elif verb == "DATA":
                self._say("354 go on")
                self.box.letters.append((to, email.message_from_bytes(self._data())))
                self._say("250 taken")
            elif verb == "QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 ok")

    def _data(self) -> bytes:
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        return b"".join(lines)

    def _say(self, line: str) -> None:
        self.wfile.write(line.encode() + b"\r\n")


@contextlib.contextmanager
def letterbox() -> Iterator[Letterbox]:
    """Take letters on a free port until the end."""
    box = Letterbox()

    class Session(_Session):
        pass

    Session.box = box
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session) as server:
        server.daemon_threads = True
        box.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield box
        finally:
            server.shutdown()
            thread.join()
