# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL client of some sixty lines, for tests: no TLS, trust or a plain password, one query at a time."""

import struct


class Refused(Exception):
    """PostgreSQL answered with an error."""

    def __init__(self, fields):
        super().__init__(f"{fields.get('C')}: {fields.get('M')}")
        self.state = fields.get("C")


class Client:
    def __init__(self, connection, user="postgres", database="postgres", password=None, name="test"):
        self.connection, self.password = connection, password
        self.stream = connection.makefile("rb")
        self.warnings = []  # of all queries so far
        words = ["user", user, "database", database, "application_name", name]
        body = struct.pack("!I", 196608) + b"".join(word.encode() + b"\0" for word in words) + b"\0"
        connection.sendall(struct.pack("!I", len(body) + 4) + body)
        self.answer()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.close()

    def close(self):
        self.stream.close()
        self.connection.close()

    def send(self, kind, body):
        self.connection.sendall(kind + struct.pack("!I", len(body) + 4) + body)

    def ask(self, sql):
        """Runs a query; returns its rows as lists of texts (None: NULL)."""
        self.send(b"Q", sql.encode() + b"\0")
        return self.answer()

    def value(self, sql):
        rows = self.ask(sql)
        return rows[0][0] if rows else None

    def read(self, size):
        data = self.stream.read(size)
        if data is None or len(data) != size:
            raise ConnectionError("the connection ended within an answer")
        return data

    def answer(self):
        rows, error = [], None
        while True:
            kind, size = struct.unpack("!cI", self.read(5))
            body = self.read(size - 4)
            if kind == b"D":
                rows.append(self.row(body))
            elif kind == b"E":
                error = self.fields(body)
                if error.get("S") == "FATAL":
                    raise Refused(error)
            elif kind == b"N":
                self.warnings.append(self.fields(body))
            elif kind == b"R" and struct.unpack("!I", body[:4])[0] == 3:
                self.send(b"p", self.password.encode() + b"\0")
            elif kind == b"Z":
                if error:
                    raise Refused(error)
                return rows

    @staticmethod
    def fields(body):
        parts = [part.decode(errors="replace") for part in body.split(b"\0") if part]
        return {part[0]: part[1:] for part in parts}

    @staticmethod
    def row(body):
        count, at, values = struct.unpack("!H", body[:2])[0], 2, []
        for _ in range(count):
            size = struct.unpack("!i", body[at:at + 4])[0]
            at += 4
            values.append(None if size < 0 else body[at:at + size].decode())
            at += max(size, 0)
        return values
