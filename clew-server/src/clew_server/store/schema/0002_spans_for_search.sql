-- Spans as columns, sorted for search, and their resources. Derivable from chunks.
CREATE TABLE IF NOT EXISTS otlp_in (arrival UInt64, resource KV, schema_url String, scope_spans Array(Tuple(scope Tuple(name String, version String, attributes KV),
  spans Array(Tuple(trace_id String, span_id String, parent_span_id String, name String, kind Int32, start UInt64, `end` UInt64, attributes KV, events Array(Tuple(name String, attributes KV)), links Array(Tuple(trace_id String, attributes KV)), status Tuple(message String, code Int32))))))
ENGINE=Null;
CREATE TABLE IF NOT EXISTS spans (received DT CODEC(Delta,Z), start DT9 CODEC(Delta,Z), duration UInt64 CODEC(T64,Z), adjusted UInt8 CODEC(Z),
 trace_id FixedString(16) CODEC(Z), span_id FixedString(8) CODEC(NONE), parent_id FixedString(8) CODEC(Z), service LC CODEC(Z), name LC CODEC(Z), kind UInt8 CODEC(Z), status UInt8 CODEC(Z), status_message String CODEC(Z),
 res_key UInt64 CODEC(Z), scope LC CODEC(Z), scope_attrs MAPT CODEC(Z), attrs MAPT CODEC(Z), attr_types Array(UInt8) CODEC(Z),
 event_names Array(LC) CODEC(Z), event_attrs Array(MAPT) CODEC(Z), link_traces Array(FixedString(16)) CODEC(Z), link_attrs Array(MAPT) CODEC(Z),
 INDEX i_start start TYPE minmax GRANULARITY 1, INDEX i_kv ITEMS TYPE bloom_filter(0.01) GRANULARITY 1
) ENGINE=MergeTree P ORDER BY (toStartOfHour(start),service,name,start) SETTINGS index_granularity=1024, W;
CREATE MATERIALIZED VIEW IF NOT EXISTS mv_spans TO spans AS
SELECT toDateTime(toUInt32(intDiv(arrival,1000000000)),'UTC') AS received, NOT (s.start BETWEEN 946684800000000000 AND 4102444799999999999) AS adjusted, fromUnixTimestamp64Nano(toInt64(if(adjusted,arrival,s.start)),'UTC') AS start,
 if(s.end>s.start AND s.start>0,s.end-s.start,0) AS duration, s.trace_id AS trace_id, s.span_id AS span_id, if(length(s.parent_span_id)=8,s.parent_span_id,'') AS parent_id, service, s.name AS name,
 toUInt8(if(s.kind BETWEEN 0 AND 5,s.kind,0)) AS kind, toUInt8(if(s.status.code BETWEEN 0 AND 2,s.status.code,0)) AS status, s.status.message AS status_message,
 res_key, scope, scope_attrs, MAP(s.attributes.key, s.attributes.value) AS attrs, arrayMap(r->reinterpretAsUInt8(substring(r,1,1)),s.attributes.value) AS attr_types,
 s.events.name AS event_names, arrayMap(a->MAP(a.key, a.value),s.events.attributes) AS event_attrs, arrayMap(t->toFixedString(if(length(t)=16,t,''),16),s.links.trace_id) AS link_traces, arrayMap(a->MAP(a.key, a.value),s.links.attributes) AS link_attrs
FROM (SELECT arrival, res_key, service, ss.scope.name AS scope, MAP(ss.scope.attributes.key, ss.scope.attributes.value) AS scope_attrs, arrayJoin(ss.spans) AS s
 FROM (SELECT arrival, cityHash64(resource,schema_url) AS res_key, SVC(resource.key,resource.value) AS service, arrayJoin(scope_spans) AS ss FROM otlp_in))
WHERE length(s.trace_id)=16 AND length(s.span_id)=8;
CREATE TABLE IF NOT EXISTS resources (received SAF(max,DT), res_key UInt64, service SAF(any,LC), attrs SAF(any,Map(String,String)), schema_url SAF(any,LC))
ENGINE=AggregatingMergeTree P ORDER BY res_key SETTINGS W;
CREATE MATERIALIZED VIEW IF NOT EXISTS mv_resources TO resources AS
SELECT received, res_key, SVC(a.key,a.value) AS service, CAST((a.key,TEXTS(a.value)),'Map(String,String)') AS attrs, schema_url
FROM (SELECT toDateTime(toUInt32(intDiv(max(arrival),1000000000)),'UTC') AS received, cityHash64(resource,u) AS res_key, any(resource) AS a, any(u) AS schema_url FROM (SELECT arrival, resource, schema_url AS u FROM otlp_in) GROUP BY res_key);
