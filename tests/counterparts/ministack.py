"""ministack (https://pypi.org/project/ministack): SQS with correct FIFO queues, and IAM that is enforced."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from uuid import uuid4

from tests.counterparts.emulator import Emulator


class Ministack(Emulator):
    """One ministack that verifies keys, signatures and policies."""

    name = "ministack"
    health_path = "/_ministack/ready"
    reset_path = "/_ministack/reset"

    @classmethod
    def command(cls) -> Sequence[str]:
        return ("ministack",)

    @classmethod
    def settings(cls) -> Mapping[str, str]:
        return {
            "AUTH": "true",
            "GATEWAY_PORT": "{port}",
            "BIND_HOST": "127.0.0.1",
            "SERVICES": "sqs,iam,sts,s3",
            "LOG_LEVEL": "WARNING",
            "S3_DATA_DIR": "{folder}/s3",
        }

    def create_role(self, trusted: Mapping[str, object], *actions: str) -> str:
        """The ARN of a new role that may do this; `trusted` is the condition of its trust policy."""
        iam, name = self.client("iam"), f"role-{uuid4().hex}"
        statement = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole", "Condition": trusted}
        trust = {"Version": "2012-10-17", "Statement": [statement]}
        made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]
        policy = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}],
        }
        iam.put_role_policy(RoleName=name, PolicyName="may", PolicyDocument=json.dumps(policy))
        return str(made["Arn"])

    def create_user(self, *actions: str) -> tuple[str, str]:
        """The keys of a new user who may do this, and nothing else."""
        iam, name = self.client("iam"), f"user-{uuid4().hex}"
        iam.create_user(UserName=name)
        if actions:
            policy = {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}],
            }
            iam.put_user_policy(UserName=name, PolicyName="may", PolicyDocument=json.dumps(policy))
        made = iam.create_access_key(UserName=name)["AccessKey"]
        return made["AccessKeyId"], made["SecretAccessKey"]
