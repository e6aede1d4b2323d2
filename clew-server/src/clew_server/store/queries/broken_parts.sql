-- Parts that the engine set aside when it loaded their tables.
SELECT table, name, path FROM system.detached_parts WHERE database=currentDatabase() AND startsWith(name,'broken-on-start_')
