-- Calls between services by minute, and the minutes worked on.
CREATE TABLE IF NOT EXISTS deps (received DT, t DT CODEC(DoubleDelta,Z), parent LC, child LC, run UInt64, n UInt64 CODEC(T64,Z), errors UInt64 CODEC(T64,Z), dur UInt64 CODEC(T64,Z))
ENGINE=ReplacingMergeTree(run) P ORDER BY (t,parent,child) SETTINGS W;
CREATE TABLE IF NOT EXISTS deps_done (received DT, t DT CODEC(DoubleDelta,Z), n UInt64, run UInt64) ENGINE=ReplacingMergeTree(run) P ORDER BY t SETTINGS W;
