"""Pinpoint's service types: their names, what kind of span they make, and which system they stand for. No I/O."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from clew_server.receivers.foreign.conventions import CLIENT, CONSUMER, INTERNAL, PRODUCER, SERVER

NODE: Final = 1400


class ServiceType(NamedTuple):
    """One service type."""

    name: str
    """As Pinpoint calls it; the number where this table does not know it."""
    is_remote: bool
    """An event of it calls a database, a cache or another service."""
    is_queue: bool
    """It stands for a message broker: an event of it sends, a span of it receives."""
    system: tuple[str, str] | None
    """Attribute and value that name the system: `("db.system.name", "mysql")`."""
    language: str = ""
    """Of an application's type: the agent's language, as `telemetry.sdk.language` has it."""


def service_type(code: int, application: int = 0) -> ServiceType:
    """The type with this number, sent by an agent of an application of the type `application`."""
    return _type(code, application == NODE)


def event_kind(type_: ServiceType, *, calls: bool) -> int:
    """The kind of an event. `calls`: it names the span of the callee, or where it went."""
    if type_.is_queue:
        return PRODUCER if calls else INTERNAL
    return CLIENT if type_.is_remote and (calls or type_.system is not None) else INTERNAL


def span_kind(code: int, type_: ServiceType, *, is_asked: bool) -> int:
    """The kind of a span. `is_asked`: it names its client, or what was asked for."""
    if type_.is_queue:
        return CONSUMER
    return SERVER if is_asked and 1000 <= code < 2000 else INTERNAL


@lru_cache(maxsize=1024)
def _type(code: int, is_node: bool) -> ServiceType:
    name = (_OF_NODE.get(code) if is_node else None) or _NAMES.get(code, str(code))
    is_inside = (name.endswith(("_INTERNAL", "_METHOD")) and "REMOTE" not in name) or name in _INSIDE
    system = None
    for prefix, found in _SYSTEMS:
        if name.startswith(prefix) and not is_inside:
            system = found
            break
    is_queue = not is_inside and name.startswith(_QUEUES)
    is_remote = not is_inside and not is_queue and (2000 <= code < 3000 or 8000 <= code < 10000)
    return ServiceType(name, is_remote, is_queue, system, _language(code))


def _language(code: int) -> str:
    for low, high, language in _LANGUAGES:
        if low <= code < high:
            return language
    return ""


_LANGUAGES: Final = (
    (1000, 1300, "java"),
    (1300, 1310, "cpp"),
    (1310, 1400, "java"),
    (1400, 1500, "nodejs"),
    (1500, 1600, "php"),
    (1600, 1700, "java"),
    (1700, 1800, "python"),
    (1800, 1900, "go"),
)
_QUEUES: Final = ("RABBITMQ", "ACTIVEMQ", "ROCKETMQ", "PAHO_MQTT", "KAFKA")
_INSIDE: Final = frozenset(
    (
        "HBASE_CLIENT_ADMIN",
        "HBASE_CLIENT_TABLE",
        "KT_COROUTINES",
        "CXF_SERVICE_INVOKER",
        "CXF_MESSAGE_SENDER",
        "CXF_LOGGING_IN",
        "CXF_LOGGING_OUT",
        "HYSTRIX_COMMAND",
        "AKKA_HTTP_SERVER_INTERNAL_LEGACY",
        "BLUEBIRD",
    )
)
_DB: Final = "db.system.name"
_SYSTEMS: Final = (
    ("MYSQL", (_DB, "mysql")),
    ("R2DBC_MYSQL", (_DB, "mysql")),
    ("MARIADB", (_DB, "mariadb")),
    ("R2DBC_MARIADB", (_DB, "mariadb")),
    ("MSSQL", (_DB, "microsoft.sql_server")),
    ("R2DBC_MSSQL", (_DB, "microsoft.sql_server")),
    ("ORACLE", (_DB, "oracle.db")),
    ("R2DBC_ORACLE", (_DB, "oracle.db")),
    ("CUBRID", (_DB, "cubrid")),
    ("INFORMIX", (_DB, "ibm.informix")),
    ("POSTGRESQL", (_DB, "postgresql")),
    ("R2DBC_POSTGRESQL", (_DB, "postgresql")),
    ("CASSANDRA", (_DB, "cassandra")),
    ("MONGO", (_DB, "mongodb")),
    ("COUCHDB", (_DB, "couchdb")),
    ("R2DBC_H2", (_DB, "h2database")),
    ("UNKNOWN_DB", (_DB, "other_sql")),
    ("MEMCACHED", (_DB, "memcached")),
    ("ARCUS", (_DB, "memcached")),
    ("REDIS", (_DB, "redis")),
    ("IOREDIS", (_DB, "redis")),
    ("HBASE", (_DB, "hbase")),
    ("ELASTICSEARCH", (_DB, "elasticsearch")),
    ("RABBITMQ", ("messaging.system", "rabbitmq")),
    ("ACTIVEMQ", ("messaging.system", "activemq")),
    ("ROCKETMQ", ("messaging.system", "rocketmq")),
    ("PAHO_MQTT", ("messaging.system", "mqtt")),
    ("KAFKA", ("messaging.system", "kafka")),
    ("GRPC", ("rpc.system", "grpc")),
    ("DUBBO", ("rpc.system", "apache_dubbo")),
    ("APACHE_DUBBO", ("rpc.system", "apache_dubbo")),
    ("THRIFT", ("rpc.system", "apache_thrift")),
)
# The agent for Node has numbers of its own for these.
_OF_NODE: Final = {8202: "IOREDIS", 8203: "ELASTICSEARCH", 8204: "BLUEBIRD", 8205: "MYSQL"}
_NAMES: Final[dict[int, str]] = {
    int(code): name
    for code, name in (
        line.split()
        for line in """
