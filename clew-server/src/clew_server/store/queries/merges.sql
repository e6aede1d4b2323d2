-- How many merges and deletions are being written.
SELECT count() FROM system.merges WHERE database=currentDatabase()
