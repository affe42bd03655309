"""The manifests: rendered by kubectl, and held against Kubernetes' schemas, KEDA's and the Prometheus operator's."""

from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # its stubs are another package
import kubernetes_validate
import pytest
import yaml

from config.units import seconds
from deliverers.egress import EgressPolicy
from tests.integration.deploy.documents import DEPLOY, OVERLAYS, Document, of_kind, overlay, workloads

#: The oldest version of Kubernetes that the manifests are for, and the newest that the schemas know.
VERSIONS = ("1.30", "1.37")
SCHEMAS = Path(__file__).with_name("schemas")
DEFINITIONS = {
    "ScaledObject": "keda.sh_scaledobjects.yaml",
    "PodMonitor": "monitoring.coreos.com_podmonitors.yaml",
}
PODS = [(name, each) for name in OVERLAYS for each in workloads(name)]
OURS = ("edw-worker", "edw-api")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", OVERLAYS)
def test_every_object_is_what_its_schema_says(name: str, version: str) -> None:
    for document in overlay(name):
        if document["kind"] not in DEFINITIONS:
            kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_a_custom_resource_is_what_its_definition_says(kind: str) -> None:
    (document,) = of_kind("production", kind).values()
    definition = yaml.safe_load((SCHEMAS / DEFINITIONS[kind]).read_text())
    group, version = document["apiVersion"].split("/")

    assert definition["spec"]["group"] == group
    (schema,) = (
        each["schema"]["openAPIV3Schema"] for each in definition["spec"]["versions"] if each["name"] == version
    )
    jsonschema.Draft202012Validator(_closed(schema)).validate(document)


def test_a_field_that_a_definition_does_not_know_is_noticed() -> None:
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"known": {}}}}}

    jsonschema.Draft202012Validator(_closed(schema)).validate({"spec": {"known": 1}})
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(_closed(schema)).validate({"spec": {"unknown": 1}})


@pytest.mark.parametrize(("name", "pod"), PODS)
def test_a_pod_is_restricted(name: str, pod: str) -> None:
    spec = workloads(name)[pod]

    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    for container in spec["containers"]:
        rights = container["securityContext"]
        assert rights["allowPrivilegeEscalation"] is False
        assert rights["readOnlyRootFilesystem"] is True
        assert rights["capabilities"] == {"drop": ["ALL"]}
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container)
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}
        assert set(container["resources"]["limits"]) == {"memory"}


@pytest.mark.parametrize("name", OVERLAYS)
def test_namespaces_admit_restricted_pods_alone(name: str) -> None:
    (namespace,) = of_kind(name, "Namespace").values()

    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize(("name", "pod"), PODS)
def test_a_service_sets_no_variable_in_a_pod(name: str, pod: str) -> None:
    # That of a service named edw-api would be EDW_API_PORT=tcp://…, which is no port.
    assert workloads(name)[pod]["enableServiceLinks"] is False


@pytest.mark.parametrize("pod", OURS)
@pytest.mark.parametrize("name", OVERLAYS)
def test_who_was_asked_to_stop_has_the_time_to_drain(name: str, pod: str, stop_seconds: float) -> None:
    spec = workloads(name)[pod]
    (container,) = spec["containers"]
    pause = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)

    assert spec["terminationGracePeriodSeconds"] >= stop_seconds + pause
    assert _settings(name)["EDW_DRAIN_SECONDS"] == "30s"


def test_the_api_is_asked_until_everybody_knows_that_it_stops() -> None:
    (container,) = workloads("production")["edw-api"]["containers"]

    # It ends before the signal comes, so requests are answered while proxies forget this pod.
    assert container["lifecycle"]["preStop"]["sleep"]["seconds"] >= 5


def test_the_probes_ask_what_the_processes_serve() -> None:
    (worker,) = workloads("production")["edw-worker"]["containers"]
    (api,) = workloads("production")["edw-api"]["containers"]

    for container, port in ((worker, "metrics"), (api, "http")):
        assert container["startupProbe"]["httpGet"] == {"path": "/healthz", "port": port}
        assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": port}
        assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": port}