100 ASYNC
510 SDK_ASYNC
1000 STAND_ALONE
1010 TOMCAT
1011 TOMCAT_METHOD
1030 JETTY
1031 JETTY_METHOD
1040 JBOSS
1041 JBOSS_METHOD
1050 VERTX
1051 VERTX_INTERNAL
1052 VERTX_HTTP_SERVER
1053 VERTX_HTTP_SERVER_INTERNAL
1060 WEBSPHERE
1061 WEBSPHERE_METHOD
1070 WEBLOGIC
1071 WEBLOGIC_METHOD
1100 THRIFT_SERVER
1101 THRIFT_SERVER_INTERNAL
1110 DUBBO_PROVIDER
1120 UNDERTOW
1121 UNDERTOW_METHOD
1126 UNDERTOW_SERVLET_METHOD
1130 GRPC_SERVER
1140 REACTOR_NETTY
1141 REACTOR_NETTY_INTERNAL
1160 KTOR
1161 KTOR_INTERNAL
1200 RESIN
1201 RESIN_METHOD
1210 SPRING_BOOT
1300 C_CPP
1301 C_CPP_METHOD
1310 AKKA_HTTP_SERVER
1311 AKKA_HTTP_SERVER_INTERNAL
1400 NODE
1401 NODE_METHOD
1500 PHP
1501 PHP_METHOD
1620 OPENWHISK_INTERNAL
1621 OPENWHISK_CONTROLLER
1622 OPENWHISK_INVOKER
1700 PYTHON
1701 PYTHON_METHOD
1800 GO
1801 GO_METHOD
1999 APACHE_DUBBO_PROVIDER
2050 UNKNOWN_DB
2051 UNKNOWN_DB_EXECUTE_QUERY
2100 MYSQL
2101 MYSQL_EXECUTE_QUERY
2102 R2DBC_MYSQL
2103 R2DBC_MYSQL_EXECUTE_QUERY
2150 MARIADB
2151 MARIADB_EXECUTE_QUERY
2152 R2DBC_MARIADB
2153 R2DBC_MARIADB_EXECUTE_QUERY
2200 MSSQL
2201 MSSQL_EXECUTE_QUERY
2250 MSSQL_JDBC
2251 MSSQL_JDBC_QUERY
2252 R2DBC_MSSQL_JDBC
2253 R2DBC_MSSQL_JDBC_EXECUTE_QUERY
2300 ORACLE
2301 ORACLE_EXECUTE_QUERY
2302 R2DBC_ORACLE
2303 R2DBC_ORACLE_EXECUTE_QUERY
2400 CUBRID
2401 CUBRID_EXECUTE_QUERY
2450 INFORMIX
2451 INFORMIX_EXECUTE_QUERY
2500 POSTGRESQL
2501 POSTGRESQL_EXECUTE_QUERY
2502 R2DBC_POSTGRESQL
2503 R2DBC_POSTGRESQL_EXECUTE_QUERY
2600 CASSANDRA
2601 CASSANDRA_EXECUTE_QUERY
2602 CASSANDRA4
2603 CASSANDRA4_EXECUTE_QUERY
2650 MONGO
2651 MONGO_EXECUTE_QUERY
2652 MONGO_REACTIVE
2700 COUCHDB
2701 COUCHDB_EXECUTE_QUERY
2752 R2DBC_H2
2753 R2DBC_H2_EXECUTE_QUERY
5000 INTERNAL_METHOD
5004 SERVLET
5005 JSP
5010 GSON
5011 JACKSON
5012 JSON-LIB
5013 FASTJSON
5020 COMPLETABLE_FUTURE
5050 SPRING
5051 SPRING_MVC
5052 SPRING_ASYNC
5053 SPRING_WEBFLUX
5054 SPRING_TX
5055 SPRING_CLOUD_SLEUTH
5061 SPRING_ORM_IBATIS
5071 SPRING_BEAN
5500 IBATIS
5501 IBATIS_SPRING
5510 MYBATIS
6001 THREAD_ASYNC
6005 PROCESS
6050 DBCP
6052 DBCP2
6060 HIKARICP
6062 DRUID
6500 RX_JAVA
6501 RX_JAVA_INTERNAL
6510 REACTOR
6511 REACTOR_SCHEDULER
6520 RESILIENCE4J
6600 EXPRESS
6610 KOA
6620 HAPI
6630 RESTIFY
6640 SPRING_DATA_R2DBC
8050 MEMCACHED
8051 MEMCACHED_FUTURE_GET
8100 ARCUS
8101 ARCUS_FUTURE_GET
8102 ARCUS_EHCACHE_FUTURE_GET
8200 REDIS
8201 REDIS_LETTUCE
8202 IOREDIS
8203 REDIS_REDISSON
8204 REDIS_REDISSON_INTERNAL
8205 REDIS_REDISSON_REACTIVE
8206 REDIS_LETTUCE_INTERNAL
8300 RABBITMQ_CLIENT
8301 RABBITMQ_CLIENT_INTERNAL
8310 ACTIVEMQ_CLIENT
8311 ACTIVEMQ_CLIENT_INTERNAL
8400 ROCKETMQ_CLIENT
8401 ROCKETMQ_CLIENT_INTERNAL
8501 PAHO_MQTT_CLIENT
8502 PAHO_MQTT_CLIENT_INTERNAL
8660 KAFKA_CLIENT
8661 KAFKA_CLIENT_INTERNAL
8662 KAFKA_STREAMS
8800 HBASE_CLIENT
8801 HBASE_CLIENT_ADMIN
8802 HBASE_CLIENT_TABLE
8803 HBASE_ASYNC_CLIENT
8901 KT_COROUTINES
9050 HTTP_CLIENT_3
9051 HTTP_CLIENT_3_INTERNAL
9052 HTTP_CLIENT_4
9053 HTTP_CLIENT_4_INTERNAL
9054 GOOGLE_HTTP_CLIENT_INTERNAL
9055 JDK_HTTPURLCONNECTOR
9056 ASYNC_HTTP_CLIENT
9057 ASYNC_HTTP_CLIENT_INTERNAL
9058 OK_HTTP_CLIENT
9059 OK_HTTP_CLIENT_INTERNAL
9062 HTTP_CLIENT_5
9063 HTTP_CLIENT_5_INTERNAL
9065 JDK_HTTP_CLIENT
9066 JDK_HTTP_CLIENT_INTERNAL
9067 JDK_HTTPURLCONNECTOR_INTERNAL
9080 CXF_CLIENT
9081 CXF_SERVICE_INVOKER
9082 CXF_MESSAGE_SENDER
9083 CXF_LOGGING_IN
9084 CXF_LOGGING_OUT
9100 THRIFT_CLIENT
9101 THRIFT_CLIENT_INTERNAL
9110 DUBBO_CONSUMER
9111 DUBBO
9120 HYSTRIX_COMMAND
9121 HYSTRIX_COMMAND_INTERNAL
9130 VERTX_HTTP_CLIENT
9131 VERTX_HTTP_CLIENT_INTERNAL
9140 REST_TEMPLATE
9150 NETTY
9151 NETTY_INTERNAL
9152 NETTY_HTTP
9153 SPRING_WEBFLUX_CLIENT
9154 REACTOR_NETTY_CLIENT
9155 REACTOR_NETTY_CLIENT_INTERNAL
9160 GRPC
9161 GRPC_INTERNAL
9162 GRPC_SERVER_INTERNAL
9203 ELASTICSEARCH
9204 ELASTICSEARCH_HIGHLEVEL_CLIENT
9205 ELASTICSEARCH8
9206 ELASTICSEARCH8_CLIENT
9622 OPENWHISK_CLIENT
9700 PHP_REMOTE_METHOD
9800 GO_HTTP_CLIENT
9900 PYTHON_REMOTE_METHOD
9997 APACHE_DUBBO_CONSUMER
9998 AKKA_HTTP_SERVER_INTERNAL_LEGACY
9999 APACHE_DUBBO
""".strip().splitlines()
    )
}
