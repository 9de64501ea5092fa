"""What a URI and its options ask for, checked before anything is sent."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from dsync.errors import UsageError

MEGABYTE = 1 << 20
MAX_FILE_MEGABYTES = 8
PARTITION_BYTES = 16 << 20
LEAST_PARTITION_BYTES = 4 << 20

FORMATS = ("json", "jsonl")
COMPRESSIONS = ("none", "gzip", "zstd")

_URI = re.compile(r"s3://([^/?#\s]*)(?:/(.*))?", re.IGNORECASE | re.DOTALL)
_BUCKET = re.compile(r"[A-Za-z0-9._:-]{3,255}")
_SIZE = re.compile(r"(\d+)\s*([kmg]?)(?:i?b)?", re.IGNORECASE)


class Credentials(Struct, frozen=True):
    """Given with options; what is None comes from the AWS configuration. Never shown."""

    profile: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = None
    session_token: str | None = None

    def __repr__(self) -> str:
        """All but the keys."""
        return f"Credentials(profile={self.profile!r})"


class Settings(Struct, frozen=True):
    """`prefix` has no slash at its end and is empty for the whole bucket; `is_folder`: it cannot name an object."""

    bucket: str
    prefix: str
    is_folder: bool
    region: str | None
    endpoint: str | None
    path_style: bool
    credentials: Credentials
    format: str
    compression: str
    max_file_bytes: int
    # 0: objects are read as a whole.
    partition_bytes: int

    @property
    def root(self) -> str:
        """What every key begins with that belongs to the prefix as a folder."""
        return self.prefix + "/" if self.prefix else ""

    def shown(self, key: str = "") -> str:
        """A key as people write it; without one, what the URI names."""
        return f"s3://{self.bucket}/{key or self.prefix}"


def parse(uri: str, options: Mapping[str, Any]) -> Settings:
    """The settings of a connector. Raises UsageError."""
    bucket, path = _split(uri)
    if options.get("prefix"):
        path = f"{path.rstrip('/')}/{options['prefix']}".lstrip("/")
    endpoint = _endpoint(options.get("endpoint"))
    return Settings(
        bucket=bucket,
        prefix=path.rstrip("/"),
        is_folder=path == "" or path.endswith("/"),
        region=options.get("region") or None,
        endpoint=endpoint,
        path_style=bool(options.get("use_path_style")) or has_no_subdomains(endpoint),
        credentials=_credentials(options),
        format=_choice(options, "output_format", FORMATS),
        compression=_choice(options, "compression", COMPRESSIONS),
        max_file_bytes=_max_file_bytes(options.get("max_file_size")),
        partition_bytes=_partition_bytes(options.get("partition_size")),
    )


def _split(uri: str) -> tuple[str, str]:
    match = _URI.fullmatch(uri)
    # A name with "@" may be somebody's password, so it is not repeated.
    shown = "" if "@" in uri else f" {uri!r}"
    if not match or not match[1]:
        raise UsageError(f"the URI{shown} names no bucket", remedy="write s3://bucket/prefix")
    if not _BUCKET.fullmatch(match[1]):
        raise UsageError(
            f"the URI{shown} names no bucket that can exist",
            remedy="a bucket's name has 3 to 63 letters, digits, dots and hyphens; write s3://bucket/prefix",
        )
    return match[1], (match[2] or "").lstrip("/")


def _endpoint(value: str | None) -> str | None:
    if not value:
        return None
    try:
        parts = urlsplit(value)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if valid and (parts.username is not None or parts.password is not None):
        raise UsageError(
            "--endpoint holds a user or a password", remedy="give keys with --access-key-id and AWS_SECRET_ACCESS_KEY"
        )
    if not valid or parts.query or parts.fragment:
        raise UsageError("--endpoint is not an address of a server", remedy="write it as in http://localhost:9000")
    return value.rstrip("/")


def has_no_subdomains(endpoint: str | None) -> bool:
    """Whether `bucket.host` cannot be an address: localhost, names without a dot, IP addresses."""
    host = (urlsplit(endpoint).hostname or "") if endpoint else ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return bool(host) and "." not in host
    return True


def _credentials(options: Mapping[str, Any]) -> Credentials:
    given = {name: options.get(name) or None for name in ("access_key_id", "secret_access_key", "session_token")}
    if bool(given["access_key_id"]) != bool(given["secret_access_key"]):
        missing = "--secret-access-key" if given["access_key_id"] else "--access-key-id"
        raise UsageError(
            f"{missing} is missing", remedy="give both keys or neither, then the AWS configuration is used"
        )
    if given["session_token"] and not given["access_key_id"]:
        raise UsageError("--session-token is given without keys", remedy="give the keys it belongs to as well")
    return Credentials(profile=options.get("profile") or None, **given)


def _choice(options: Mapping[str, Any], name: str, choices: tuple[str, ...]) -> str:
    value = options.get(name) or choices[0]
    if value not in choices:
        option = name.replace("_", "-")
        raise UsageError(f"--{option} {value!r} is not known", remedy=f"use one of {', '.join(choices)}")
    return str(value)


def _max_file_bytes(value: Any) -> int:
    megabytes = MAX_FILE_MEGABYTES if value is None else value
    if not isinstance(megabytes, int) or not 1 <= megabytes <= 1024:
        raise UsageError(f"--max-file-size {value!r} is not 1 to 1024", remedy="give it in MB")
    return megabytes * MEGABYTE


def _partition_bytes(value: Any) -> int:
    if value is None or value == "":
        return PARTITION_BYTES
    match = _SIZE.fullmatch(str(value).strip())
    size = int(match[1]) << (10 * " kmg".index(match[2].lower() or " ")) if match else -1
    if size != 0 and not LEAST_PARTITION_BYTES <= size < 1 << 50:
        raise UsageError(f"--partition-size {value!r} is not 4MiB or more", remedy="give a size as in 64MiB, or 0")
    return size
