-- Calls between services are computed from `spans` when they are asked for: a late span counts at once, and a flush has nothing to do.
DROP TABLE IF EXISTS deps SYNC;
DROP TABLE IF EXISTS deps_done SYNC;
