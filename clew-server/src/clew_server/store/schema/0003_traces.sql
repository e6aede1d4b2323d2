-- One summary a trace: partial rows, whole only after GROUP BY trace_id. The length is bounded at 2^62 ns so that an end never overflows.
CREATE TABLE IF NOT EXISTS traces (received SAF(max,DT) CODEC(Delta,Z), trace_id FixedString(16) CODEC(NONE), start SAF(min,DT9) CODEC(Delta,Z), end SAF(max,DT9) CODEC(Delta,Z),
 spans SAF(sum,UInt64) CODEC(T64,Z), errors SAF(sum,UInt64) CODEC(T64,Z), services SAF(groupUniqArrayArray,Array(String)) CODEC(Z), first SAF(min,Tuple(later UInt8, start DT9, service String, name String, duration UInt64)) CODEC(Z), INDEX i_start start TYPE minmax GRANULARITY 1)
ENGINE=AggregatingMergeTree P ORDER BY trace_id SETTINGS index_granularity=256, W;
CREATE MATERIALIZED VIEW IF NOT EXISTS mv_traces TO traces AS
SELECT max(rc) AS received, trace_id, min(st) AS start, max(fromUnixTimestamp64Nano(toUnixTimestamp64Nano(st)+toInt64(least(duration,4611686018427387903)),'UTC')) AS end, count() AS spans, countIf(status=2) AS errors, groupUniqArray(toString(service)) AS services,
 min((parent_id!=toFixedString('',8),st,toString(service),toString(name),duration)) AS first FROM (SELECT *, start AS st, received AS rc FROM spans) GROUP BY trace_id;
