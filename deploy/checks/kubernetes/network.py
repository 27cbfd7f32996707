"""The NetworkPolicies against the connections that are needed: each of those is let through, and no policy lets through
what nothing needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

from deploy.checks.fault import Fault
from deploy.checks.kubernetes.flows import NAMESPACE, End, Flow, UnknownHostError, end_of, needed
from deploy.checks.kubernetes.references import selects
from deploy.checks.kubernetes.rendered import Manifest
from deploy.checks.kubernetes.workloads import Pod, pods

Given = Mapping[str, Any]
WAYS = {"Ingress": ("ingress", "from"), "Egress": ("egress", "to")}


@dataclass(frozen=True)
class Rule:
    """One rule of a policy, in one direction."""

    policy: Manifest
    direction: str
    given: Given

    def is_of(self, pod: End) -> bool:
        return selects(self.policy.spec["podSelector"], pod.labels)

    def lets(self, peer: End, flow: Flow) -> bool:
        """Whether it lets a flow through whose other end is ``peer``."""
        ports = self.given.get("ports")
        through = ports is None or any(
            each["port"] == flow.port and each.get("protocol", "TCP") == flow.protocol for each in ports
        )
        peers = self.given.get(WAYS[self.direction][1])
        return through and (peers is None or any(_is_one_of(peer, each) for each in peers))


def faults(manifests: Sequence[Manifest]) -> Iterator[Fault]:
    policies = [manifest for manifest in manifests if manifest.kind == "NetworkPolicy"]
    if not any(_denies_all(policy) for policy in policies):
        [namespace] = [manifest for manifest in manifests if manifest.kind == "Namespace"]
        yield namespace.fault("no NetworkPolicy denies everything, to every pod and in both directions")
    try:
        flows = list(needed(manifests))
    except UnknownHostError as error:
        yield error.fault
        return
    rules = [rule for policy in policies for rule in _rules(policy)]
    for flow in flows:
        yield from _missing(flow, rules)
    yield from _unneeded(rules, flows, manifests)


def _denies_all(policy: Manifest) -> bool:
    return policy.spec == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def _rules(policy: Manifest) -> Iterator[Rule]:
    for direction in policy.spec["policyTypes"]:
        for given in policy.spec.get(WAYS[direction][0], []):
            yield Rule(policy, direction, given)


def _is_one_of(end: End, peer: Given) -> bool:
    if block := peer.get("ipBlock"):
        inside = bool(end.address) and ip_address(end.address) in ip_network(block["cidr"])
        return inside and not any(ip_address(end.address) in ip_network(each) for each in block.get("except", []))
    if end.address:
        return False
    spaces = peer.get("namespaceSelector")
    named = {"kubernetes.io/metadata.name": end.namespace}
    here = end.namespace == NAMESPACE if spaces is None else selects(spaces, named)
    return here and selects(peer.get("podSelector", {}), end.labels)


def _ends(flow: Flow) -> Iterator[tuple[str, End, End]]:
    """Each direction in which a policy of ours decides: the pod that it is of, and the other end."""
    if flow.source.namespace == NAMESPACE:
        yield "Egress", flow.source, flow.target
    if flow.target.namespace == NAMESPACE:
        yield "Ingress", flow.target, flow.source


def _uses(rule: Rule, flow: Flow) -> bool:
    return any(
        direction == rule.direction and rule.is_of(pod) and rule.lets(peer, flow)
        for direction, pod, peer in _ends(flow)
    )


def _missing(flow: Flow, rules: Sequence[Rule]) -> Iterator[Fault]:
    for direction, pod, peer in _ends(flow):
        if not any(rule.direction == direction and rule.is_of(pod) and rule.lets(peer, flow) for rule in rules):
            way = f"out to {_shown(peer)}" if direction == "Egress" else f"in to {_shown(pod)}"
            yield flow.of.fault(f"{flow.why}: no NetworkPolicy lets it {way}, port {flow.port}", "labels")


def _unneeded(rules: Sequence[Rule], flows: Sequence[Flow], manifests: Sequence[Manifest]) -> Iterator[Fault]:
    used = [(rule, flow) for rule in rules for flow in flows if _uses(rule, flow)]
    for rule in rules:
        if not any(rule is each for each, _ in used):
            yield rule.policy.fault("it lets through what nothing needs", f"{WAYS[rule.direction][0]}:")
    for pod in pods(manifests):
        for name in _out_of(pod, rules):
            if not any(rule.policy.name == name and flow.source == end_of(pod) for rule, flow in used):
                yield pod.fault(
                    f"its labels let it through the NetworkPolicy {name}, and nothing of it connects there", "labels"
                )


def _out_of(pod: Pod, rules: Sequence[Rule]) -> list[str]:
    """The policies that let these pods out by their labels. One for all pods says nothing of these."""
    chosen = [rule.policy for rule in rules if rule.direction == "Egress" and rule.is_of(end_of(pod))]
    return sorted({policy.name for policy in chosen if policy.spec["podSelector"]})


def _shown(end: End) -> str:
    return end.address or end.labels.get("app.kubernetes.io/name") or end.namespace
