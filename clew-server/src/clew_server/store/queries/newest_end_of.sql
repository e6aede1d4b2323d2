-- After which time no span of some traces starts.
SELECT max(start_ns+length_ns) FROM (MEMBERS)
