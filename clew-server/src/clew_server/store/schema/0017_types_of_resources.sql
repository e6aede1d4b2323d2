-- Types of the attributes of resources, as `spans` has them of its own: 5.0 is not the text "5", and of a list each element counts. The hash
-- that names a resource is of its bytes, types among them, so one resource has one list of types; rows from before the step have an empty one.
ALTER TABLE resources ADD COLUMN IF NOT EXISTS attr_types SAF(max,Array(UInt8)) CODEC(Z);
-- Of two views of one source that of which the parts shall become live first is made first, for the time until the engine is started again, and has
-- the name that is later in the alphabet, for the time after (step 15 had the names of origins and chunks the other way round).
ALTER TABLE mv_resources MODIFY QUERY
SELECT received, res_key, attrs['service.name'] AS service, CAST((a.key,TEXTS(a.value)),'Map(String,String)') AS attrs,
 arrayMap(r->reinterpretAsUInt8(substring(r,1,1)),a.value) AS attr_types, schema_url, FIRST_ROWS(p) AS proofs
FROM (SELECT toDateTime(toUInt32(intDiv(max(arrival),1000000000)),'UTC') AS received, cityHash64(resource,u) AS res_key, any(resource) AS a, any(u) AS schema_url, any(p_) AS p FROM (SELECT arrival, proof AS p_, resource, schema_url AS u FROM otlp_in) GROUP BY res_key);
DETACH TABLE IF EXISTS mv_columns_of_spans;
ATTACH TABLE IF NOT EXISTS mv_columns_of_spans;
DROP VIEW IF EXISTS mv_spans_by_trace;
CREATE MATERIALIZED VIEW IF NOT EXISTS mv_chunks TO chunks AS
SELECT received, trace_id, res, scope, raw, FIRST_ROW(p) AS proof
FROM (SELECT max(rcv) AS received, substring(x,3,16) AS trace_id, groupArray(r) AS res, groupArray(sc) AS scope, groupArray(x) AS raw, any(p_) AS p
FROM (SELECT received AS rcv, proof AS p_, res AS r, cityHash64(ss.scope,ss.schema_url) AS sc, arrayJoin(ss.spans) AS x FROM (SELECT received, proof, cityHash64(resource,schema_url) AS res, arrayJoin(scope_spans) AS ss FROM raw_in)) WHERE startsWith(x,'\x0a\x10') GROUP BY trace_id);
