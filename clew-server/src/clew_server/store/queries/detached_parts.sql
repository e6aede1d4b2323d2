-- Parts that the engine could not load and has put aside.
SELECT count(), sum(bytes_on_disk) FROM system.detached_parts
WHERE database=currentDatabase() AND (startsWith(reason,'broken') OR reason IN ('covered-by-broken','unexpected'))
