"""The chart as Helm renders it: valid to the letter, closed pods, and a network with the edges of the architecture and no other."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster.kit import CHART, KIT, ROOT, tool

from petitbleu_dev.services import CALLS, USES_REDIS

sys.path.insert(0, str(ROOT / "tools"))
import chart_values

Manifest = dict[str, Any]
VARIANTS = ("values.yaml", "values-small.yaml", "values-production.yaml", "values-scale.yaml")


@cache
def rendered(values: str) -> str:
    """What Helm makes of the chart with a file of values."""
    command = [tool("helm"), "template", "mail", str(CHART), "--namespace", "mail", "--values", str(CHART / values)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def manifests(values: str, kind: str) -> dict[str, Manifest]:
    """Objects of a kind by name."""
    found = [each for each in yaml.safe_load_all(rendered(values)) if each and each["kind"] == kind]
    return {each["metadata"]["name"]: each for each in found}


def pods(values: str) -> dict[str, Manifest]:
    """Pod template of everything that runs pods."""
    return {
        name: each["spec"]["template"]
        for kind in ("Deployment", "StatefulSet", "Job")
        for name, each in manifests(values, kind).items()
    }


@pytest.mark.parametrize("values", VARIANTS)
def test_helm_finds_nothing_to_say(values: str) -> None:
    command = [tool("helm"), "lint", "--strict", str(CHART), "--values", str(CHART / values)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("values", VARIANTS)
def test_every_object_is_valid_to_the_letter(values: str) -> None:
    tool("kubeconform")
    if not KIT.is_file():
        pytest.skip("the schemas of Kubernetes are the cluster kit's")
    done = subprocess.run(
        [KIT, "validate", "-skip", "ScaledObject"], input=rendered(values), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "wrong",
    ["mail.hostnam=x", "services.ingest.replicas=many", "expose.smtp.type=Loadbalancer", "tsl.existingSecret=x"],
)
def test_a_slip_of_the_pen_in_the_values_is_refused(wrong: str) -> None:
    done = subprocess.run(
        [tool("helm"), "template", "mail", str(CHART), "--set", wrong], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "values don't meet the specifications" in done.stderr


@pytest.mark.parametrize("values", VARIANTS)
def test_pods_are_of_the_restricted_standard_and_have_no_token(values: str) -> None:
    for name, pod in pods(values).items():
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is (name == "mail-keys"), name
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not any("hostPath" in volume for volume in spec["volumes"])
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]
            assert container["resources"]["requests"]["cpu"]


def _parts(peers: list[Manifest]) -> set[str]:
    return {
        peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for peer in peers if "podSelector" in peer
    }


def _reaches(values: str, port: int) -> dict[str, set[str]]:
    """Each part → the parts that its egress opens on a port."""
    policies = manifests(values, "NetworkPolicy")
    return {
        name.removeprefix("mail-"): {
            part
            for rule in policy["spec"].get("egress", [])
            if port in {each["port"] for each in rule["ports"]}
            for part in _parts(rule.get("to", []))
        }
        for name, policy in policies.items()
    }


def _reached_by(values: str, port: int) -> dict[str, set[str]]:
    """Each part → the parts that its ingress lets in on a port."""
    policies = manifests(values, "NetworkPolicy")
    return {
        name.removeprefix("mail-"): {
            part
            for rule in policy["spec"].get("ingress", [])
            if port in {each["port"] for each in rule["ports"]}
            for part in _parts(rule.get("from", []))
        }
        for name, policy in policies.items()
    }


def test_services_reach_whom_the_architecture_lets_them_and_nobody_else() -> None:
    reaches, reached = _reaches("values.yaml", 9000), _reached_by("values.yaml", 9000)
    for service, called in CALLS.items():
        assert reaches[service] == set(called), service
        assert reached[service] == {caller for caller, calls in CALLS.items() if service in calls}, service


def test_each_service_reaches_its_backends_and_no_other() -> None:
    everyone = set(CALLS)
    expected = {
        5432: ("postgres", (everyone - {"ingest", "gateway"}) | {"seaweedfs"}),
        4222: ("nats", everyone),
        6379: ("redis", set(USES_REDIS)),
        8333: ("seaweedfs", {"store"}),
    }
    for port, (backend, callers) in expected.items():
        assert {part for part, to in _reaches("values.yaml", port).items() if backend in to} == callers, backend
        assert _reached_by("values.yaml", port)[backend] == callers, backend


def test_what_no_edge_opens_is_closed() -> None:
    policies = manifests("values.yaml", "NetworkPolicy")
    nothing = policies["mail-nothing"]["spec"]
    assert nothing["policyTypes"] == ["Ingress", "Egress"]
    assert not nothing.get("ingress")
    assert not nothing.get("egress")
    assert (
        nothing["podSelector"]["matchLabels"].items() <= pods("values.yaml")["mail-store"]["metadata"]["labels"].items()
    )
    for name in pods("values.yaml"):
        assert policies[name]["spec"]["policyTypes"] == ["Ingress", "Egress"]


def test_only_delivery_and_the_gateway_reach_outside_and_no_private_network() -> None:
    outside = {}
    for name, policy in manifests("values.yaml", "NetworkPolicy").items():
        for rule in policy["spec"].get("egress", []):
            blocks = [peer["ipBlock"] for peer in rule.get("to", []) if "ipBlock" in peer]
            if blocks:
                outside[name] = {each["port"] for each in rule["ports"]}
                assert {"10.0.0.0/8", "192.168.0.0/16", "169.254.0.0/16"} <= set(blocks[0]["except"])
    assert outside == {"mail-delivery": {25, 443}, "mail-gateway": {80, 443}}


def test_no_secret_is_in_what_helm_keeps() -> None:
    assert not manifests("values.yaml", "Secret")


def test_the_job_of_keys_reads_nothing_but_its_seed() -> None:
    rules = manifests("values.yaml", "Role")["mail-keys"]["rules"]
    readable = [rule for rule in rules if set(rule["verbs"]) & {"get", "list", "watch", "*"}]
    assert [(rule["verbs"], rule["resourceNames"]) for rule in readable] == [(["get"], ["mail-seed"])]
    assert not any("keys" in name for rule in rules for name in rule.get("resourceNames", []))


def test_every_service_has_a_budget_of_disruptions_and_is_spread() -> None:
    budgets = manifests("values.yaml", "PodDisruptionBudget")
    for name, deployment in manifests("values.yaml", "Deployment").items():
        assert budgets[name]["spec"]["selector"] == deployment["spec"]["selector"]
        assert deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]


def test_what_scales_by_itself_has_no_number_of_its_own() -> None:
    deployments = manifests("values-scale.yaml", "Deployment")
    scaled = {
        *manifests("values-scale.yaml", "HorizontalPodAutoscaler"),
        *manifests("values-scale.yaml", "ScaledObject"),
    }
    assert scaled == {"mail-ingest", "mail-gateway", "mail-delivery"}
    for name, deployment in deployments.items():
        assert ("replicas" not in deployment["spec"]) == (name in scaled)


def test_the_embedded_s3_is_ready_only_once_it_syncs() -> None:
    pod = manifests("values.yaml", "StatefulSet")["mail-seaweedfs"]["spec"]["template"]["spec"]["containers"][0]
    script = pod["readinessProbe"]["exec"]["command"][2]
    assert "-fsync=true" in script
    assert """grep -q '"fsync":true'""" in script
    postgres = manifests("values.yaml", "StatefulSet")["mail-postgres"]["spec"]["template"]["spec"]["containers"][0]
    assert {"fsync=on", "synchronous_commit=on", "full_page_writes=on"} <= set(postgres["args"])


def test_schema_and_table_follow_the_values() -> None:
    for path, text in chart_values.made().items():
        assert Path(path).read_text(encoding="utf-8") == text, f"{path.name}: run tools/chart_values.py"


def test_a_value_without_a_comment_is_refused() -> None:
    with pytest.raises(ValueError, match=r"one\.two"):
        chart_values.table("one:\n  two: 3\n")
