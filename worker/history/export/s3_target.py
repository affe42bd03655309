"""A bucket of S3, or of what speaks its protocol. botocore's own environment names keys, region and endpoint."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.exceptions import BotoCoreError, ClientError

from worker.history.export.targets import Sink, TargetError

#: Bytes of one part of an upload. S3 takes at most 10,000 parts, so a file may have 160 GB.
PART_BYTES = 16 * 1024 * 1024
#: Tries of a request, with botocore's pauses between them.
TRIES = 5
#: What S3 answers where there is no such object.
_MISSING = ("404", "NoSuchKey", "NotFound")


class S3Target:
    """Objects of a bucket whose keys begin with a prefix."""

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix

    async def read(self, name: str) -> bytes | None:
        """Return a small object; None if there is none."""
        found = await self._unless_missing(self._client.get_object(**self._object(name)))
        if found is None:
            return None
        async with found["Body"] as body:
            content: bytes = await body.read()
            return content

    async def exists(self, name: str) -> bool:
        """Return whether there is such an object."""
        return await self._unless_missing(self._client.head_object(**self._object(name))) is not None

    @asynccontextmanager
    async def writing(self, name: str) -> AsyncIterator[Sink]:
        """Write an object. A large one is uploaded in parts; it is there once all of them are, or they are dropped."""
        upload = _Upload(self._client, self._object(name))
        with _mapped(self._bucket):
            try:
                yield upload
                await upload.finish()
            except BaseException:
                # Also where the command is interrupted: parts that nobody names any more are paid for.
                await asyncio.shield(upload.abort())
                raise

    def _object(self, name: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": f"{self._prefix}{name}"}

    async def _unless_missing(self, call: Awaitable[Any]) -> Any:
        with _mapped(self._bucket):
            try:
                return await call
            except ClientError as error:
                if error.response["Error"]["Code"] in _MISSING:
                    return None
                raise


class _Upload:
    """One object, in parts if it is larger than one."""

    def __init__(self, client: Any, named: dict[str, str]) -> None:
        self._client = client
        self._named = named
        self._content = bytearray()
        self._id = ""
        self._parts: list[dict[str, Any]] = []

    async def write(self, content: bytes) -> None:
        """Add the next piece; upload a part when there is enough for one."""
        self._content += content
        while len(self._content) >= PART_BYTES:
            await self._upload(bytes(self._content[:PART_BYTES]))
            del self._content[:PART_BYTES]

    async def finish(self) -> None:
        """Upload the rest."""
        if not self._id:
            await self._client.put_object(**self._named, Body=bytes(self._content))
            return
        if self._content:
            await self._upload(bytes(self._content))
        await self._client.complete_multipart_upload(
            **self._named, UploadId=self._id, MultipartUpload={"Parts": self._parts}
        )

    async def abort(self) -> None:
        """Drop what is uploaded."""
        if self._id:
            try:
                await self._client.abort_multipart_upload(**self._named, UploadId=self._id)
            except (BotoCoreError, ClientError):
                # The error that led here says more. The bucket's lifecycle rule drops the parts.
                return

    async def _upload(self, part: bytes) -> None:
        if not self._id:
            self._id = (await self._client.create_multipart_upload(**self._named))["UploadId"]
        number = len(self._parts) + 1
        done = await self._client.upload_part(**self._named, UploadId=self._id, PartNumber=number, Body=part)
        # S3 wants the checksums that botocore has sent with the parts once more, at the end.
        sums = {name: value for name, value in done.items() if name.startswith("Checksum") and name != "ChecksumType"}
        self._parts.append({"PartNumber": number, "ETag": done["ETag"], **sums})


@asynccontextmanager
async def s3_target(url: str) -> AsyncIterator[S3Target]:
    """Open the target of a URL such as `s3://bucket/prefix`. Raises TargetError."""
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    prefix = prefix.strip("/")
    async with AsyncExitStack() as stack:
        with _mapped(bucket):
            config = AioConfig(retries={"total_max_attempts": TRIES, "mode": "standard"})
            try:
                client = await stack.enter_async_context(AioSession().create_client("s3", config=config))
            except ValueError as error:
                # Such as an endpoint that is none.
                raise TargetError(f"S3: {error}") from error
        yield S3Target(client, bucket, f"{prefix}/" if prefix else "")


@contextmanager
def _mapped(bucket: str) -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise TargetError(f"S3 bucket {bucket}: {error}") from error
