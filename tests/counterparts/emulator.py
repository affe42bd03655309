"""A private emulator of SQS: a program of an environment of its own, which `make emulators` installs.

Queues are made and removed with botocore's plain client, which is not what is tested.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar
from urllib.request import Request, urlopen

from botocore.session import get_session

from tests.counterparts.ports import free_port
from tests.counterparts.server import Server, answers_ok

#: Where `make emulators` puts them.
HOME = Path(__file__).parents[2] / ".venv-counterparts"
REGION = "eu-west-1"
ANSWER_SECONDS = 30.0


# It reads its models from files, which takes longer than most tests.
_session = cache(get_session)


class Emulator(Server):
    """One server on a port of its own; what it holds is gone when it ends."""

    #: Its administrator's, as the emulator comes.
    root_keys: ClassVar[tuple[str, str]] = ("test", "test")

    def __init__(self) -> None:
        super().__init__()
        self.port = free_port()

    @classmethod
    def program(cls) -> Path:
        """What is started."""
        return HOME / cls.name / "bin" / cls.command()[0]

    @classmethod
    def missing(cls) -> str | None:
        return None if cls.program().exists() else f'{cls.name} is not installed: run "make emulators"'

    @classmethod
    @abstractmethod
    def command(cls) -> Sequence[str]:
        """The program and its arguments; `{port}` is the port."""

    @classmethod
    def settings(cls) -> Mapping[str, str]:
        """Its environment; `{port}` is the port, `{folder}` a folder of its own."""
        return {}

    @property
    def url(self) -> str:
        """The endpoint of SQS, and of IAM where it has one."""
        return f"http://127.0.0.1:{self.port}"

    def _launch(self) -> None:
        values = {"port": str(self.port), "folder": str(self._folder)}
        _, *arguments = self.command()
        self._spawn(
            str(self.program()),
            *(each.format_map(values) for each in arguments),
            env={"PATH": "/usr/bin:/bin", "HOME": str(self._folder), "TMPDIR": str(self._folder)}
            | {name: value.format_map(values) for name, value in self.settings().items()},
        )

    @property
    @abstractmethod
    def health_path(self) -> str:
        """What answers 200 once it is ready."""

    @property
    @abstractmethod
    def reset_path(self) -> str:
        """What a POST to empties it."""

    def reset(self) -> None:
        """Empties it."""
        with urlopen(Request(self.url + self.reset_path, method="POST"), timeout=ANSWER_SECONDS):
            pass

    def client(self, service: str, keys: tuple[str, str] | None = None) -> Any:
        """botocore's own client, of the administrator unless keys say otherwise."""
        key_id, secret = keys or self.root_keys
        return _session().create_client(
            service,
            region_name=REGION,
            endpoint_url=self.url,
            aws_access_key_id=key_id,
            aws_secret_access_key=secret,
        )

    def create_queue(self, name: str, **attributes: str) -> str:
        """A queue's URL."""
        if name.endswith(".fifo"):
            attributes["FifoQueue"] = "true"
        return str(self.client("sqs").create_queue(QueueName=name, Attributes=attributes)["QueueUrl"])

    def delete_queue(self, url: str) -> None:
        """Removes a queue."""
        self.client("sqs").delete_queue(QueueUrl=url)

    def _answers(self) -> bool:
        return answers_ok(self.url + self.health_path)
