-- A statement makes its parts live one after the other, in an order that depends on how its views are named: a view that reads from the
-- source by the alphabet, what hangs on it after it. Where spans are seen before their resources, a query with `not` holds of spans of which
-- it does not. So resources and scopes come first, then spans, then what is counted of them (`tests/store/test_chdb_order_of_parts.py`).
DROP VIEW IF EXISTS mv_chunks;
DROP VIEW IF EXISTS mv_spans;
CREATE MATERIALIZED VIEW IF NOT EXISTS mv_spans_by_trace TO chunks AS
SELECT received, trace_id, res, scope, raw, FIRST_ROW(p) AS proof
FROM (SELECT max(rcv) AS received, substring(x,3,16) AS trace_id, groupArray(r) AS res, groupArray(sc) AS scope, groupArray(x) AS raw, any(p_) AS p
FROM (SELECT received AS rcv, proof AS p_, res AS r, cityHash64(ss.scope,ss.schema_url) AS sc, arrayJoin(ss.spans) AS x FROM (SELECT received, proof, cityHash64(resource,schema_url) AS res, arrayJoin(scope_spans) AS ss FROM raw_in)) WHERE startsWith(x,'\x0a\x10') GROUP BY trace_id);
CREATE MATERIALIZED VIEW IF NOT EXISTS mv_columns_of_spans TO spans AS
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
