"""How the brokers of a secured stack know their users: SCRAM over TLS, or a certificate. Only brokers need no ACL.

Enters: certificates and passwords. Leaves: the properties of a broker and of clients.
"""

from __future__ import annotations

from collections.abc import Mapping

from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from devstack import oidc
from devstack.tls import BROKER, Tls

CONNECT = "kafka-connect"  # of Kafka Connect's workers and of the connector's producer
CLIENT = "scorestream"
USERS = (CONNECT, CLIENT)
OWN = "devstack-connect"  # the prefix of Connect's own topics, groups and transactions
STORES = "kafka-stores"  # the password of the files that hold keys

_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"


def stores(tls: Tls, passwords: Mapping[str, str]) -> dict[str, str]:
    """Key and trust of a Java server."""
    return {
        "ssl.keystore.type": "PKCS12",
        "ssl.keystore.location": str(tls.key_store),
        "ssl.keystore.password": passwords[STORES],
        "ssl.key.password": passwords[STORES],
        **trust(tls, passwords),
    }


def trust(tls: Tls, passwords: Mapping[str, str]) -> dict[str, str]:
    """The CA, for a Java client."""
    return {
        "ssl.truststore.type": "PKCS12",
        "ssl.truststore.location": str(tls.trust_store),
        "ssl.truststore.password": passwords[STORES],
    }


def of_broker(tls: Tls, passwords: Mapping[str, str]) -> dict[str, str]:
    """What a broker needs beside its listeners. Nobody may do anything that no ACL allows."""
    return {
        **stores(tls, passwords),
        "ssl.client.auth": "required",
        "ssl.principal.mapping.rules": r"RULE:^.*CN=([^,]+).*$/$1/,DEFAULT",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512,OAUTHBEARER",
        **oidc.of_broker(tls.folder),
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": f"{_SCRAM} required;",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": f"User:{BROKER}",
    }


def of_client(tls: Tls, user: str, passwords: Mapping[str, str], *, prefix: str = "") -> dict[str, str]:
    """Properties of a Java client that logs in by password."""
    login = f'{_SCRAM} required username="{user}" password="{passwords[user]}";'
    properties = {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.jaas.config": login,
        **trust(tls, passwords),
    }
    return {prefix + name: value for name, value in properties.items()}


def of_operator(tls: Tls) -> dict[str, str]:
    """librdkafka's options of the brokers' own user, who may do everything; for the port of certificates."""
    return {
        "security.protocol": "SSL",
        "ssl.ca.location": str(tls.ca),
        "ssl.certificate.location": str(tls.server),
        "ssl.key.location": str(tls.server),
    }


def set_up(client: AdminClient, passwords: Mapping[str, str]) -> None:
    """Give every user its password, and Connect what its own topics and groups need; idempotent."""
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    changes = [UserScramCredentialUpsertion(user, info, passwords[user].encode()) for user in USERS]
    granted = [
        _acl(ResourceType.TOPIC, OWN, ResourcePatternType.PREFIXED, AclOperation.ALL),
        _acl(ResourceType.GROUP, OWN, ResourcePatternType.PREFIXED, AclOperation.ALL),
        _acl(ResourceType.TRANSACTIONAL_ID, OWN, ResourcePatternType.PREFIXED, AclOperation.ALL),
        _acl(ResourceType.TRANSACTIONAL_ID, f"connect-cluster-{OWN}", ResourcePatternType.LITERAL, AclOperation.ALL),
        _acl(ResourceType.BROKER, "kafka-cluster", ResourcePatternType.LITERAL, AclOperation.CREATE),
    ]
    answers = {**client.alter_user_scram_credentials(changes), **client.create_acls(granted)}
    for answer in answers.values():
        answer.result(20)


def _acl(kind: ResourceType, name: str, pattern: ResourcePatternType, operation: AclOperation) -> AclBinding:
    return AclBinding(kind, name, pattern, f"User:{CONNECT}", "*", operation, AclPermissionType.ALLOW)
