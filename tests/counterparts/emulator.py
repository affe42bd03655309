"""A private emulator of SQS: a program of an environment of its own, which `make emulators` installs.

Queues are made and removed with botocore's plain client, which is not what is tested.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import Any, ClassVar, Self
from urllib.error import URLError
from urllib.request import Request, urlopen

from botocore.session import get_session

from tests.counterparts.store import free_port

#: Where `make emulators` puts them.
HOME = Path(__file__).parents[2] / ".venv-counterparts"
REGION = "eu-west-1"
#: A busy machine may take its time; usually it takes less than one (seconds).
START_SECONDS = 60.0
STOP_SECONDS = 10.0
ANSWER_SECONDS = 30.0


# It reads its models from files, which takes longer than most tests.
_session = cache(get_session)


class Emulator(ABC):
    """One server on a port of its own; what it holds is gone when it ends."""

    name: ClassVar[str]
    #: Its administrator's, as the emulator comes.
    root_keys: ClassVar[tuple[str, str]] = ("test", "test")

    def __init__(self) -> None:
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix=f"edw-{self.name}-"))
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def program(cls) -> Path:
        """What is started."""
        return HOME / cls.name / "bin" / cls.command()[0]

    @classmethod
    def missing(cls) -> str | None:
        """Why it cannot be started, for a test that is skipped; None where it can."""
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

    def start(self) -> Self:
        """Starts it, and answers once it does."""
        values = {"port": str(self.port), "folder": str(self._folder)}
        _, *arguments = self.command()
        with (self._folder / "log").open("ab") as output:
            self._process = subprocess.Popen(
                [str(self.program()), *(each.format_map(values) for each in arguments)],
                env={"PATH": "/usr/bin:/bin", "HOME": str(self._folder), "TMPDIR": str(self._folder)}
                | {name: value.format_map(values) for name, value in self.settings().items()},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        end = monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or monotonic() > end:
                said = (self._folder / "log").read_text(errors="replace")[-2000:]
                self.remove()
                raise RuntimeError(f"{self.name} did not start:\n{said}")
            sleep(0.02)
        return self

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

    def freeze(self) -> None:
        """It goes on listening, and says nothing more."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets a frozen one go on."""
        self._signal(signal.SIGCONT)

    def remove(self) -> None:
        """Ends it and removes what it wrote."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait(STOP_SECONDS)
            self._process = None
        shutil.rmtree(self._folder, ignore_errors=True)

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

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def _signal(self, number: int) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def _answers(self) -> bool:
        with suppress(URLError, OSError), urlopen(self.url + self.health_path, timeout=2) as answer:
            return bool(answer.status == 200)
        return False
