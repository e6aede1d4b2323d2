-- Every partition of every table: rows, bytes on disk, and whether the parts are live.
SELECT table, partition, active, sum(rows), sum(bytes_on_disk) FROM system.parts
WHERE database=currentDatabase() GROUP BY table, partition, active ORDER BY table, partition, active
