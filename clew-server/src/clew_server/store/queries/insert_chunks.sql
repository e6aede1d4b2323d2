-- One segment into the bytes by trace. One block, so that each table gets one part, with all rows or none.
INSERT INTO TABLE_NAME
SELECT toDateTime(toUInt32(intDiv(at,1000000000)),'UTC') AS received, rs.resource AS resource, rs.schema_url AS schema_url, rs.scope_spans AS scope_spans, toUInt64(PROOF) AS proof
FROM (SELECT mark.arrival_unix_nano AS at, arrayJoin(resource_spans) AS rs FROM file(SEGMENT,'Protobuf',
  'resource_spans Array(Tuple(resource String, scope_spans Array(Tuple(scope String, spans Array(String), schema_url String)), schema_url String)), mark Tuple(sequence UInt64, arrival_unix_nano UInt64)'))
SETTINGS format_schema=FORMAT_SCHEMA, insert_deduplicate=0, max_block_size=64, max_threads=1, max_insert_threads=1,
 min_insert_block_size_rows=10000000, min_insert_block_size_bytes=0,
 max_partitions_per_insert_block=0, os_threads_nice_value_query=NICER
