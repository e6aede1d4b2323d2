-- Live parts with the sum of the sizes their files should have, and the parts they replaced as long as those lie there: a minute.
SELECT table, name, active, bytes_on_disk, path, partition_id, min_block_number, max_block_number, level, data_version, rows
FROM system.parts WHERE database=currentDatabase()
