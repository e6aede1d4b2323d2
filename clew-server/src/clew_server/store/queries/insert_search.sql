-- One segment into the search form and all that hangs on it.
INSERT INTO TABLE_NAME
SELECT at AS arrival, rs.resource.attributes AS resource, rs.schema_url AS schema_url, rs.scope_spans AS scope_spans, toUInt64(PROOF) AS proof
FROM (SELECT mark.arrival_unix_nano AS at, arrayJoin(resource_spans) AS rs FROM file(SEGMENT,'Protobuf',
  'resource_spans Array(Tuple(resource Tuple(attributes Array(Tuple(key String, value String))), scope_spans Array(Tuple(scope Tuple(name String, version String, attributes Array(Tuple(key String, value String))), spans Array(Tuple(trace_id String, span_id String, parent_span_id String, trace_state String, name String, kind Int32, start UInt64, `end` UInt64, attributes Array(Tuple(key String, value String)), events Array(Tuple(name String, attributes Array(Tuple(key String, value String)))), links Array(Tuple(trace_id String, attributes Array(Tuple(key String, value String)))), status Tuple(message String, code Int32))))), schema_url String)), mark Tuple(sequence UInt64, arrival_unix_nano UInt64)'))
SETTINGS format_schema=FORMAT_SCHEMA, insert_deduplicate=0, max_block_size=64, max_threads=1, max_insert_threads=1,
 min_insert_block_size_rows=10000000, min_insert_block_size_bytes=0,
 max_partitions_per_insert_block=0, os_threads_nice_value_query=NICER