@pytest.mark.parametrize("name", OVERLAYS)
def test_each_of_ours_has_a_disruption_budget_and_keeps_apart(name: str) -> None:
    budgets = of_kind(name, "PodDisruptionBudget")
    deployments = of_kind(name, "Deployment")

    for each in OURS:
        selector = deployments[each]["spec"]["selector"]
        labels = deployments[each]["spec"]["template"]["metadata"]["labels"]
        assert budgets[each]["spec"]["selector"] == selector
        assert selector["matchLabels"].items() <= labels.items()
        spread = workloads(name)[each]["topologySpreadConstraints"]
        assert {each["topologyKey"] for each in spread} == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
        assert all(constraint["labelSelector"] == selector for constraint in spread)


def test_the_number_of_workers_is_nobodys_but_kedas() -> None:
    (scaled,) = of_kind("production", "ScaledObject").values()
    deployments = of_kind("production", "Deployment")

    assert scaled["spec"]["scaleTargetRef"]["name"] in deployments
    assert "replicas" not in deployments["edw-worker"]["spec"]
    assert of_kind("trial", "Deployment")["edw-worker"]["spec"]["replicas"] == 2


def test_workers_are_scaled_by_lateness_and_backlog() -> None:
    (scaled,) = of_kind("production", "ScaledObject").values()
    (namespace,) = of_kind("production", "Namespace")
    triggers = {each["name"]: each for each in scaled["spec"]["triggers"]}

    # How late the fleet is does not fall to each worker in part, so it is no average.
    assert triggers["oldest-due-age"]["metricType"] == "Value"
    assert "edw_oldest_due_age_seconds" in triggers["oldest-due-age"]["metadata"]["query"]
    assert triggers["backlog"]["metricType"] == "AverageValue"
    assert "edw_jobs_due" in triggers["backlog"]["metadata"]["query"]
    for trigger in triggers.values():
        query = trigger["metadata"]["query"]
        # One process at a time reports them: a sum would count an old report and a new one.
        assert "sum(" not in query
        assert query.count("max(") == query.count("edw_") == query.count(f'{{namespace="{namespace}"}}')
        # No answer is no zero, which would send workers home.
        assert trigger["metadata"]["ignoreNullValues"] == "false"


@pytest.mark.parametrize("name", OVERLAYS)
def test_nothing_goes_in_or_out_unless_a_policy_names_it(name: str) -> None:
    policies = of_kind(name, "NetworkPolicy")
    deny = policies["edw-deny"]["spec"]

    assert deny["policyTypes"] == ["Ingress", "Egress"]
    assert not {"ingress", "egress"} & set(deny)
    for each in OURS:
        labels = of_kind(name, "Deployment")[each]["spec"]["template"]["metadata"]["labels"]
        assert deny["podSelector"]["matchLabels"].items() <= labels.items()


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254", "169.254.170.2", "168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254",
        "10.96.0.1", "172.17.0.1", "192.168.1.1", "100.64.0.1", "127.0.0.1", "0.0.0.0", "198.18.0.1", "224.0.0.1",
        "255.255.255.255", "::1", "fe80::1", "fc00::1", "ff02::1", "2001::1", "2002:a00:1::1", "64:ff9b:1::a00:1",
    ],
)  # fmt: skip
def test_receivers_may_not_be_where_no_deliverer_would_dial(address: str) -> None:
    assert EgressPolicy().refusal(address) is not None
    assert not _reached(address)


@pytest.mark.parametrize("address", ["93.184.215.14", "1.1.1.1", "172.32.0.1", "2606:2800:21f::1"])
def test_receivers_may_be_on_the_internet(address: str) -> None:
    assert EgressPolicy().refusal(address) is None
    assert _reached(address)


def test_names_redis_and_the_broker_are_let_through() -> None:
    production, trial = (of_kind(name, "NetworkPolicy") for name in ("production", "trial"))

    dns = production["edw-dns"]["spec"]["egress"][0]["ports"]
    assert {(each["protocol"], each["port"]) for each in dns} == {("UDP", 53), ("TCP", 53)}
    assert {each["port"] for each in production["edw-to-redis-and-rabbitmq"]["spec"]["egress"][0]["ports"]} == {
        6379,
        5671,
    }
    assert trial["edw-to-redis"]["spec"]["egress"][0]["ports"] == [{"protocol": "TCP", "port": "redis"}]


