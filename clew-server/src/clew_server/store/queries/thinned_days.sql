-- What was deleted inside an arrival day: the counts of its tables differ since then, and that is right.
SELECT command FROM system.mutations WHERE database=currentDatabase() AND table='spans'
