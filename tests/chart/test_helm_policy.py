"""What the chart's NetworkPolicy allows."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import kubernetes_validate
import pytest
from support.helm_chart import HELM_VERSIONS, feature, helm_test_of, rendered
from support.helm_render import NEWEST

from tools.pod import only


def allows(rules: list[dict[str, Any]], address: str, port: int, protocol: str = "TCP") -> bool:
    """Tell whether a policy's egress lets packets out to an address, as far as ranges go."""
    return any(
        ip_address(address) in ip_network(peer["ipBlock"]["cidr"])
        and not any(ip_address(address) in ip_network(each) for each in peer["ipBlock"].get("except", ()))
        for rule in rules
        if {"port": port, "protocol": protocol} in rule["ports"]
        for peer in rule["to"]
        if "ipBlock" in peer
    )


def test_policy_lets_out_what_is_needed() -> None:
    """Pods reach names' servers and TCP 443 outside of the cluster's ranges, by IPv4 and IPv6, and what is added."""
    policy = only(feature("network-policy"), "NetworkPolicy")["spec"]
    rules = policy["egress"]

    assert ["Ingress", "Egress"] == policy["policyTypes"]
    assert allows(rules, "203.0.113.7", 443)
    assert allows(rules, "2001:db8::7", 443)
    assert not allows(rules, "203.0.113.7", 80)
    assert not allows(rules, "10.1.2.3", 443)
    assert not allows(rules, "fd00::7", 443)
    assert allows(rules, "169.254.20.10", 53, "UDP")
    assert [{"port": 3128, "protocol": "TCP"}] == rules[-1]["ports"]


def test_policy_lets_in_who_scrapes() -> None:
    """Prometheus in any namespace and the chart's own test reach the one port, and no other pod does."""
    objects = feature("network-policy")
    [rule] = only(objects, "NetworkPolicy")["spec"]["ingress"]
    test, prometheus = rule["from"]

    assert test["podSelector"]["matchLabels"].items() <= helm_test_of(objects)["metadata"]["labels"].items()
    assert {
        "namespaceSelector": {},
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}},
    } == prometheus
    assert [{"port": "metrics", "protocol": "TCP"}] == rule["ports"]


RANGES = ["0.0.0.0/1", "10.0.0.0/8", "255.255.255.255/32", "::/1", "fd00::/8", "FE80::/10", "2001:db8::/32"]
PEERS = [
    {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}},
    {"podSelector": {}, "namespaceSelector": {"matchLabels": {"app": "dns"}}},
]
PORTS = [{"port": 8000, "endPort": 8010, "protocol": "UDP"}, {"port": "proxy-1"}, {}]


@pytest.mark.parametrize("version", HELM_VERSIONS)
def test_policy_takes_ranges_peers_and_ports(version: str) -> None:
    """Every range is left out of what its family may reach; peers and ports reach the policy as they are."""
    given = {
        "enabled": True,
        "clusterRanges": RANGES,
        "ingressFrom": PEERS,
        "dnsTo": PEERS,
        "extraEgress": [{"to": PEERS, "ports": PORTS}, {}],
    }
    policy = only(rendered(version, values={"demo": True, "networkPolicy": given}), "NetworkPolicy")
    blocks = [peer["ipBlock"] for peer in policy["spec"]["egress"][1]["to"]]

    kubernetes_validate.validate(policy, NEWEST, strict=True)
    assert ["0.0.0.0/0", "::/0"] == [block["cidr"] for block in blocks]
    assert RANGES == [each for block in blocks for each in block["except"]]
    for block in blocks:
        assert all(
            ip_network(each, strict=False).version == ip_network(block["cidr"]).version for each in block["except"]
        )
    assert PEERS == policy["spec"]["ingress"][0]["from"][1:]
    assert [{"to": PEERS, "ports": PORTS}, {}] == policy["spec"]["egress"][2:]
