"""A URL for a Redis behind Sentinels, the same for the ledger and for Celery's broker.

    sentinel://[user:password@]host[:26379][,host…][/db]?service=mymaster[&sentinel_password=…]

kombu's notation for several Sentinels, `sentinel://a;sentinel://b?service=mymaster`, works too. User, password and
database are the master's; the login of the Sentinels themselves goes into the query.
"""

from dataclasses import dataclass
from typing import Self
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

SCHEME = "sentinel"
#: Schemes that users try for TLS; redis-py and kombu have no such URL.
TLS_SCHEMES = ("sentinels", "rediss+sentinel", "redis+sentinels")
NO_TLS = (
    "TLS is not offered with Sentinels: name one server, rediss://host:6379/0, which may be a proxy before the master, "
    "or keep sentinel:// on a network of its own"
)
DEFAULT_PORT = 26379
_PARAMETERS = frozenset({"service", "sentinel_username", "sentinel_password"})


def is_sentinel(url: str) -> bool:
    """Return whether the URL names Sentinels."""
    return url.startswith(f"{SCHEME}://")


@dataclass(frozen=True, slots=True, repr=False)
class SentinelUrl:
    """Addresses, master and logins from a sentinel:// URL; an empty login means none."""

    #: Host and port of each Sentinel.
    sentinels: tuple[tuple[str, int], ...]
    #: The name under which the Sentinels watch the master.
    service: str
    db: int = 0
    username: str = ""
    password: str = ""
    sentinel_username: str = ""
    sentinel_password: str = ""

    @classmethod
    def parse(cls, url: str) -> Self:
        """Parse a URL. Raises ValueError that says what is wrong without repeating any part of the URL."""
        first, *more = map(_parts, url.split(";"))
        query = {name: value for each in (first, *more) for name, value in each.query.items()}
        if any(name.startswith(("ssl", "tls")) for name in query):
            raise ValueError(NO_TLS)
        if not query.keys() <= _PARAMETERS:
            raise ValueError(f"a sentinel:// URL takes no other parameters than {', '.join(sorted(_PARAMETERS))}")
        if not query.get("service"):
            raise ValueError("a sentinel:// URL names the master that is watched: …/0?service=mymaster")
        if not first.db.isdigit():
            raise ValueError("expected the number of a database as the path of a sentinel:// URL")
        sentinels = tuple(sentinel for each in (first, *more) for sentinel in each.sentinels)
        return cls(sentinels, db=int(first.db), username=first.username, password=first.password, **query)

    @property
    def address(self) -> str:
        """Return the master and the Sentinels' addresses, without a password."""
        return f"{self.service} of {','.join(_written(*each) for each in self.sentinels)}"

    @property
    def kombu_url(self) -> str:
        """Return kombu's notation: one URL per Sentinel. The service goes into the transport's options."""
        named = self.username or self.password
        login = f"{quote(self.username, safe='')}:{quote(self.password, safe='')}@" if named else ""
        return ";".join(f"{SCHEME}://{login}{_written(*each)}/{self.db}" for each in self.sentinels)

    @property
    def sentinel_login(self) -> dict[str, str]:
        """Return the login of the Sentinels themselves; empty where they ask for none."""
        login = {"username": self.sentinel_username, "password": self.sentinel_password}
        return {name: value for name, value in login.items() if value}


@dataclass(frozen=True, slots=True)
class _Parts:
    sentinels: list[tuple[str, int]]
    db: str
    username: str
    password: str
    query: dict[str, str]


def _parts(url: str) -> _Parts:
    try:
        parts = urlsplit(url)
        login, _, hosts = parts.netloc.rpartition("@")
        username, _, password = login.partition(":")
        sentinels = [(split.hostname or "", split.port or DEFAULT_PORT) for split in map(_host, hosts.split(","))]
    except ValueError:
        # urllib's own text quotes parts of the URL, which may contain a password.
        raise ValueError(
            "is not a valid URL; percent-encode special characters of the password, such as @ as %40"
        ) from None
    if parts.scheme in TLS_SCHEMES:
        raise ValueError(NO_TLS)
    if parts.scheme != SCHEME or not all(host for host, _ in sentinels):
        raise ValueError("expected sentinel://host:26379,host2:26379/0?service=mymaster")
    db = parts.path.strip("/") or "0"
    return _Parts(sentinels, db, unquote(username), unquote(password), dict(parse_qsl(parts.query)))


def _host(text: str) -> SplitResult:
    return urlsplit(f"//{text}")


def _written(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
