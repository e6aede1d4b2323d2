-- The newest block of a partition in each table.
SELECT table, max(max_block_number) FROM system.parts WHERE database=currentDatabase() AND active AND partition_id={partition:String} GROUP BY table
