-- Types of the attributes of a span's scope, its events and its links, one list after the other, as spans (step 2) and resources (step 17) have them: 5.0 is
-- not the text "5", and of a list each element counts. Rows from before the step have none, and are compared by their texts. Few spans have a list there: the
-- index finds them. One column, since each costs every flush.
ALTER TABLE spans ADD COLUMN IF NOT EXISTS types_beside Array(Array(UInt8)) CODEC(Z);
ALTER TABLE spans ADD INDEX IF NOT EXISTS i_list_beside has(arrayFlatten(types_beside),42) TYPE minmax GRANULARITY 4;
ALTER TABLE mv_columns_of_spans MODIFY QUERY
WITH MAPS(arrayConcat([s.attributes],s.events.attributes,s.links.attributes)) AS maps, TH(s.trace_state) AS th
SELECT toDateTime(toUInt32(intDiv(arrival,1000000000)),'UTC') AS received, NOT (s.start BETWEEN 946684800000000000 AND 4102444799999999999) AS adjusted, fromUnixTimestamp64Nano(toInt64(multiIf(has(s.attributes.key,'clew.fragment'),FRAGMENT_NS,adjusted,intDiv(arrival,1000000000)*1000000000,s.start)),'UTC') AS start,
 if(s.end>s.start AND s.start>0,s.end-s.start,0) AS duration, s.trace_id AS trace_id, s.span_id AS span_id, if(length(s.parent_span_id)=8,s.parent_span_id,'') AS parent_id, of_scope[1]['service.name'] AS service, s.name AS name,
 toUInt8(if(s.kind BETWEEN 0 AND 5,s.kind,0)) AS kind, toUInt8(if(s.status.code BETWEEN 0 AND 2,s.status.code,0)) AS status, s.status.message AS status_message,
 res_key, scope, of_scope[2] AS scope_attrs, maps[1] AS attrs, arrayMap(r->reinterpretAsUInt8(substring(r,1,1)),s.attributes.value) AS attr_types,
 s.events.name AS event_names, arraySlice(maps,2,length(s.events)) AS event_attrs, arrayMap(t->toFixedString(if(length(t)=16,t,''),16),s.links.trace_id) AS link_traces, arraySlice(maps,2+length(s.events)) AS link_attrs,
 FIRST_ROW(p) AS proof, OUTCOME AS outcome, KEPT(th) AS kept,
 arrayMap(a->arrayMap(r->reinterpretAsUInt8(substring(r,1,1)),a),arrayConcat([of_scope_raw],s.events.attributes.value,s.links.attributes.value)) AS types_beside
FROM (SELECT arrival, p, res_key, ss.scope.name AS scope, MAPS([service_name,ss.scope.attributes]) AS of_scope, ss.scope.attributes.value AS of_scope_raw, arrayJoin(ss.spans) AS s
 FROM (SELECT arrival, proof AS p, cityHash64(resource,schema_url) AS res_key, arrayFilter(a->a.key='service.name',resource) AS service_name, arrayJoin(scope_spans) AS ss FROM otlp_in))
WHERE length(s.trace_id)=16 AND length(s.span_id)=8;