def test_a_history_adds_its_secrets_and_the_way_to_postgresql_and_nothing_else() -> None:
    added = {each["metadata"]["name"]: each for each in overlay("history") if each not in overlay("production")}

    assert set(added) == {"edw-worker", "edw-api", "edw-to-postgres"}
    for pod, role in (("edw-worker", "writer"), ("edw-api", "reader")):
        (container,) = workloads("history")[pod]["containers"]
        (before,) = workloads("production")[pod]["containers"]
        secret = {"secretRef": {"name": f"edw-history-{role}"}}
        assert container == before | {"envFrom": [*before["envFrom"], secret]}, "it has the rights that it needs"
        roles = (DEPLOY / "postgres-roles.sql").read_text()
        example = (DEPLOY / "kubernetes/overlays/history/history-secrets.env.example").read_text()
        assert f"CREATE ROLE edw_{role} LOGIN" in roles
        assert f"EDW_HISTORY_URL=postgresql://edw_{role}:" in example
        assert f"edw-history-{role} --from-env-file" in example
    policy = added["edw-to-postgres"]["spec"]
    assert policy["podSelector"] == of_kind("production", "NetworkPolicy")["edw-deny"]["spec"]["podSelector"]
    assert policy["egress"][0]["ports"] == [{"protocol": "TCP", "port": 5432}]


def test_the_redis_inside_a_cluster_has_what_redis_conf_says() -> None:
    (container,) = workloads("trial")["edw-redis"]["containers"]
    words = container["args"]
    given = {words[i].removeprefix("--"): words[i + 1] for i in range(0, len(words), 2)}
    asked = dict(
        line.partition(" ")[::2]
        for line in (Path(__file__).parents[3] / "deploy/redis.conf").read_text().splitlines()
        if line and not line.startswith("#")
    )

    # It has less memory.
    assert given.keys() - {"dir", "protected-mode"} == asked.keys()
    for name in asked.keys() - {"save", "maxmemory"}:
        assert given[name] == asked[name]
    assert given["save"] == asked["save"].strip('"')
    # It fits into its pod.
    assert given["maxmemory"] == "1gb"
    assert container["resources"]["limits"]["memory"] == "1536Mi"


def test_settings_are_read_from_the_map_and_secrets_from_the_secret() -> None:
    for name in OVERLAYS:
        (settings,) = (each for each in of_kind(name, "ConfigMap"))
        for pod in OURS:
            (container,) = workloads(name)[pod]["containers"]
            first, *secrets = container["envFrom"]
            assert first == {"configMapRef": {"name": settings}}
            assert all(each["secretRef"]["name"].startswith("edw") for each in secrets)
            assert len(secrets) == (2 if name == "history" else 1)
        assert "EDW_SECRETS_KEYS" not in _settings(name)
        assert seconds(_settings(name)["EDW_DRAIN_SECONDS"]) == 30


def _reached(address: str) -> bool:
    """Whether the policy for receivers lets an address through."""
    rules = of_kind("production", "NetworkPolicy")["edw-receivers"]["spec"]["egress"]
    blocks = [peer["ipBlock"] for rule in rules for peer in rule["to"]]
    found = ip_address(address)
    return any(
        found in ip_network(block["cidr"]) and not any(found in ip_network(each) for each in block["except"])
        for block in blocks
    )


def _settings(name: str) -> dict[str, str]:
    (found,) = of_kind(name, "ConfigMap").values()
    return dict(found["data"])


def _closed(schema: Any) -> Any:
    """A definition's schema that refuses fields which it does not name, as `kubectl --validate=strict` does."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made: Document = {name: _closed(each) for name, each in schema.items()}
    open_ended = made.get("x-kubernetes-preserve-unknown-fields") or made.get("additionalProperties")
    # `metadata` is Kubernetes' own.
    if isinstance(made.get("properties"), dict) and not open_ended:
        made["additionalProperties"] = False
        if "metadata" in made["properties"] and "spec" in made["properties"]:
            made["properties"]["metadata"] = {"type": "object"}
    return made
