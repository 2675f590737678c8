"""A stack in which every part asks who comes: TLS everywhere, SCRAM, certificates, ACLs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.oidc import TokenEndpoint
from devstack.parts.security import CLIENT
from devstack.stack import Stack
from tests.secure.site import SecuredUniverse

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def secured() -> Iterator[Stack]:
    """The stack of these tests; it stops at the end unless DEVSTACK_KEEP is set."""
    found = Stack(ROOT / ".devstack-secure", secure=True)
    found.up()
    yield found
    if not os.environ.get("DEVSTACK_KEEP"):
        found.clean()


@pytest.fixture
def universe(secured: Stack, tmp_path: Path) -> Iterator[SecuredUniverse]:
    """A world of its own, whose users have the permissions that `topics acls` names."""
    with SecuredUniverse(secured.env(), tmp_path) as made:
        made.permit("operator", made.env["SCORESTREAM_KAFKA_SASL_USERNAME"])
        made.permit("connect", made.env["DEVSTACK_KAFKA_CONNECT_USER"])
        yield made


@pytest.fixture
def tokens(secured: Stack) -> Iterator[TokenEndpoint]:
    """An OIDC provider that the brokers believe, for the client's user."""
    tls = secured.site.tls
    assert tls is not None
    with TokenEndpoint(tls.folder, tls.server, user=CLIENT) as endpoint:
        yield endpoint
