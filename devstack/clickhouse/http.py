"""HTTP/1.1 on a socket: as much of it as ClickHouse's clients use, and quick. Bodies are read whole or not at all."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import HTTP as HTTP_POLICY
from typing import IO
from urllib.parse import parse_qsl, urlsplit

_MAX_HEAD = 1 << 20  # clickhouse-connect puts bound parameters into the URL; ClickHouse's own limit is 1 MiB
REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    411: "Length Required",
    413: "Request Entity Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
}


class BadRequest(Exception):
    """The bytes are not an HTTP request, or they end before the request does."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, its body still encoded."""

    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]  # names in lower case
    body: list[bytes]
    keep_alive: bool


def read_request(reader: IO[bytes], connection: socket.socket) -> Request | None:
    """The next request; None when the client has closed the connection between two of them.

    Raises:
        BadRequest: the head is malformed or the body is cut; no part of it may be used.
    """
    line = reader.readline(_MAX_HEAD)
    while line in (b"\r\n", b"\n"):
        line = reader.readline(_MAX_HEAD)
    if not line:
        return None
    try:
        method, target, protocol = line.decode("latin-1").split()
    except ValueError as error:
        raise BadRequest("malformed request line") from error
    headers = _read_headers(reader)
    if headers.get("expect", "").lower() == "100-continue":
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    url = urlsplit(target)
    asked = headers.get("connection", "").lower()
    return Request(
        method=method,
        path=url.path,
        params=dict(parse_qsl(url.query, keep_blank_values=True)),
        headers=headers,
        body=_read_body(reader, headers),
        keep_alive=asked != "close" and (protocol != "HTTP/1.0" or asked == "keep-alive"),
    )


def multipart(request: Request, body: bytes) -> tuple[dict[str, str], dict[str, bytes]]:
    """Fields and files of a multipart/form-data body."""
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP_POLICY).parsebytes(head + body)
    fields, files = {}, {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True) or b""
        if part.get_filename() is None:
            fields[str(name)] = content.decode()
        else:
            files[str(name)] = content
    return fields, files


def head(status: int, headers: dict[str, str]) -> bytes:
    """The bytes of a response's head."""
    lines = [
        f"HTTP/1.1 {status} {REASONS.get(status, 'Error')}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def _read_headers(reader: IO[bytes]) -> dict[str, str]:
    headers: dict[str, str] = {}
    size = 0
    while True:
        line = reader.readline(_MAX_HEAD)
        size += len(line)
        if line in (b"\r\n", b"\n"):
            return headers
        name, colon, value = line.decode("latin-1").partition(":")
        if not line.endswith(b"\n") or not colon or size > _MAX_HEAD:
            raise BadRequest("the head is cut or malformed")
        headers[name.strip().lower()] = value.strip()


def _read_body(reader: IO[bytes], headers: dict[str, str]) -> list[bytes]:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return _read_chunks(reader)
    try:
        length = int(headers.get("content-length") or 0)
    except ValueError as error:
        raise BadRequest("Content-Length is not a number") from error
    return [_exactly(reader, length)] if length else []


def _read_chunks(reader: IO[bytes]) -> list[bytes]:
    chunks = []
    while True:
        try:
            size = int(reader.readline(1024).split(b";")[0], 16)
        except ValueError as error:
            raise BadRequest("the chunked body is cut or malformed") from error
        if size == 0:
            break
        chunks.append(_exactly(reader, size))
        if reader.readline(3) != b"\r\n":
            raise BadRequest("a chunk is longer than it says")
    while (line := reader.readline(_MAX_HEAD)) not in (b"\r\n", b"\n"):
        if not line:
            raise BadRequest("the chunked body is cut")
    return chunks


def _exactly(reader: IO[bytes], length: int) -> bytes:
    data = reader.read(length)
    if len(data) < length:
        raise BadRequest(f"the body is cut: {len(data)} of {length} bytes")
    return data
