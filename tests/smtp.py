"""A mail server for tests: TLS from the first byte, STARTTLS, or neither; remembers what it was given."""

import base64
import socket
import socketserver
import ssl
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.local import certificates


@dataclass
class MailServer:
    """``tls``: "implicit", "starttls", "none", or "silent", which accepts and says nothing."""

    directory: Path
    tls: str
    mails: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)

    def __enter__(self) -> "MailServer":
        certificates.ensure(self.directory)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.directory / "server.pem", self.directory / "server.key")
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                outer.talk(self.request)

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def talk(self, connection: socket.socket) -> None:
        if self.tls == "silent":
            while connection.recv(1024):
                pass
            return
        try:
            if self.tls == "implicit":
                connection = self.context.wrap_socket(connection, server_side=True)
            while connection is not None:
                connection = self.serve(connection)
        except (OSError, ssl.SSLError):
            return  # the client hung up, as one that does not trust us does

    def serve(self, connection: Any) -> Any:
        """Until the client leaves (None) or has asked for TLS (the new connection)."""
        secure = isinstance(connection, ssl.SSLSocket)

        def say(text: str) -> None:
            connection.sendall(f"{text}\r\n".encode())

        with connection, connection.makefile("rb") as lines:
            if secure == (self.tls == "implicit"):
                say("220 ready")
            while line := lines.readline().decode().strip():
                command = line.split()[0].upper()
                if command == "EHLO":
                    offers = ["localhost", *(["AUTH PLAIN"] if secure else [])]
                    offers += ["STARTTLS"] if self.tls == "starttls" and not secure else []
                    for offer in offers[:-1]:
                        say(f"250-{offer}")
                    say(f"250 {offers[-1]}")
                elif command == "STARTTLS":
                    say("220 go on")
                    return self.context.wrap_socket(connection, server_side=True)
                elif command == "AUTH":
                    self.logins.append(base64.b64decode(line.split()[2]).decode())
                    say("235 welcome")
                elif command == "DATA":
                    say("354 go on")
                    text = ""
                    while (part := lines.readline().decode()) != ".\r\n":
                        text += part
                    self.mails.append(text)
                    say("250 taken")
                elif command == "QUIT":
                    say("221 bye")
                    break
                else:
                    say("250 fine")
        return None
