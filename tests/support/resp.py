# SPDX-License-Identifier: Apache-2.0
"""A Redis client of a dozen lines, for tests."""


class Refused(Exception):
    """Redis answered with an error."""


class Client:
    def __init__(self, connection):
        self.connection = connection
        self.stream = connection.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.stream.close()
        self.connection.close()

    def ask(self, *words):
        """Sends one command and returns its answer: str, int, None or a list of these."""
        encoded = [str(word).encode() for word in words]
        parts = [b"*%d\r\n" % len(encoded)] + [b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded]
        self.connection.sendall(b"".join(parts))
        return self.answer()

    def answer(self):
        line = self.stream.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the connection ended within an answer")
        kind, rest = line[:1], line[1:-2].decode()
        if kind == b"-":
            raise Refused(rest)
        if kind == b"+":
            return rest
        count = int(rest)
        if kind == b":":
            return count
        if count < 0:
            return None
        if kind == b"*":
            return [self.answer() for _ in range(count)]
        body = self.stream.read(count + 2)
        if len(body) != count + 2:
            raise ConnectionError("the connection ended within an answer")
        return body[:-2].decode()
