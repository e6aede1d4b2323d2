-- What proves that a segment is in a table: one row of each table holds the segment's number. The inserts are not deduplicated
-- by the engine any more: its log says "stored" before a part has its name. TEXTS has changed too: an attribute of any type is valid text.
DROP VIEW IF EXISTS mv_chunks;
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
ALTER TABLE raw_in ADD COLUMN IF NOT EXISTS proof UInt64;
ALTER TABLE otlp_in ADD COLUMN IF NOT EXISTS proof UInt64;
ALTER TABLE chunks ADD COLUMN IF NOT EXISTS proof UInt64 CODEC(Z);
ALTER TABLE spans ADD COLUMN IF NOT EXISTS proof UInt64 CODEC(Z);
ALTER TABLE resources_raw ADD COLUMN IF NOT EXISTS proofs PROOFS;
ALTER TABLE scopes_raw ADD COLUMN IF NOT EXISTS proofs PROOFS;
ALTER TABLE resources ADD COLUMN IF NOT EXISTS proofs PROOFS;
ALTER TABLE traces ADD COLUMN IF NOT EXISTS proofs PROOFS;
ALTER TABLE red ADD COLUMN IF NOT EXISTS proofs PROOFS;
ALTER TABLE red_svc ADD COLUMN IF NOT EXISTS proofs PROOFS;
ALTER TABLE red_hour ADD COLUMN IF NOT EXISTS proofs PROOFS;
ALTER TABLE red_svc_hour ADD COLUMN IF NOT EXISTS proofs PROOFS;
ALTER TABLE operations ADD COLUMN IF NOT EXISTS proofs PROOFS;
CREATE MATERIALIZED VIEW IF NOT EXISTS mv_chunks TO chunks AS
SELECT received, trace_id, res, scope, raw, FIRST_ROW(p) AS proof
FROM (SELECT max(rcv) AS received, substring(x,3,16) AS trace_id, groupArray(r) AS res, groupArray(sc) AS scope, groupArray(x) AS raw, any(p_) AS p
FROM (SELECT received AS rcv, proof AS p_, res AS r, cityHash64(ss.scope,ss.schema_url) AS sc, arrayJoin(ss.spans) AS x FROM (SELECT received, proof, cityHash64(resource,schema_url) AS res, arrayJoin(scope_spans) AS ss FROM raw_in)) WHERE startsWith(x,'\x0a\x10') GROUP BY trace_id);
CREATE MATERIALIZED VIEW IF NOT EXISTS mv_resources_raw TO resources_raw AS
SELECT received, id, raw, schema_url, FIRST_ROWS(p) AS proofs
FROM (SELECT max(rcv) AS received, cityHash64(b,u) AS id, any(b) AS raw, any(u) AS schema_url, any(p_) AS p
FROM (SELECT received AS rcv, proof AS p_, resource AS b, schema_url AS u FROM raw_in) GROUP BY id);
CREATE MATERIALIZED VIEW IF NOT EXISTS mv_scopes_raw TO scopes_raw AS
SELECT received, id, raw, schema_url, FIRST_ROWS(p) AS proofs
FROM (SELECT max(rcv) AS received, cityHash64(b,u) AS id, any(b) AS raw, any(u) AS schema_url, any(p_) AS p
FROM (SELECT received AS rcv, proof AS p_, z.1 AS b, z.2 AS u FROM (SELECT received, proof, arrayJoin(arrayMap(s->(s.scope,s.schema_url),scope_spans)) AS z FROM raw_in)) GROUP BY id);
CREATE MATERIALIZED VIEW IF NOT EXISTS mv_spans TO spans AS
SELECT toDateTime(toUInt32(intDiv(arrival,1000000000)),'UTC') AS received, NOT (s.start BETWEEN 946684800000000000 AND 4102444799999999999) AS adjusted, fromUnixTimestamp64Nano(toInt64(if(adjusted,arrival,s.start)),'UTC') AS start,
 if(s.end>s.start AND s.start>0,s.end-s.start,0) AS duration, s.trace_id AS trace_id, s.span_id AS span_id, if(length(s.parent_span_id)=8,s.parent_span_id,'') AS parent_id, service, s.name AS name,
 toUInt8(if(s.kind BETWEEN 0 AND 5,s.kind,0)) AS kind, toUInt8(if(s.status.code BETWEEN 0 AND 2,s.status.code,0)) AS status, s.status.message AS status_message,
 res_key, scope, scope_attrs, MAP(s.attributes.key, s.attributes.value) AS attrs, arrayMap(r->reinterpretAsUInt8(substring(r,1,1)),s.attributes.value) AS attr_types,
 s.events.name AS event_names, arrayMap(a->MAP(a.key, a.value),s.events.attributes) AS event_attrs, arrayMap(t->toFixedString(if(length(t)=16,t,''),16),s.links.trace_id) AS link_traces, arrayMap(a->MAP(a.key, a.value),s.links.attributes) AS link_attrs,
 FIRST_ROW(p) AS proof
