"""Whom the chart's NetworkPolicy lets in and out, and what ranges it takes."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import kubernetes_validate
import pytest
from support.helm_chart import HELM_VERSIONS, feature, refused, rendered
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
    """Prometheus in any namespace and the chart's own test reach the one port, and nobody else does."""
    objects = feature("network-policy")
    [rule] = only(objects, "NetworkPolicy")["spec"]["ingress"]
    test, prometheus = rule["from"]

    assert test["podSelector"]["matchLabels"].items() <= only(objects, "Pod")["metadata"]["labels"].items()
    assert {
        "namespaceSelector": {},
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}},
    } == prometheus
    assert [{"port": "metrics", "protocol": "TCP"}] == rule["ports"]


RANGES = [
    *("0.0.0.0/1", "10.0.0.0/8", "255.255.255.255/32", "192.168.1.7/24", "::/1", "::1/128", "fd00::/8", "FE80::/10"),
    *("1:2:3:4:5:6:7:8/64", "1:2:3:4:5:6:7::/112", "1::8/96", "::2:3:4:5:6:7:8/127", "2001:db8::/32"),
]


@pytest.mark.parametrize("version", HELM_VERSIONS)
def test_policy_leaves_out_ranges_of_both_families(version: str) -> None:
    """Every range of either family is left out of what its family may reach, as a part of it, as Kubernetes demands."""
    given = {"demo": True, "networkPolicy": {"enabled": True, "clusterRanges": RANGES}}
    policy = only(rendered(version, values=given), "NetworkPolicy")
    blocks = [peer["ipBlock"] for peer in policy["spec"]["egress"][1]["to"]]

    assert ["0.0.0.0/0", "::/0"] == [block["cidr"] for block in blocks]
    assert RANGES == [each for block in blocks for each in block["except"]]
    for block in blocks:
        assert all(
            ip_network(each, strict=False).version == ip_network(block["cidr"]).version for each in block["except"]
        )
        assert all(ip_network(each, strict=False).prefixlen > 0 for each in block["except"])


@pytest.mark.parametrize(
    "wrong",
    [
        *("0.0.0.0/0", "::/0", "10.0.0.0/33", "10.0.0.0/08", "fd00::/129", "fd00::/0", "10.0.0.0", "fd00::", "10.0/8"),
        *("10.0.0.256/8", "010.0.0.0/8", "10.0.0.0.0/8", "1:2:3:4:5:6:7/64", "1::2::3/64", "12345::/16", "g::/8"),
        *("...:/8", "1:2:3:4:5:6:7:8:9/64", "::1:2:3:4:5:6:7:8/64", "10.0.0.0/8 ", "10.0.0.0/8\n", "/8", ""),
    ],
)
def test_range_that_is_none_is_refused(wrong: str) -> None:
    """What is no range of addresses, or is all of them, is refused with its place, also while there is no policy."""
    complaint = refused("4", values={"demo": True, "networkPolicy": {"clusterRanges": ["10.0.0.0/8", wrong]}})

    assert "networkPolicy.clusterRanges[1]: must be IPv4 or IPv6 addresses such as 10.0.0.0/8 or fd00::/8" in complaint


PEERS = [
    {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}},
    {"ipBlock": {"cidr": "::/0"}},
    {"ipBlock": {"cidr": "2001:db8::7/128", "except": []}},
    {"podSelector": {}, "namespaceSelector": {"matchLabels": {"app": "dns"}}},
]
PORTS = [
    {"port": 3128},
    {"port": 8000, "endPort": 8010, "protocol": "UDP"},
    {"port": "proxy-1"},
    {"protocol": "SCTP"},
    {},
]


@pytest.mark.parametrize("version", HELM_VERSIONS)
def test_policy_takes_peers_and_ports_of_every_kind(version: str) -> None:
    """Ranges, all addresses included, selectors and ports in every form that Kubernetes knows reach the policy."""
    given = {"enabled": True, "ingressFrom": PEERS, "dnsTo": PEERS, "extraEgress": [{"to": PEERS, "ports": PORTS}, {}]}
    policy = only(rendered(version, values={"demo": True, "networkPolicy": given}), "NetworkPolicy")

    kubernetes_validate.validate(policy, NEWEST, strict=True)
    assert PEERS == policy["spec"]["ingress"][0]["from"][1:]
    assert [{"to": PEERS, "ports": PORTS}, {}] == policy["spec"]["egress"][2:]


@pytest.mark.parametrize(
    ("peer", "complaint"),
    [
        ({"ipBlock": {"cidr": "10.0.0.0"}}, ".ipBlock: must be IPv4 or IPv6 addresses such as 10.0.0.0/8"),
        ({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/33"]}}, 'and not "10.1.0.0/33"'),
        ({"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}, ": an ipBlock goes without a selector"),
    ],
)
def test_peer_that_is_none_is_refused(peer: dict[str, Any], complaint: str) -> None:
    """Blocks that are no ranges, or stand beside a selector, are refused wherever a policy has peers."""
    for place, given in {
        "ingressFrom[1]": {"ingressFrom": [PEERS[0], peer]},
        "dnsTo[1]": {"dnsTo": [PEERS[0], peer]},
        "extraEgress[1].to[1]": {"extraEgress": [{}, {"to": [PEERS[0], peer]}]},
    }.items():
        told = refused("4", values={"demo": True, "networkPolicy": given})

        assert f"networkPolicy.{place}" in told
        assert complaint in told
