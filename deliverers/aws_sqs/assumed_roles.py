"""Roles that integrations name in place of keys: assumed at STS with the deployment's own credentials.

The store's id is the ExternalId of each call, so that a role's owner can let this deployment in for one store alone
(https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html). The credentials of a role are kept for their
lives, and never shared between tenants.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from deliverers.answers import printable
from deliverers.aws_sqs.clients import loaded_session
from deliverers.aws_sqs.transport import AwsRequest, body_of, headers_of, session_class
from deliverers.contract import DelivererOptions, Delivery, NotAttempted, Unreachable
from deliverers.exhaustion import exhausted
from deliverers.http import USER_AGENT, HttpAnswer, HttpSender, HttpTarget, RequestHead
from deliverers.renewed_values import Fetched, RenewedValues

#: Seconds for which credentials are asked for: the most that a role allows that was assumed by another role.
CREDENTIALS_SECONDS = 3600
#: The ExternalId where events name neither a store nor an organisation: a deployment for a single store.
SINGLE_STORE = "single-store"

_EXTERNAL_ID = re.compile(r"[\w+=,.@:/-]{2,1224}", re.ASCII)
_NOT_IN_A_NAME = re.compile(r"[^\w+=,.@-]", re.ASCII)
_LONGEST_NAME = 64
_OUR_CREDENTIALS = "this deployment's own AWS credentials are not valid"
#: By the codes of STS.
_WORDS = {
    "ExpiredToken": "this deployment's own AWS credentials have expired",
    "ExpiredTokenException": "this deployment's own AWS credentials have expired",
    "InvalidClientTokenId": _OUR_CREDENTIALS,
    "UnrecognizedClientException": _OUR_CREDENTIALS,
    "SignatureDoesNotMatch": _OUR_CREDENTIALS,
    "RegionDisabledException": "STS is not active in the queue's region",
    "ValidationError": "STS does not take it as the ARN of a role",
    "NoSuchEntity": "the role does not exist",
}

RoleFailure = Unreachable | NotAttempted


class RoleCredentials(NamedTuple):
    """Temporary credentials of a role."""

    access_key_id: str
    secret_access_key: str
    session_token: str

    def __repr__(self) -> str:
        return "RoleCredentials(********)"


class RoleGrant(NamedTuple):
    """A role, as one tenant assumes it."""

    tenant: str
    role_arn: str
    external_id: str
    region: str


def grant_of(delivery: Delivery, role_arn: str, region: str) -> RoleGrant:
    """Return the grant for a delivery: of an organisation, the ExternalId says so, as a store may have the same id."""
    if delivery.store_id is not None:
        external_id = delivery.store_id
    else:
        external_id = SINGLE_STORE if delivery.org_id is None else f"organization:{delivery.org_id}"
    return RoleGrant(delivery.tenant, role_arn, external_id, region)


class AssumedRoles:
    """The credentials of roles in a process."""

    def __init__(self, options: DelivererOptions) -> None:
        self._options = options
        self._sender: HttpSender | None = None
        self._credentials: RenewedValues[RoleGrant, RoleCredentials, RoleFailure] = RenewedValues()
        #: A client of STS for each region, made on first use.
        self._clients: dict[str, Any] = {}
        self._opening = asyncio.Lock()

    def open(self, sender: HttpSender) -> None:
        """Use a sender, which the caller closes."""
        self._sender = sender

    async def close(self) -> None:
        """End what is under way."""
        self._sender = None
        await self._credentials.close()
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.close()

    async def credentials(self, grant: RoleGrant, timeout: float) -> RoleCredentials | RoleFailure:
        """Return a role's credentials, or the outcome of an attempt without them."""
        if not self._options.aws_credentials:
            return _none(grant, "this deployment assumes no roles (EDW_AWS_CREDENTIALS)")
        if not _EXTERNAL_ID.fullmatch(grant.external_id):
            return _none(grant, "the store's id cannot be an ExternalId (2 to 1224 letters, digits and +=,.@:/-)")
        try:
            async with asyncio.timeout(timeout):
                return await self._credentials.get(grant, partial(self._assume, grant))
        except TimeoutError:
            return _none(grant, f"no answer within {timeout:.3g} s")

    def drop(self, grant: RoleGrant, credentials: RoleCredentials) -> None:
        """Forget credentials that SQS refused."""
        self._credentials.drop(grant, credentials)

    async def _assume(self, grant: RoleGrant) -> Fetched[RoleCredentials] | RoleFailure:
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
        from botocore.parsers import ResponseParserError

        try:
            client = await self._client(grant.region)
            answer = await client.assume_role(
                RoleArn=grant.role_arn,
                RoleSessionName=_NOT_IN_A_NAME.sub("-", f"edw-{grant.external_id}")[:_LONGEST_NAME],
                ExternalId=grant.external_id,
                DurationSeconds=CREDENTIALS_SECONDS,
            )
            found = answer["Credentials"]
            made = RoleCredentials(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])
        except _UnansweredError as error:
            outcome = error.outcome
            if isinstance(outcome, NotAttempted):
                return outcome
            return Unreachable(_none(grant, outcome.reason).reason, outcome.detail)
        except ClientError as error:
            return _none(grant, _refusal(str(error.response.get("Error", {}).get("Code", "")), grant))
        except NoCredentialsError:
            return _none(grant, "this deployment has no AWS credentials of its own")
        except (BotoCoreError, ResponseParserError, KeyError, ValueError) as error:
            return _none(grant, f"the deployment's credentials, or the answer, cannot be used ({type(error).__name__})")
        except OSError as error:
            # botocore could not read its files.
            return exhausted(error) or _none(grant, "the deployment's AWS credentials cannot be read")
        return Fetched(made, CREDENTIALS_SECONDS)

    async def _client(self, region: str) -> Any:
        async with self._opening:
            if region not in self._clients:
                load = partial(loaded_session, "sts", session_class(self._send), USER_AGENT, from_environment=True)
                session, config = await asyncio.to_thread(load)
                endpoint = self._options.sts_endpoint
                context = session.create_client("sts", region_name=region, endpoint_url=endpoint, config=config)
                self._clients[region] = await context.__aenter__()
        return self._clients[region]

    async def _send(self, request: AwsRequest) -> Any:
        sender = self._sender
        if sender is None:
            raise RuntimeError("send() needs open() first")
        head = RequestHead(request.method, HttpTarget.of(request.url), headers_of(request))
        # It is the deployment's own server, which no tenant chose.
        answer = await sender.exchange(head, {}, body_of(request), tenant="STS", alias="STS")
        if not isinstance(answer, HttpAnswer):
            raise _UnansweredError(answer)
        if answer.broken:
            raise _UnansweredError(Unreachable(f"STS answered, but {answer.broken}"))
        return _StsAnswer(answer)


class _UnansweredError(Exception):
    """No answer came; the outcome says why."""

    def __init__(self, outcome: RoleFailure) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


class _StsAnswer:
    """An answer as botocore reads it."""

    raw = None

    def __init__(self, answer: HttpAnswer) -> None:
        self.status_code = answer.status
        self.headers: Mapping[str, str] = answer.headers
        self._body = answer.body

    @property
    async def content(self) -> bytes:
        return self._body


def _none(grant: RoleGrant, why: str) -> Unreachable:
    return Unreachable(f"no credentials of {grant.role_arn} (STS): {why}")


def _refusal(code: str, grant: RoleGrant) -> str:
    if code in ("AccessDenied", "AccessDeniedException"):
        return (
            "access denied: the role's trust policy must name this deployment's principal"
            f" and allow the ExternalId {grant.external_id}"
        )
    return _WORDS.get(code, f"STS refused ({printable(code, 60) or 'without a code'})")