FROM (SELECT arrival, p, res_key, service, ss.scope.name AS scope, MAP(ss.scope.attributes.key, ss.scope.attributes.value) AS scope_attrs, arrayJoin(ss.spans) AS s
 FROM (SELECT arrival, proof AS p, cityHash64(resource,schema_url) AS res_key, SVC(resource.key,resource.value) AS service, arrayJoin(scope_spans) AS ss FROM otlp_in))
WHERE length(s.trace_id)=16 AND length(s.span_id)=8;
CREATE MATERIALIZED VIEW IF NOT EXISTS mv_resources TO resources AS
SELECT received, res_key, SVC(a.key,a.value) AS service, CAST((a.key,TEXTS(a.value)),'Map(String,String)') AS attrs, schema_url, FIRST_ROWS(p) AS proofs
FROM (SELECT toDateTime(toUInt32(intDiv(max(arrival),1000000000)),'UTC') AS received, cityHash64(resource,u) AS res_key, any(resource) AS a, any(u) AS schema_url, any(p_) AS p FROM (SELECT arrival, proof AS p_, resource, schema_url AS u FROM otlp_in) GROUP BY res_key);
CREATE MATERIALIZED VIEW IF NOT EXISTS mv_traces TO traces AS
SELECT max(rc) AS received, trace_id, min(st) AS start, max(fromUnixTimestamp64Nano(toUnixTimestamp64Nano(st)+toInt64(least(duration,4611686018427387903)),'UTC')) AS end, count() AS spans, countIf(status=2) AS errors, groupUniqArray(toString(service)) AS services,
 min((parent_id!=toFixedString('',8),st,toString(service),toString(name),duration)) AS first, groupUniqArrayIf(proof,proof!=0) AS proofs FROM (SELECT *, start AS st, received AS rc FROM spans) GROUP BY trace_id;
CREATE MATERIALIZED VIEW IF NOT EXISTS mv_red TO red AS
SELECT max(rc) AS received, toStartOfMinute(start) AS t, service, name, kind, count() AS n, countIf(status=2) AS errors, sum(duration) AS dur, QTState(duration) AS q, groupUniqArrayIf(proof,proof!=0) AS proofs
FROM (SELECT *, received AS rc FROM spans) GROUP BY t,service,name,kind;
CREATE MATERIALIZED VIEW IF NOT EXISTS mv_red_svc TO red_svc AS
SELECT max(rc) AS received, t_ AS t, service,kind, sum(n_) AS n, sum(e_) AS errors, sum(d_) AS dur, QTMergeState(q_) AS q, groupUniqArrayArray(p_) AS proofs
FROM (SELECT received AS rc, t AS t_, service,kind, n AS n_, errors AS e_, dur AS d_, q AS q_, proofs AS p_ FROM red) GROUP BY t,service,kind;
CREATE MATERIALIZED VIEW IF NOT EXISTS mv_red_hour TO red_hour AS
SELECT max(rc) AS received, toStartOfHour(t_) AS t, service,name,kind, sum(n_) AS n, sum(e_) AS errors, sum(d_) AS dur, QTMergeState(q_) AS q, groupUniqArrayArray(p_) AS proofs
FROM (SELECT received AS rc, t AS t_, service,name,kind, n AS n_, errors AS e_, dur AS d_, q AS q_, proofs AS p_ FROM red) GROUP BY t,service,name,kind;
CREATE MATERIALIZED VIEW IF NOT EXISTS mv_red_svc_hour TO red_svc_hour AS
SELECT max(rc) AS received, toStartOfHour(t_) AS t, service,kind, sum(n_) AS n, sum(e_) AS errors, sum(d_) AS dur, QTMergeState(q_) AS q, groupUniqArrayArray(p_) AS proofs
FROM (SELECT received AS rc, t AS t_, service,kind, n AS n_, errors AS e_, dur AS d_, q AS q_, proofs AS p_ FROM red_svc) GROUP BY t,service,kind;
CREATE MATERIALIZED VIEW IF NOT EXISTS mv_operations TO operations AS
SELECT max(rc) AS received, service, name, kind, groupUniqArrayArray(p_) AS proofs
FROM (SELECT received AS rc, service, name, kind, proofs AS p_ FROM red) GROUP BY service,name,kind;
