-- What would be computed from the spans each time that it is asked. `outcome`: whether a span failed, and whether a trace has one that did
-- (2 yes, 0 no, 1 it must be looked at: see store/failing.py; traces from before this step have 1). `kept`: how far it was sampled by
-- probability (2^56 less the threshold of OpenTelemetry's consistent sampling, `ot=th:` in tracestate; 0 where it says none), and how many
-- calls those of `red` stand for. `span_hashes`: some bits of a hash of each span in `chunks`, which tell where one may have come twice.
DROP VIEW IF EXISTS mv_spans;
DROP VIEW IF EXISTS mv_resources;
DROP VIEW IF EXISTS mv_traces;
DROP VIEW IF EXISTS mv_red;
DROP TABLE IF EXISTS otlp_in;
CREATE TABLE IF NOT EXISTS otlp_in (arrival UInt64, resource KV, schema_url String, scope_spans Array(Tuple(scope Tuple(name String, version String, attributes KV),
  spans Array(Tuple(trace_id String, span_id String, parent_span_id String, trace_state String, name String, kind Int32, start UInt64, `end` UInt64, attributes KV, events Array(Tuple(name String, attributes KV)), links Array(Tuple(trace_id String, attributes KV)), status Tuple(message String, code Int32))))), proof UInt64)
ENGINE=Null;
ALTER TABLE chunks ADD COLUMN IF NOT EXISTS span_hashes Array(UInt32) DEFAULT arrayMap((a,b,c)->if(OF_FRAGMENT(c),0,bitOr(toUInt32(cityHash64(a,b,c)),1)),res,scope,raw) CODEC(NONE);
ALTER TABLE spans ADD COLUMN IF NOT EXISTS outcome UInt8 DEFAULT OUTCOME CODEC(Z);
ALTER TABLE spans ADD COLUMN IF NOT EXISTS kept UInt64 CODEC(Z);
ALTER TABLE traces ADD COLUMN IF NOT EXISTS outcome SAF(max,UInt8) DEFAULT 1 CODEC(Z);
ALTER TABLE traces ADD COLUMN IF NOT EXISTS kept SAF(max,UInt64) CODEC(Z);
ALTER TABLE red ADD COLUMN IF NOT EXISTS estimated SAF(sum,Float64) DEFAULT toFloat64(n) CODEC(Z);
ALTER TABLE red ADD COLUMN IF NOT EXISTS estimated_errors SAF(sum,Float64) DEFAULT toFloat64(errors) CODEC(Z);
CREATE MATERIALIZED VIEW IF NOT EXISTS mv_spans TO spans AS
WITH MAPS(arrayConcat([s.attributes],s.events.attributes,s.links.attributes)) AS maps, TH(s.trace_state) AS th
SELECT toDateTime(toUInt32(intDiv(arrival,1000000000)),'UTC') AS received, NOT (s.start BETWEEN 946684800000000000 AND 4102444799999999999) AS adjusted, fromUnixTimestamp64Nano(toInt64(multiIf(has(s.attributes.key,'clew.fragment'),FRAGMENT_NS,adjusted,intDiv(arrival,1000000000)*1000000000,s.start)),'UTC') AS start,
 if(s.end>s.start AND s.start>0,s.end-s.start,0) AS duration, s.trace_id AS trace_id, s.span_id AS span_id, if(length(s.parent_span_id)=8,s.parent_span_id,'') AS parent_id, of_scope[1]['service.name'] AS service, s.name AS name,
 toUInt8(if(s.kind BETWEEN 0 AND 5,s.kind,0)) AS kind, toUInt8(if(s.status.code BETWEEN 0 AND 2,s.status.code,0)) AS status, s.status.message AS status_message,
 res_key, scope, of_scope[2] AS scope_attrs, maps[1] AS attrs, arrayMap(r->reinterpretAsUInt8(substring(r,1,1)),s.attributes.value) AS attr_types,
 s.events.name AS event_names, arraySlice(maps,2,length(s.events)) AS event_attrs, arrayMap(t->toFixedString(if(length(t)=16,t,''),16),s.links.trace_id) AS link_traces, arraySlice(maps,2+length(s.events)) AS link_attrs,
 FIRST_ROW(p) AS proof, OUTCOME AS outcome, KEPT(th) AS kept
FROM (SELECT arrival, p, res_key, ss.scope.name AS scope, MAPS([service_name,ss.scope.attributes]) AS of_scope, arrayJoin(ss.spans) AS s
 FROM (SELECT arrival, proof AS p, cityHash64(resource,schema_url) AS res_key, arrayFilter(a->a.key='service.name',resource) AS service_name, arrayJoin(scope_spans) AS ss FROM otlp_in))
WHERE length(s.trace_id)=16 AND length(s.span_id)=8;
CREATE MATERIALIZED VIEW IF NOT EXISTS mv_resources TO resources AS
SELECT received, res_key, attrs['service.name'] AS service, CAST((a.key,TEXTS(a.value)),'Map(String,String)') AS attrs, schema_url, FIRST_ROWS(p) AS proofs
FROM (SELECT toDateTime(toUInt32(intDiv(max(arrival),1000000000)),'UTC') AS received, cityHash64(resource,u) AS res_key, any(resource) AS a, any(u) AS schema_url, any(p_) AS p FROM (SELECT arrival, proof AS p_, resource, schema_url AS u FROM otlp_in) GROUP BY res_key);
CREATE MATERIALIZED VIEW IF NOT EXISTS mv_traces TO traces AS
SELECT max(rc) AS received, trace_id, min(st) AS start, max(if(f,fromUnixTimestamp64Nano(0,'UTC'),fromUnixTimestamp64Nano(toUnixTimestamp64Nano(st)+toInt64(least(duration,4611686018427387903)),'UTC'))) AS end, countIf(NOT f) AS spans, countIf(status=2 AND NOT f) AS errors, groupUniqArrayIf(toString(service),NOT f) AS services,
 min((if(f,2,parent_id!=toFixedString('',8)),st,toString(service),toString(name),duration)) AS first, groupUniqArrayIf(proof,proof!=0) AS proofs, max(if(f,0,o)) AS outcome, max(if(f,0,k)) AS kept FROM (SELECT trace_id, parent_id, service, name, duration, status, proof, outcome AS o, kept AS k, start AS st, received AS rc, start=FRAGMENT AS f FROM spans WHERE start!=FRAGMENT OR proof!=0) GROUP BY trace_id;
CREATE MATERIALIZED VIEW IF NOT EXISTS mv_red TO red AS
SELECT max(rc) AS received, toStartOfMinute(start) AS t, service, name, kind, countIf(NOT f) AS n, countIf(status=2 AND NOT f) AS errors, sum(duration) AS dur, QTState(duration) AS q, groupUniqArrayIf(proof,proof!=0) AS proofs, sum(w) AS estimated, sumIf(w,status=2) AS estimated_errors
FROM (SELECT start, service, name, kind, status, duration, proof, if(start=FRAGMENT,0,STANDS_FOR(kept)) AS w, received AS rc, start=FRAGMENT AS f FROM spans WHERE start!=FRAGMENT OR proof!=0) GROUP BY t,service,name,kind;
