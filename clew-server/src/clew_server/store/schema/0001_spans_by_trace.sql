-- The untouched bytes of every span, grouped by trace, and those of its resource and scope.
CREATE TABLE IF NOT EXISTS raw_in (received DT, resource String, schema_url String, scope_spans Array(Tuple(scope String, spans Array(String), schema_url String)))
ENGINE=Null;
CREATE TABLE IF NOT EXISTS chunks (received DT CODEC(Delta,Z), trace_id FixedString(16) CODEC(NONE), res Array(UInt64) CODEC(Z), scope Array(UInt64) CODEC(Z), raw Array(String) CODEC(ZSTD(3)))
ENGINE=MergeTree P ORDER BY trace_id SETTINGS index_granularity=64, W;
CREATE MATERIALIZED VIEW IF NOT EXISTS mv_chunks TO chunks AS
SELECT max(rcv) AS received, substring(x,3,16) AS trace_id, groupArray(r) AS res, groupArray(sc) AS scope, groupArray(x) AS raw
FROM (SELECT received AS rcv, res AS r, cityHash64(ss.scope,ss.schema_url) AS sc, arrayJoin(ss.spans) AS x FROM (SELECT received, cityHash64(resource,schema_url) AS res, arrayJoin(scope_spans) AS ss FROM raw_in)) WHERE startsWith(x,'\x0a\x10') GROUP BY trace_id;
CREATE TABLE IF NOT EXISTS resources_raw (received SAF(max,DT), id UInt64, raw SAF(any,String) CODEC(Z), schema_url SAF(any,LC))
ENGINE=AggregatingMergeTree P ORDER BY id SETTINGS W;
CREATE MATERIALIZED VIEW IF NOT EXISTS mv_resources_raw TO resources_raw AS
SELECT max(rcv) AS received, cityHash64(b,u) AS id, any(b) AS raw, any(u) AS schema_url
FROM (SELECT received AS rcv, resource AS b, schema_url AS u FROM raw_in) GROUP BY id;
CREATE TABLE IF NOT EXISTS scopes_raw (received SAF(max,DT), id UInt64, raw SAF(any,String) CODEC(Z), schema_url SAF(any,LC))
ENGINE=AggregatingMergeTree P ORDER BY id SETTINGS W;
CREATE MATERIALIZED VIEW IF NOT EXISTS mv_scopes_raw TO scopes_raw AS
SELECT max(rcv) AS received, cityHash64(b,u) AS id, any(b) AS raw, any(u) AS schema_url
FROM (SELECT received AS rcv, z.1 AS b, z.2 AS u FROM (SELECT received, arrayJoin(arrayMap(s->(s.scope,s.schema_url),scope_spans)) AS z FROM raw_in)) GROUP BY id;
