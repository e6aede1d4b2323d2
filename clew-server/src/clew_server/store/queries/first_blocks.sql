-- The oldest block of each partition of each table that has files, also of parts that are not live any more.
SELECT table, partition_id, min(min_block_number) FROM system.parts WHERE database=currentDatabase() GROUP BY table, partition_id
