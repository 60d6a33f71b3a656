"""The load balancer that Serinus ships a configuration for, in front of the gateways of a test."""

import re

from tests.server import REPOSITORY, Server

_SERVERS = re.compile(r"^  server gateway-1 .*\n  server gateway-2 .*\n", re.MULTILINE)


def balanced(*ports: int) -> str:
    """Give `deploy/haproxy/haproxy.cfg` with these ports of this machine in place of its two gateways."""
    config = (REPOSITORY / "deploy/haproxy/haproxy.cfg").read_text()
    servers = "".join(f"  server gateway-{number} 127.0.0.1:{port}\n" for number, port in enumerate(ports, start=1))
    filled, found = _SERVERS.subn(servers, config)
    assert found == 2, "the configuration names its gateways in another way"
    return filled


def ports_of(*gateways: Server) -> list[int]:
    """Give where gateways listen."""
    return [gateway.port for gateway in gateways]
