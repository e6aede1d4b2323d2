-- A flush costs the engine's analysis of every view and a part in every table, however few spans it has. So: bytes of resources and
-- scopes go into one table (what resources_raw and scopes_raw hold is read until it expires); no rollups that nothing reads (they
-- can be made again from red); services and operations are read from red; values become text in one place of each view.
DROP VIEW IF EXISTS mv_resources_raw;
DROP VIEW IF EXISTS mv_scopes_raw;
DROP VIEW IF EXISTS mv_spans;
DROP VIEW IF EXISTS mv_resources;
DROP VIEW IF EXISTS mv_traces;
DROP VIEW IF EXISTS mv_red;
DROP VIEW IF EXISTS mv_red_svc;
DROP VIEW IF EXISTS mv_red_hour;
DROP VIEW IF EXISTS mv_red_svc_hour;
DROP VIEW IF EXISTS mv_operations;
CREATE TABLE IF NOT EXISTS origins (received SAF(max,DT), id UInt64, raw SAF(any,String) CODEC(Z), schema_url SAF(any,LC), proofs PROOFS)
ENGINE=AggregatingMergeTree P ORDER BY id SETTINGS W;
DROP TABLE IF EXISTS red_svc SYNC;
DROP TABLE IF EXISTS red_hour SYNC;
DROP TABLE IF EXISTS red_svc_hour SYNC;
DROP TABLE IF EXISTS operations SYNC;
CREATE MATERIALIZED VIEW IF NOT EXISTS mv_origins TO origins AS
SELECT received, id, raw, schema_url, FIRST_ROWS(p) AS proofs
FROM (SELECT max(rcv) AS received, cityHash64(z.1,z.2) AS id, any(z.1) AS raw, any(z.2) AS schema_url, any(p_) AS p
FROM (SELECT received AS rcv, proof AS p_, arrayJoin(arrayPushFront(arrayMap(s->(s.scope,s.schema_url),scope_spans),(resource,schema_url))) AS z FROM raw_in) GROUP BY id);
CREATE MATERIALIZED VIEW IF NOT EXISTS mv_spans TO spans AS
WITH MAPS(arrayConcat([s.attributes],s.events.attributes,s.links.attributes)) AS maps
SELECT toDateTime(toUInt32(intDiv(arrival,1000000000)),'UTC') AS received, NOT (s.start BETWEEN 946684800000000000 AND 4102444799999999999) AS adjusted, fromUnixTimestamp64Nano(toInt64(if(adjusted,arrival,s.start)),'UTC') AS start,
 if(s.end>s.start AND s.start>0,s.end-s.start,0) AS duration, s.trace_id AS trace_id, s.span_id AS span_id, if(length(s.parent_span_id)=8,s.parent_span_id,'') AS parent_id, of_scope[1]['service.name'] AS service, s.name AS name,
 toUInt8(if(s.kind BETWEEN 0 AND 5,s.kind,0)) AS kind, toUInt8(if(s.status.code BETWEEN 0 AND 2,s.status.code,0)) AS status, s.status.message AS status_message,
 res_key, scope, of_scope[2] AS scope_attrs, maps[1] AS attrs, arrayMap(r->reinterpretAsUInt8(substring(r,1,1)),s.attributes.value) AS attr_types,
 s.events.name AS event_names, arraySlice(maps,2,length(s.events)) AS event_attrs, arrayMap(t->toFixedString(if(length(t)=16,t,''),16),s.links.trace_id) AS link_traces, arraySlice(maps,2+length(s.events)) AS link_attrs,
 FIRST_ROW(p) AS proof
FROM (SELECT arrival, p, res_key, ss.scope.name AS scope, MAPS([service_name,ss.scope.attributes]) AS of_scope, arrayJoin(ss.spans) AS s
 FROM (SELECT arrival, proof AS p, cityHash64(resource,schema_url) AS res_key, arrayFilter(a->a.key='service.name',resource) AS service_name, arrayJoin(scope_spans) AS ss FROM otlp_in))
WHERE length(s.trace_id)=16 AND length(s.span_id)=8;
CREATE MATERIALIZED VIEW IF NOT EXISTS mv_resources TO resources AS
SELECT received, res_key, attrs['service.name'] AS service, CAST((a.key,TEXTS(a.value)),'Map(String,String)') AS attrs, schema_url, FIRST_ROWS(p) AS proofs
FROM (SELECT toDateTime(toUInt32(intDiv(max(arrival),1000000000)),'UTC') AS received, cityHash64(resource,u) AS res_key, any(resource) AS a, any(u) AS schema_url, any(p_) AS p FROM (SELECT arrival, proof AS p_, resource, schema_url AS u FROM otlp_in) GROUP BY res_key);
CREATE MATERIALIZED VIEW IF NOT EXISTS mv_traces TO traces AS
SELECT max(rc) AS received, trace_id, min(st) AS start, max(fromUnixTimestamp64Nano(toUnixTimestamp64Nano(st)+toInt64(least(duration,4611686018427387903)),'UTC')) AS end, count() AS spans, countIf(status=2) AS errors, groupUniqArray(toString(service)) AS services,
 min((parent_id!=toFixedString('',8),st,toString(service),toString(name),duration)) AS first, groupUniqArrayIf(proof,proof!=0) AS proofs FROM (SELECT trace_id, parent_id, service, name, duration, status, proof, start AS st, received AS rc FROM spans) GROUP BY trace_id;
CREATE MATERIALIZED VIEW IF NOT EXISTS mv_red TO red AS
SELECT max(rc) AS received, toStartOfMinute(start) AS t, service, name, kind, count() AS n, countIf(status=2) AS errors, sum(duration) AS dur, QTState(duration) AS q, groupUniqArrayIf(proof,proof!=0) AS proofs
FROM (SELECT start, service, name, kind, status, duration, proof, received AS rc FROM spans) GROUP BY t,service,name,kind;
