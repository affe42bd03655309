"""`edw secrets rotate`, as an operator follows its three steps."""

from cryptography.fernet import Fernet

from tests.fleet.edw_command import Edw

KEY = "whsec_" + "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"


def create(edw: Edw, secret: str) -> str:
    body = (
        '{"name": "ERP", "observes": ["order.paid"], "configuration": '
        f'{{"url": "http://localhost/", "secret_key": "{secret}", "signing_keys": ["{KEY}"]}}}}'
    )
    made = edw("integrations", "create", "--file", "-", "--json", stdin=body.encode())
    assert made.code == 0, made.err
    return str(made.json["data"]["id"])


def test_secrets_are_sealed_with_a_new_key_and_the_old_one_can_go(
    redis_url: str, edw: Edw, environment: dict[str, str]
) -> None:
    old, new = environment["EDW_SECRETS_KEYS"], Fernet.generate_key().decode()
    ids = [create(edw, f"the-secret-of-{n}") for n in range(3)]
    signed = edw(
        *(
            "integrations",
            "create",
            "--name",
            "open",
            "--observes",
            "order.paid",
            "--url",
            "http://localhost/",
            "--json",
        )
    ).json["data"]["id"]
    (made,) = edw("integrations", "rotate-keys", signed, "--json").json["data"]
    newest, older = edw("integrations", "rotate-keys", signed, "--overlap", "1h", "--json").json["data"]
    assert older["public_key"] == made["public_key"] != newest["public_key"]
    assert made["public_key"] in edw("integrations", "keys", signed).out

    both = {"EDW_SECRETS_KEYS": f"{new} {old}"}
    planned = edw("secrets", "rotate", "--dry-run", "--json", **both)
    assert (planned.code, planned.json) == (0, {"renewed": 4, "already": 0, "closed": [], "dry_run": True})
    done = edw("secrets", "rotate", **both)
    assert (done.code, done.out) == (0, "4 were sealed anew with the newest key; 0 already were\n")
    again = edw("secrets", "rotate", "--json", **both).json
    assert (again["renewed"], again["already"]) == (0, 4)

    for each in ids:
        shown = edw("integrations", "show", each, "--json", EDW_SECRETS_KEYS=new).json["data"]["configuration"]
        assert shown["secret_key"] == "***********of-" + str(ids.index(each))
        assert shown["signing_keys"][0].endswith(KEY[-4:])
    assert edw("secrets", "rotate", EDW_SECRETS_KEYS=new).code == 0
    assert edw("integrations", "delete-keys", signed).out.startswith("no signing keys")


def test_secrets_that_no_key_opens_are_named_and_left(redis_url: str, edw: Edw) -> None:
    identity = create(edw, "secret")
    other = Fernet.generate_key().decode()
    failed = edw("secrets", "rotate", EDW_SECRETS_KEYS=other)
    assert failed.code == 1
    assert identity in failed.err
    assert "secret_key" in edw("integrations", "show", identity).out


def test_without_a_key_nothing_can_be_sealed(redis_url: str, edw: Edw) -> None:
    failed = edw("secrets", "rotate", EDW_SECRETS_KEYS="")
    assert failed.code == 1
    assert "EDW_SECRETS_KEYS" in failed.err
