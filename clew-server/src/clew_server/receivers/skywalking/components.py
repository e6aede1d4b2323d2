"""SkyWalking's numbers for libraries and protocols, with the system that OpenTelemetry's conventions name. No I/O."""

from __future__ import annotations

from typing import Final

_DB: Final = "db.system.name"
_MESSAGING: Final = "messaging.system"
_RPC: Final = "rpc.system"

_TABLE: Final = """
1 Tomcat
2 HttpClient
3 Dubbo rpc apache_dubbo
4 H2 db h2database
5 Mysql db mysql
6 ORACLE db oracle.db
7 Redis db redis
8 Motan rpc motan
9 MongoDB db mongodb
10 Resin
11 Feign
12 OKHttp
13 SpringRestTemplate
14 SpringMVC
15 Struts2
16 NutzMVC
17 NutzHttp
18 JettyClient
19 JettyServer
20 Memcached db memcached
21 ShardingJDBC
22 PostgreSQL db postgresql
23 GRPC rpc grpc
24 ElasticJob
25 RocketMQ messaging rocketmq
26 httpasyncclient
27 Kafka messaging kafka
28 ServiceComb
29 Hystrix
30 Jedis db redis
31 SQLite db sqlite
32 h2-jdbc-driver db h2database
33 mysql-connector-java db mysql
34 ojdbc db oracle.db
35 Spymemcached db memcached
36 Xmemcached db memcached
37 postgresql-jdbc-driver db postgresql
38 rocketMQ-producer messaging rocketmq
39 rocketMQ-consumer messaging rocketmq
40 kafka-producer messaging kafka
41 kafka-consumer messaging kafka
42 mongodb-driver db mongodb
43 SOFARPC rpc sofarpc
44 ActiveMQ messaging activemq
45 activemq-producer messaging activemq
46 activemq-consumer messaging activemq
47 Elasticsearch db elasticsearch
48 transport-client db elasticsearch
49 http
50 rpc
51 RabbitMQ messaging rabbitmq
52 rabbitmq-producer messaging rabbitmq
53 rabbitmq-consumer messaging rabbitmq
54 Canal
55 Gson
56 Redisson db redis
57 Lettuce db redis
58 Zookeeper db zookeeper
59 Vertx
60 ShardingSphere
61 spring-cloud-gateway
62 RESTEasy
63 SolrJ db solr
64 Solr db solr
65 SpringAsync
66 JdkHttp
67 spring-webflux
68 Play
69 cassandra-java-driver db cassandra
70 Cassandra db cassandra
71 Light4J
72 Pulsar messaging pulsar
73 pulsar-producer messaging pulsar
74 pulsar-consumer messaging pulsar
75 Ehcache
76 SocketIO
77 rest-high-level-client db elasticsearch
78 spring-tx
79 Armeria
80 JdkThreading
81 KotlinCoroutine
82 AvroServer rpc avro
83 AvroClient rpc avro
84 Undertow
85 Finagle
86 Mariadb db mariadb
87 mariadb-jdbc db mariadb
88 quasar
89 InfluxDB db influxdb
90 influxdb-java db influxdb
91 brpc-java rpc brpc
92 GraphQL
93 spring-annotation
94 HBase db hbase
95 spring-kafka-consumer messaging kafka
96 SpringScheduled
97 quartz-scheduler
98 xxl-job
99 spring-webflux-webclient
100 thrift-server rpc thrift
101 thrift-client rpc thrift
102 AsyncHttpClient
103 dbcp
104 mssql-jdbc-driver db microsoft.sql_server
105 Apache-CXF
106 dolphinscheduler
107 JsonRpc rpc jsonrpc
108 seata
109 MyBatis
110 tcp
111 AzureHttpTrigger
112 Neo4j db neo4j
113 Sentinel
114 GuavaCache
115 AlibabaDruid
116 HikariCP
117 Fastjson
118 Jackson
119 ClickHouse-jdbc-driver db clickhouse
120 ClickHouse db clickhouse
121 Apache-Kylin-jdbc-driver db kylin
122 Apache-Kylin db kylin
123 GuavaEventBus
124 AWSLambdaTrigger
125 AWSLambdaGatewayAPIHTTP
126 AWSLambdaGatewayAPIREST
127 Apache-ShenYu
128 Hutool
129 https
130 tls
131 Micronaut
132 NATS messaging nats
133 Impala-jdbc-driver db impala
134 Impala db impala
135 EventMesh messaging eventmesh
136 eventmesh-producer messaging eventmesh
137 eventmesh-consumer messaging eventmesh
138 AWSDynamoDB db aws.dynamodb
139 AWSSNS messaging aws.sns
140 AWSSQS messaging aws_sqs
141 Micrometer
142 mtls
143 amqp messaging amqp
144 amqp-producer messaging amqp
145 amqp-consumer messaging amqp
3001 AspNetCore
3002 EntityFrameworkCore
3003 SqlClient db microsoft.sql_server
3004 CAP
3005 StackExchange.Redis db redis
3006 SqlServer db microsoft.sql_server
3007 Npgsql db postgresql
3008 MySqlConnector db mysql
3009 EntityFrameworkCore.InMemory
3010 EntityFrameworkCore.SqlServer db microsoft.sql_server
3011 EntityFrameworkCore.Sqlite db sqlite
3012 Pomelo.EntityFrameworkCore.MySql db mysql
3013 Npgsql.EntityFrameworkCore.PostgreSQL db postgresql
3014 InMemoryDatabase
3015 AspNet
3016 SmartSql
3017 FreeSql
3018 FreeRedis db redis
4001 HttpServer
4002 Express
4003 Egg
4004 Koa
4005 Axios
4006 Mongoose db mongodb
5001 ServiceCombMesher
5002 ServiceCombServiceCenter
5003 MOSN
5004 GoHttpServer
5005 GoHttpClient
5006 Gin
5007 Gear
5008 GoMicroClient
5009 GoMicroServer
5010 Kratos
5012 GoMysql db mysql
5013 OpenFunction
6000 Nginx
6001 Kong
6002 APISIX
7000 Python
7001 Flask
7002 Requests
7003 PyMysql db mysql
7004 Django
7005 Tornado
7006 Urllib3
7007 Sanic
7008 AioHttp
7009 Pyramid
7010 Psycopg db postgresql
7011 Celery
7012 Falcon
7013 MysqlClient db mysql
7014 FastAPI
7015 Bottle
7016 AsyncPG db postgresql
7017 AIORedis db redis
7018 Websockets
7019 HTTPX
8001 PHP
8002 cURL
8003 PDO
8004 Mysqli db mysql
8005 Yar
8006 Predis db redis
9000 EnvoyProxy
10000 JavaScript
10001 ajax
11000 Rust
"""
# Number, name, and for those that mean a system: of what kind it is, and its name in the conventions.

_KEYS: Final = {"db": _DB, "messaging": _MESSAGING, "rpc": _RPC}


def _read() -> tuple[dict[int, str], dict[int, tuple[str, str]]]:
    names: dict[int, str] = {}
    systems: dict[int, tuple[str, str]] = {}
    for line in _TABLE.split("\n")[1:-1]:
        number, name, *system = line.split()
        names[int(number)] = name
        if system:
            systems[int(number)] = _KEYS[system[0]], system[1]
    return names, systems


NAMES, SYSTEMS = _read()
"""Names of components; attribute and value of the systems of those that have one."""
